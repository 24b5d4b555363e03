#!/usr/bin/env bash
# DVC 3.67.1: when a stage fails, the .gitignore entries of the stages that succeeded before it are taken back.
#
# Behaviour: `dvc repro` notes what it adds to .gitignore and undoes that on an error, whatever has been made and
# written to dvc.lock meanwhile. The outputs of the first stage lie in the folder, are in the cache and in dvc.lock, and
# are untracked files to Git: the next `git add -A` commits them, however large.
# Expected: what is in dvc.lock is ignored.
# Seen:
#   DVC 3.67.1: stage "frames" is in dvc.lock; git status --porcelain frames.bin: ?? frames.bin
# Way round: write the outputs into .gitignore by hand, and commit it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
. "$work/venv/bin/activate"
pip install -qq dvc==3.67.1
export DVC_SITE_CACHE_DIR="$work/site" DVC_NO_ANALYTICS=1
mkdir "$work/project" && cd "$work/project"
git init -q
dvc init -q
cat > dvc.yaml <<'YAML'
stages:
  frames:
    cmd: echo frames > frames.bin
    outs: [frames.bin]
  train:
    cmd: "false"
    deps: [frames.bin]
    outs: [model.bin]
YAML
if dvc repro -q 2>/dev/null; then
    echo "the second stage was to fail" >&2
    exit 2
fi
grep -q "frames:" dvc.lock
state=$(git status --porcelain frames.bin)
echo "DVC $(dvc --version): stage \"frames\" is in dvc.lock; git status --porcelain frames.bin: $state"
[ "$state" = "?? frames.bin" ]

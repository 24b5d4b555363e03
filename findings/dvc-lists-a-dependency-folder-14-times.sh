#!/usr/bin/env bash
# DVC 3.67.1: around one run of a stage it lists a folder that the stage depends on 14 times.
#
# Behaviour: once to see whether it changed, and again at each later look: before the run, around saving, for the cache,
# for dvc.lock. With nothing to do it is listed twice. A folder of 10,000 videos to which one is added costs seconds of
# listing and of building DVC's tree, although only one file is new, and more on a network disk.
# Expected: two listings, before the command and after it.
# Seen:
#   DVC 3.67.1: the folder is listed 14 times for a run of the stage, 2 times when nothing has changed
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
. "$work/venv/bin/activate"
pip install -qq dvc==3.67.1
export DVC_SITE_CACHE_DIR="$work/site" DVC_NO_ANALYTICS=1
mkdir "$work/project" && cd "$work/project"
dvc init -q --no-scm
mkdir raw
for number in $(seq 20); do echo "$number" > "raw/$number.txt"; done
cat > dvc.yaml <<'YAML'
stages:
  join:
    cmd: cat raw/*.txt > all.txt
    deps: [raw]
    outs: [all.txt]
YAML
cat > "$work/listings.py" <<'PYTHON'
"""`dvc repro`; prints how often the folder raw is listed."""

import os

from dvc.cli import main

raw, listings, scandir = os.path.abspath("raw"), 0, os.scandir


def counting(path="."):
    global listings
    listings += os.path.abspath(os.fspath(path)) == raw
    return scandir(path)


os.scandir = counting
assert main(["repro", "-q"]) == 0
print(listings)
PYTHON
first=$(python "$work/listings.py")
second=$(python "$work/listings.py")
echo "DVC $(dvc --version): the folder is listed $first times for a run of the stage, $second times when nothing has changed"
[ "$first $second" = "14 2" ]

#!/usr/bin/env bash
# DVC 3.67.1: a parameter that changes from 1 to true (or 0 to false) is no change: `dvc repro` runs nothing.
#
# Behaviour: DVC compares the value in params.yaml with that in dvc.lock by Python's ==, for which 1 == 1.0 == True. A
# stage that treats `true` and `1` differently (a switch that also takes a number, a strict schema) keeps the output of
# the old value, and `dvc status` calls it up to date.
# Expected: values of different YAML types are different parameters.
# Seen:
#   DVC 3.67.1
#   params.yaml: true, output was made from: 1, dvc status: Data and pipelines are up to date.
# Way round: give a key one type, and refuse others where it is read.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
. "$work/venv/bin/activate"
pip install -qq dvc==3.67.1
export DVC_SITE_CACHE_DIR="$work/site" DVC_NO_ANALYTICS=1
mkdir "$work/project" && cd "$work/project"
dvc init -q --no-scm
cat > dvc.yaml <<'YAML'
stages:
  copy:
    cmd: sed 's/value://' params.yaml > copy.txt
    params: [value]
    outs: [copy.txt]
YAML
echo 'value: 1' > params.yaml
dvc repro -q
echo 'value: true' > params.yaml
dvc repro -q
echo "DVC $(dvc --version)"
echo "params.yaml: true, output was made from:$(cat copy.txt), dvc status: $(dvc status)"
if [ "$(cat copy.txt)" != " 1" ]; then
    echo "changed: true is another value than 1" >&2
    exit 1
fi

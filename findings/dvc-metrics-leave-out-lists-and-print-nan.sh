#!/usr/bin/env bash
# DVC 3.67.1: `dvc metrics show` drops lists without a word, and `--json` prints NaN, which is no JSON.
#
# Behaviour: of a metrics file only numbers and texts that stand alone (or in mappings) are shown and compared; a list, such as
# an error per step or an interval [from, to], is not there, in `show`, `diff` and `exp show` alike. A NaN, which
# Python's json writes for a metric that could not be measured, is handed on as the bare word NaN in the output of
# --json: strict readers (JSON.parse, jq before 1.7, Go) refuse the whole document.
# Expected: lists shown or named as left out; null for NaN.
# Seen:
#   DVC 3.67.1, of {"mse": 3.0, "interval": [2.5, 3.5], "lpips": NaN}
#   {"": {"data": {"m.json": {"data": {"mse": 3.0, "lpips": NaN}}}}}
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
. "$work/venv/bin/activate"
pip install -qq dvc==3.67.1
export DVC_SITE_CACHE_DIR="$work/site" DVC_NO_ANALYTICS=1
mkdir "$work/project" && cd "$work/project"
dvc init -q --no-scm
echo 'metrics: [m.json]' > dvc.yaml
echo '{"mse": 3.0, "interval": [2.5, 3.5], "lpips": NaN}' > m.json
shown=$(dvc metrics show --json)
echo "DVC $(dvc --version), of $(cat m.json)"
echo "$shown"
[ "$shown" = '{"": {"data": {"m.json": {"data": {"mse": 3.0, "lpips": NaN}}}}}' ]

#!/usr/bin/env bash
# DVC 3.67.1 (dvc-render 1.0.2): a plot with an apostrophe in its title is missing from the page of `dvc plots show`.
#
# Behaviour: the id of a plot's element is made from its title, some characters taken out, the apostrophe not. The
# page's script names that id between single quotes, so that the script of this plot is no JavaScript, and the plot's
# place stays empty, without a word from `dvc plots show`.
# Expected: the plot, whatever its title.
# Seen:
#   DVC 3.67.1: vegaEmbed('#it's_motion'
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
. "$work/venv/bin/activate"
pip install -qq dvc==3.67.1 dvc-render==1.0.2
export DVC_SITE_CACHE_DIR="$work/site" DVC_NO_ANALYTICS=1
mkdir "$work/project" && cd "$work/project"
dvc init -q --no-scm
printf 'step,motion\n1,0.5\n2,0.4\n' > motion.csv
cat > dvc.yaml <<'YAML'
plots:
  - "it's motion": {x: step, y: {motion.csv: motion}}
YAML
dvc plots show > /dev/null
found=$(grep -o "vegaEmbed('#[^,]*" dvc_plots/index.html)
echo "DVC $(dvc --version): $found"
[ "$(tr -cd "'" <<< "$found" | wc -c)" != 2 ]

#!/usr/bin/env bash
# DVC 3.67.1: the folder of its site cache is one that every user of the machine may write to.
#
# Behaviour: DVC keeps, per repository, small databases of hashes, links and indexes (diskcache, which stores some values
# as pickles) in SITE_CACHE/repo/TOKEN. SITE_CACHE is /var/tmp/dvc unless core.site_cache_dir or DVC_SITE_CACHE_DIR names
# another. dvc/repo/__init__.py makes SITE_CACHE and SITE_CACHE/repo with mode 0777 and umask 0, without the sticky bit.
# Expected: one folder per user, or the sticky bit (mode 1777) as /tmp has it, so that users cannot exchange each other's.
# Seen (Python 3.11, umask 022):
#   dvc 3.67.1: mode of the site cache 777, of its folder repo 777
# Way round: DVC_SITE_CACHE_DIR or core.site_cache_dir, a folder that exists and has mode 700.
set -euo pipefail
umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq dvc==3.67.1
mkdir "$work/repository"
cd "$work/repository"
git init -q
export DVC_SITE_CACHE_DIR="$work/site" DVC_NO_ANALYTICS=1
"$work/venv/bin/dvc" init -q
version=$("$work/venv/bin/dvc" --version)
modes="mode of the site cache $(stat -c %a "$work/site"), of its folder repo $(stat -c %a "$work/site/repo")"
echo "dvc $version: $modes"
[ "$modes" = "mode of the site cache 777, of its folder repo 777" ] || { echo "changed: not open to all" >&2; exit 1; }

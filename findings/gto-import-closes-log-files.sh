#!/usr/bin/env bash
# GTO 1.10.1: `import gto` closes the log file of the program that imports it.
#
# Behaviour: gto/log.py calls logging.config.dictConfig at import, with disable_existing_loggers off. dictConfig shuts
# down every handler that exists at that moment. A logging.FileHandler with mode "w" does not open its file again, so
# what is logged after the import is in no file, and nothing says so.
# Expected: importing a library leaves the handlers of the program alone.
# Seen (Python 3.11):
#   gto 1.10.1: lines in program.log: ['before the import']
# Way round: import gto before logging is configured, or read and write its git tags without it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -qq gto==1.10.1
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import logging
import sys
from importlib.metadata import version
from pathlib import Path

logging.basicConfig(filename="program.log", filemode="w", format="%(message)s", level=logging.INFO)
logging.info("before the import")
import gto

logging.info("after the import")
lines = Path("program.log").read_text().splitlines()
print(f"gto {version('gto')}: lines in program.log: {lines}")
if lines != ["before the import"]:
    sys.exit("changed: the import leaves the log file open")
PYTHON

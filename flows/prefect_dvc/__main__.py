"""`python -m flows.prefect_dvc FOLDER`: any DVC project as a Prefect run."""

import argparse

from flows import at_the_prompt
from flows.prefect_dvc.flow import dvc_repro

parser = argparse.ArgumentParser(prog="python -m flows.prefect_dvc", description=dvc_repro.description)
parser.add_argument("project", nargs="?", default=".", help="the project's folder (default: this one)")
parser.add_argument("targets", nargs="*", help="stages to bring up to date, with what they need (default: all)")
arguments = parser.parse_args()
at_the_prompt(dvc_repro, arguments.project, arguments.targets or None)

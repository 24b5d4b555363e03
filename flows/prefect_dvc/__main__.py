"""`python -m flows.prefect_dvc FOLDER`: any DVC project as a Prefect run."""

from flows import at_the_prompt, command_line
from flows.prefect_dvc.flow import dvc_repro

EXAMPLES = ("", "~/get-started", "~/get-started train")

parser = command_line.parser("flows.prefect_dvc", dvc_repro.description, *EXAMPLES)
parser.add_argument("project", nargs="?", default=".", help="the project's folder (default: this one)")
parser.add_argument("targets", nargs="*", help="stages to bring up to date, with what they need (default: all)")
arguments = parser.parse_args()
at_the_prompt(dvc_repro, arguments.project, arguments.targets or None)

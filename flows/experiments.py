"""`python -m flows.experiments`: the table of `dvc exp show` with the columns that matter.

By itself that has a column for every key of params.yaml, every baseline and every file that a stage reads, some 250.
Here are the model's figures, its name, and what differs between the experiments. More arguments go to DVC.
"""

import re
import subprocess
import sys
from pathlib import Path

from flows import command_line
from flows.prefect_dvc.command import DVC
from pipeline.errors import PipelineError
from pipeline.params import load_params

KEPT = r"(.*:)?(model\.)?(mse|mae|psnr|ssim|flicker|useful_horizon)$|(.*:)?model\.name$"
# figures of baselines, sections that no stage reads, dependencies
DROPPED = (
    r"(.*:)?(background|bilateral|identity|last_frame|mean_frame|optical_flow|sharpened|stateless)\."
    r"|(.*:)?(compare|generate|monitor|promote|retain|schedules)\.|[^:]*[/\\][^:]*$|better_than_start$"
)


def arguments(more: list[str]) -> list[str]:
    """The command line."""
    dropped = "|".join([DROPPED, *(f"{re.escape(name)}$" for name in _videos())])
    return [*DVC, "exp", "show", "--only-changed", "--keep", KEPT, "--drop", dropped, *more]


def _videos() -> list[str]:
    """The name of the folder of videos, which is a dependency too."""
    try:
        return [Path(load_params(Path("params.yaml")).data.videos).name]
    except PipelineError:
        return []


def main() -> None:
    """Show the table, or say how it is asked for."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        parser = command_line.parser("flows.experiments", __doc__, "", "--sort-by mse", "--md")
        parser.usage = "python -m flows.experiments [-h] [options that `dvc exp show --help` lists]"
        parser.parse_args()
    sys.exit(subprocess.run(arguments(sys.argv[1:]), check=False).returncode)


if __name__ == "__main__":
    main()

"""DVC's own commands, run in processes of their own."""

import subprocess
import sys

from pipeline.errors import PipelineError

# -P: nothing is imported from the folder where it runs, which may hold a folder called `dvc`
DVC = [sys.executable, "-P", "-m", "dvc", "--wait-for-lock"]


def run(*arguments: str) -> None:
    """Inside a task: run a DVC command, its output to the log; raises PipelineError with what it said if it fails."""
    from prefect import get_run_logger  # seconds, which what runs a stage (stage_process.py) does not need

    result = subprocess.run([*DVC, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    for line in (result.stdout + result.stderr).splitlines():
        get_run_logger().info("%s", line)
    if result.returncode:
        raise PipelineError(f"dvc {' '.join(arguments)}: {result.stderr.strip() or result.stdout.strip()}")

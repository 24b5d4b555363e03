"""Videos in, a trained recurrent generator and rendered videos out: the stages, the library, the command line.

The names in __all__ are the library's stable ones (docs/python.md). They are imported when they are first used, so that
`import pipeline` costs nothing.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.api import Generator
    from pipeline.errors import DataError, ModelError, PipelineError, VideoError
    from pipeline.model_dir import ModelCard
    from pipeline.sources.opening import probe, read_frames
    from pipeline.video import VideoInfo, write_video

__all__ = [
    "DataError",
    "Generator",
    "ModelCard",
    "ModelError",
    "PipelineError",
    "VideoError",
    "VideoInfo",
    "probe",
    "read_frames",
    "write_video",
]

_HOMES = {
    "Generator": "pipeline.api",
    "DataError": "pipeline.errors",
    "ModelError": "pipeline.errors",
    "PipelineError": "pipeline.errors",
    "VideoError": "pipeline.errors",
    "ModelCard": "pipeline.model_dir",
    "VideoInfo": "pipeline.video",
    "probe": "pipeline.sources.opening",
    "read_frames": "pipeline.sources.opening",
    "write_video": "pipeline.video",
}

# Here, because OpenMP reads it once, when torch is loaded. Its threads wait for each other by spinning: beside other
# work that takes the cores, a training step of 0.09 s took 9 s. After so many turns they sleep, which costs nothing on
# an idle machine and leaves every result as it is. A person's own setting is left alone.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'pipeline' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

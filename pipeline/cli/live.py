"""Commands in real time: stream, and what predict does with a camera."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Annotated

from typer import Argument, BadParameter, Option, Typer, echo

from pipeline.cli.app import Json, Quiet, Voice, command
from pipeline.errors import VideoError

CAMERA_FPS = 30.0
Rate = Annotated[
    float | None,
    Option(metavar="N", min=0.01, max=1000, help=f"frames per second (of a camera: {CAMERA_FPS:g} if not told)"),
]
Camera = Annotated[int | None, Option(metavar="N", min=0, help="take the frames of the camera N (0: the first one)")]
Seconds = Annotated[float | None, Option(metavar="N", min=0, help="end after so many seconds (else Ctrl-C ends it)")]


def register(app: Typer) -> None:
    """Add the commands of this module to `app`."""
    command(
        app,
        "predict or translate frames in real time",
        "ffmpeg -i rtsp://camera -f rawvideo -pix_fmt rgb24 -s 256x256 -r 30 - \\",
        "    | foreframe stream --size 256x256 --rate 30 --ahead 5 \\",
        "    | ffplay -f rawvideo -pixel_format rgb24 -video_size 256x256 -framerate 30 -",
        "foreframe stream expected.mp4 --camera 0 --ahead 5 --seconds 60",
    )(stream)


def stream(
    output: Annotated[
        str, Argument(metavar="[OUT]", help="a video to write: .mp4, .mov, .mkv … (default: raw frames, to the pipe)")
    ] = "-",
    *,
    size: Annotated[
        str | None,
        Option(metavar="WIDTHxHEIGHT", help="of the raw frames, rgb24, on standard input; asked of a camera"),
    ] = None,
    rate: Rate = None,
    camera: Camera = None,
    ahead: Annotated[
        int, Option(metavar="N", min=1, max=1000, help="how many frames later the frame is that a model predicts")
    ] = 1,
    side: Annotated[
        int | None,
        Option(metavar="PIXELS", min=1, help="shorter side of the frames that the model computes (as in training)"),
    ] = None,
    seconds: Seconds = None,
    model: Annotated[
        Path | None,
        Option(
            metavar="PATH",
            help="a model directory, or the word pretrained (default: the champion, else data/model, else pretrained)",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say at each frame that comes over a pipe, or from a camera, which frame comes --ahead frames later.

    One frame goes out for each that comes in, as soon as it is made. A model that translates writes its translation.
    At the end standard error says how long frames took, and how many were not done before the next one was due.
    """
    live(output, camera, Voice(json, quiet), size=size, fps=rate, ahead=ahead, side=side, seconds=seconds, model=model)


def live(
    output: str,
    camera: int | None,
    voice: Voice,
    *,
    ahead: int,
    side: int | None,
    model: Path | None,
    size: str | None = None,
    fps: float | None = None,
    seconds: float | None = None,
) -> None:
    """What `stream` does, and `predict --camera`."""
    to_pipe = output == "-"
    if to_pipe and sys.stdout.isatty():
        raise BadParameter("a terminal cannot show raw frames: name a video to write, or pipe them", param_hint="OUT")
    if to_pipe and voice.json:
        raise BadParameter("standard output has the frames; name a video to write", param_hint="--json")
    shape = None if size is None else parsed_size(size)
    if camera is None and (shape is None or fps is None):
        raise BadParameter("raw frames do not say so; give both", param_hint="--size WIDTHxHEIGHT --rate N")

    from pipeline.inference.arrivals import told
    from pipeline.inference.model_choice import choose_model_live
    from pipeline.inference.streaming import Stream
    from pipeline.video import camera as cameras
    from pipeline.video import raw_frames

    fps = fps or CAMERA_FPS
    if camera is not None:
        frames = cameras.read_camera(camera, fps, shape)
        first = next(frames, None)
        if first is None:
            raise VideoError(f"camera {camera}: was opened, but no picture came; does another program use it?")
        shape, frames = (first.shape[0], first.shape[1]), chain([first], frames)
    else:
        assert shape is not None
        frames = raw_frames.read_raw_frames(raw_frames.standard_input(), shape)
    model_dir, why = choose_model_live(model)
    running = Stream(
        frames, model_dir, size=shape, fps=fps, ahead=ahead, side=side, seconds=seconds, newest=camera is not None
    )
    with interrupted(running.end):
        facts = running.write(None if to_pipe else Path(output))
    said = f"{model_dir} ({why}): {told(facts)}"
    if not to_pipe:
        voice.line(f"{output}: {said}")
    elif not voice.quiet:  # standard output has the frames
        echo(f"foreframe stream: {said}", err=True)
    voice.facts({"output": output, **facts, "ahead": ahead, "model": model_dir, "chosen": why})


def parsed_size(text: str) -> tuple[int, int]:
    """`WIDTHxHEIGHT` as (height, width)."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and 0 < int(width) < 2**15 and 0 < int(height) < 2**15):
        raise BadParameter(f"should be like 640x360, width and height in pixels (got {text})", param_hint="--size")
    return int(height), int(width)


@contextmanager
def interrupted(end: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C ends in order, by `end`; a second one at once."""
    before = signal.getsignal(signal.SIGINT)

    def handler(number: int, _: object) -> None:
        signal.signal(signal.SIGINT, before)
        end()

    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

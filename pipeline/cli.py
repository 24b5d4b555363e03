"""The command `foreframe`: what a person types. Torch is imported by the commands that need it, so help is quick."""

import errno
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn

from typer import Argument, Option, Typer, echo

from pipeline.errors import PipelineError, told

DEFAULT_MODEL = Path("data/model")  # where `dvc repro` leaves one
MODELS = Path("models")  # where flows/retrain.py promotes them to
SIGNALLED = 128  # added to a signal's number, the exit code that shells know

# \b: the lines that follow are not wrapped
EXAMPLES = """\b
examples:
  foreframe predict walk.mp4 longer.mp4 --frames 30
  foreframe predict walk.avi longer.mp4 --frames 300 --model models/champion
  foreframe predict walk.mp4 future.mp4 --frames 30 --samples 3 --seed 7
  foreframe translate noisy.mp4 clean.mp4 --model models/denoiser
  foreframe info walk.mp4
  foreframe info data/model
  foreframe info data/metrics
  foreframe rollback
  foreframe check
  foreframe --install-completion
"""

Source = Annotated[Path, Argument(metavar="IN", help="any video file; an array or a stack of pictures, too")]
Output = Annotated[Path, Argument(metavar="OUT", help="the file to write: .mp4, .m4v, .mov or .mkv; or .npy")]
Model = Annotated[Path, Option(metavar="PATH", help="a model directory")]

app = Typer(
    help="Recurrent networks for videos: `dvc repro` trains one, these commands use it.",
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,  # plain text, which is quick, and whole in a log or a narrow terminal
    pretty_exceptions_enable=False,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command in `arguments`, argv by default, and exit: 0, or 1 and one line for a mistake or a full disk.

    Exits with 2 where the arguments are wrong, with 130 at Ctrl-C, 143 at SIGTERM, 141 where nobody reads the output.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # under nohup it is not
            signal.signal(number, _end)
    try:
        try:
            app(arguments, prog_name="foreframe")
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, because at exit Python would print a traceback
    except SystemExit as ending:
        if isinstance(ending.__context__, BrokenPipeError):  # Typer makes it a mistake, exit code 1
            _nobody_reads()
        raise
    except PipelineError as error:
        sys.exit(f"foreframe {arguments[0]}: {error}")
    except BrokenPipeError:
        _nobody_reads()
    except OSError as error:
        if error.filename is None and error.errno == errno.ENOSPC:
            error.filename = "standard output"  # a file would be named
            _forget_output()
        sys.exit(f"foreframe {arguments[0] if arguments else ''}: {told(error)}")


def _end(number: int, _: object) -> None:
    """A signal's handler: ends the process in order, so that half a file is removed."""
    sys.exit(SIGNALLED + number)


def _nobody_reads() -> NoReturn:
    _forget_output()
    sys.exit(SIGNALLED + signal.SIGPIPE)


def _forget_output() -> None:
    """Drop what standard output still holds: it cannot be written."""
    if sys.stdout is not None:
        with suppress(OSError, ValueError):  # what pytest puts there has no number
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@app.command(
    short_help="continue a video by generated frames",
    epilog="example: foreframe predict walk.mp4 longer.mp4 --frames 30",
)
def predict(
    source: Source,
    output: Output,
    *,
    frames: Annotated[int, Option(metavar="N", min=1, help="frames to generate")],
    size: Annotated[
        int | None,
        Option(
            metavar="PIXELS",
            min=1,
            help="shorter side of the frames that the model computes, for more detail (as large as in training)",
        ),
    ] = None,
    samples: Annotated[
        int,
        Option(
            metavar="N",
            min=1,
            help="futures to write, as OUT-1, OUT-2 …, by a model that was trained with noise",
        ),
    ] = 1,
    seed: Annotated[int, Option(metavar="N", min=0, max=2**32 - 1, help="of the first future's noise")] = 0,
    model: Model = DEFAULT_MODEL,
) -> None:
    """Write the video IN, continued by N generated frames, to OUT: same size, same frame rate."""
    from pipeline.inference.generation import check_futures, continue_video

    check_futures(model, samples)
    for number in range(samples):
        future = output if samples == 1 else output.with_stem(f"{output.stem}-{number + 1}")
        num_source = continue_video(source, future, model, frames, size, seed + number)
        echo(f"{future}: {num_source} frames of {source}, then {frames} generated")


@app.command(
    short_help="turn a video into another, frame by frame",
    epilog="example: foreframe translate noisy.mp4 clean.mp4",
)
def translate(
    source: Source,
    output: Output,
    *,
    degrade: Annotated[
        bool,
        Option(
            "--degrade",
            help="IN is a clean video: first do to it what the model was trained to undo, to see how well it does",
        ),
    ] = False,
    tile: Annotated[
        int | None,
        Option(
            metavar="PIXELS",
            min=0,
            help="compute frames in tiles of that side, a multiple of 32 from 64, or whole for 0 "
            "(default: whole if memory suffices)",
        ),
    ] = None,
    model: Model = DEFAULT_MODEL,
) -> None:
    """Write what a translating model makes of the video IN to OUT: any size and length, with its audio."""
    from pipeline.inference.translation import translate_video

    num_frames = translate_video(source, output, model, degrade=degrade, tile=tile)
    echo(f"{output}: {num_frames} frames of {source}, translated")


@app.command(
    short_help="say what a video, a model or a folder of metrics is",
    epilog="examples: foreframe info walk.mp4; foreframe info data/model; foreframe info data/metrics",
)
def info(
    path: Annotated[
        Path,
        Argument(metavar="FILE|FOLDER", help="a video file, a model directory, or a folder with metrics.json"),
    ],
) -> None:
    """Say what a video file or a model directory is, or show a folder of metrics as a table."""
    metrics = path / "metrics.json"
    if metrics.is_file():
        from pipeline.pages.page import markdown, read_summary

        echo(markdown(read_summary(path)))
        return
    from pipeline.inference.generation import describe_model, describe_video

    facts = describe_model(path) if path.is_dir() else describe_video(path)
    width = max(map(len, facts))
    for heading, text in facts.items():
        echo(f"{heading:{width}}  {text}")


@app.command(short_help="put the model before the champion back")
def rollback(
    models: Annotated[Path, Option(metavar="PATH", help="the folder of promoted models")] = MODELS,
) -> None:
    """Make the model that the champion replaced the champion again."""
    from pipeline import model_versions

    echo(f"{model_versions.rollback(models)} is the champion")


@app.command(short_help="look for files that a disk or a copy has damaged")
def check(
    folder: Annotated[Path, Argument(metavar="[FOLDER]", help="where dvc.yaml is")] = Path(),
) -> None:
    """Read frames, models, training states and what dvc.lock names: one line per damaged file, and exit code 1."""
    from pipeline import integrity

    found: set[str] = set()
    for name, faults in integrity.parts(folder):
        count = len(found)
        for fault in faults():
            path = fault.partition(": ")[0]
            if path not in found:
                echo(fault)
            found.add(path)
        if len(found) == count:
            echo(f"{name}: sound")
    if found:
        raise PipelineError(f"{len(found)} {'files are' if len(found) > 1 else 'file is'} not as written")


COMMANDS = [command.callback.__name__ for command in app.registered_commands if command.callback]


if __name__ == "__main__":
    main()

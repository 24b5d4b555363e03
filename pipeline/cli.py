"""The command `foreframe`: what a person types. Torch is imported by the commands that need it, so help is quick."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.pages import page

DEFAULT_MODEL = Path("data/model")  # where `dvc repro` leaves one
MODELS = Path("models")  # where flows/retrain.py promotes them to

EXAMPLES = """examples:
  foreframe predict walk.mp4 longer.mp4 --frames 30
  foreframe predict walk.avi longer.mp4 --frames 300 --model models/champion
  foreframe predict walk.mp4 future.mp4 --frames 30 --samples 3 --seed 7
  foreframe translate noisy.mp4 clean.mp4 --model models/denoiser
  foreframe info walk.mp4
  foreframe info data/model
  foreframe info data/metrics
  foreframe rollback
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command in `arguments`, argv by default; a user's mistake is one line and exit code 1."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        options.run(options)
    except PipelineError as error:
        sys.exit(f"foreframe {options.command}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def parser() -> argparse.ArgumentParser:
    """The commands; each adds itself."""
    top = argparse.ArgumentParser(
        prog="foreframe",
        description="Recurrent networks for videos: `dvc repro` trains one, these commands use it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_predict(commands)
    add_translate(commands)
    add_info(commands)
    add_rollback(commands)
    return top


def add_predict(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "predict",
        help="continue a video by generated frames",
        description="Write the video IN, continued by N generated frames, to OUT: same size, same frame rate.",
        epilog="example: foreframe predict walk.mp4 longer.mp4 --frames 30",
    )
    command.add_argument("source", metavar="IN", type=Path, help="any video file")
    command.add_argument("output", metavar="OUT", type=Path, help="the file to write: .mp4, .m4v, .mov or .mkv")
    command.add_argument("--frames", metavar="N", type=positive, required=True, help="frames to generate")
    command.add_argument(
        "--size",
        metavar="PIXELS",
        type=positive,
        help="shorter side of the frames that the model computes, for more detail (as large as in training)",
    )
    command.add_argument(
        "--samples",
        metavar="N",
        type=positive,
        default=1,
        help="futures to write, as OUT-1, OUT-2 …, by a model that was trained with noise (1)",
    )
    command.add_argument("--seed", metavar="N", type=pixels, default=0, help="of the first future's noise (0)")
    add_model(command)
    command.set_defaults(run=predict)


def predict(options: argparse.Namespace) -> None:
    from pipeline.inference.generation import check_futures, continue_video

    check_futures(options.model, options.samples)
    for number in range(options.samples):
        output = options.output
        if options.samples > 1:
            output = output.with_stem(f"{output.stem}-{number + 1}")
        seed = options.seed + number
        given = continue_video(options.source, output, options.model, options.frames, options.size, seed)
        say(f"{output}: {given} frames of {options.source}, then {options.frames} generated")


def add_translate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "translate",
        help="turn a video into another, frame by frame",
        description="Write what a translating model makes of the video IN to OUT: any size and length, with its sound.",
        epilog="example: foreframe translate noisy.mp4 clean.mp4",
    )
    command.add_argument("source", metavar="IN", type=Path, help="any video file")
    command.add_argument("output", metavar="OUT", type=Path, help="the file to write: .mp4, .m4v, .mov or .mkv")
    command.add_argument(
        "--degrade",
        action="store_true",
        help="IN is a clean video: first do to it what the model was trained to undo, to see how well it does",
    )
    command.add_argument(
        "--tile",
        metavar="PIXELS",
        type=pixels,
        help="compute frames in tiles of that side, a multiple of 32 from 64; 0: whole (default: if memory suffices)",
    )
    add_model(command)
    command.set_defaults(run=translate)


def translate(options: argparse.Namespace) -> None:
    from pipeline.inference.translation import translate_video

    count = translate_video(options.source, options.output, options.model, degrade=options.degrade, tile=options.tile)
    say(f"{options.output}: {count} frames of {options.source}, translated")


def add_info(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "info",
        help="say what a video, a model or a folder of metrics is",
        description="Say what a video file or a model folder is, or show a folder of metrics as a table.",
        epilog="examples: foreframe info walk.mp4; foreframe info data/model; foreframe info data/metrics",
    )
    command.add_argument(
        "path", metavar="FILE|FOLDER", type=Path, help="a video file, or a folder with a model or with metrics.json"
    )
    command.set_defaults(run=info)


def info(options: argparse.Namespace) -> None:
    metrics = options.path / "metrics.json"
    if metrics.is_file():
        say(page.markdown(json.loads(metrics.read_text(encoding="utf-8"))))
        return
    from pipeline.inference.generation import describe_model, describe_video

    facts = describe_model(options.path) if options.path.is_dir() else describe_video(options.path)
    width = max(map(len, facts))
    say("\n".join(f"{heading:{width}}  {text}" for heading, text in facts.items()))


def add_rollback(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "rollback",
        help="put the model before the champion back",
        description="Make the model that the champion replaced the champion again.",
    )
    command.add_argument(
        "--models", metavar="PATH", type=Path, default=MODELS, help=f"the folder of promoted models ({MODELS})"
    )
    command.set_defaults(run=rollback)


def rollback(options: argparse.Namespace) -> None:
    from pipeline import registry

    say(f"{registry.rollback(options.models)} is the champion")


def add_model(command: argparse.ArgumentParser) -> None:
    """The option --model, the same for every command that uses one."""
    command.add_argument(
        "--model", metavar="PATH", type=Path, default=DEFAULT_MODEL, help=f"a model folder ({DEFAULT_MODEL})"
    )


def positive(text: str) -> int:
    """A count of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more (got {text})")
    return number


def pixels(text: str) -> int:
    """A number of pixels, 0 or more."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more (got {text})")
    return number


def say(text: str) -> None:
    """What a command has to say goes to standard output, what it logs to standard error."""
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()

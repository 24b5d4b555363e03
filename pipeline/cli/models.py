"""Commands about models: info, rollback."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option, Typer

from pipeline.cli.app import Json, Quiet, Voice, command

MODELS = Path("models")  # where flows/retrain.py promotes them to


def register(app: Typer) -> None:
    """Add the commands of this module to `app`."""
    command(
        app,
        "say what a video, a model or a folder of metrics is",
        "foreframe info walk.mp4",
        "foreframe info data/model",
        "foreframe info data/metrics --json",
    )(info)
    command(app, "put the model before the champion back", "foreframe rollback")(rollback)


def info(
    path: Annotated[
        Path,
        Argument(metavar="FILE|FOLDER", help="a video file, a model directory, or a folder with metrics.json"),
    ],
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say what a video file or a model directory is, or show a folder of metrics as a table."""
    voice = Voice(json, quiet)
    if (path / "metrics.json").is_file():
        from pipeline.pages.page import markdown, read_summary

        summary = read_summary(path)
        voice.line(markdown(summary))
        voice.facts({"metrics": summary})
        return
    from pipeline.inference.generation import describe_model, describe_video

    facts = describe_model(path) if path.is_dir() else describe_video(path)
    width = max(map(len, facts))
    for heading, text in facts.items():
        voice.line(f"{heading:{width}}  {text}")
    voice.facts(facts)


def rollback(
    models: Annotated[Path, Option(metavar="PATH", help="the folder of promoted models")] = MODELS,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make the model that the champion replaced the champion again."""
    from pipeline import model_versions

    voice = Voice(json, quiet)
    name = model_versions.rollback(models)
    voice.line(f"{name} is the champion")
    voice.facts({"champion": name})

"""Commands about models: info, export, rollback."""

from collections.abc import Mapping
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
        "foreframe info ~/films/walks",
        "foreframe info data/metrics --json",
        "foreframe info    (the model that this project's commands take)",
    )(info)
    command(
        app,
        "write a model as ONNX, as a page that runs it in a browser, or as a folder to share",
        "foreframe export models/champion walk.onnx",
        "foreframe export data/model walk-model --card --licence apache-2.0 --data '40 walks in a park'",
        "foreframe export pretrained continue.html --web package/dist",
        "foreframe export data/model walk-model --card --metrics data/metrics/metrics.json",
    )(export)
    command(app, "put the model before the champion back", "foreframe rollback")(rollback)


def info(
    path: Annotated[
        Path | None,
        Argument(
            metavar="[FILE|FOLDER]",
            help="a video, a model directory or the word pretrained, a folder of metrics or of videos (default: the "
            "champion, else data/model, else pretrained)",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say what a video or a model directory is, list a folder of videos, or show a folder of metrics as a table."""
    voice = Voice(json, quiet)
    if path is None or (str(path) == "pretrained" and not path.exists()):
        from pipeline.inference.generation import describe_model  # torch takes seconds
        from pipeline.inference.model_choice import choose_model_live

        model, why = choose_model_live(path)
        _say(voice, {"model": f"{model} ({why})", **describe_model(model)})
        return
    if (path / "metrics.json").is_file():
        from pipeline.pages.page import markdown, read_summary

        summary = read_summary(path)
        voice.line(markdown(summary))
        voice.facts({"metrics": summary})
        return
    if (path / "model.json").exists():
        from pipeline.inference.generation import describe_model

        _say(voice, describe_model(path))
        return
    from pipeline.project.listing import describe

    _say(voice, describe(path))


def _say(voice: Voice, facts: Mapping[str, str]) -> None:
    """Facts by heading: a table of two columns, or JSON."""
    width = max(map(len, facts))
    for heading, text in facts.items():
        voice.line(f"{heading:{width}}  {text}")
    voice.facts(facts)


def export(
    model: Annotated[Path, Argument(metavar="MODEL", help="a model directory, or the word pretrained")],
    output: Annotated[
        Path, Argument(metavar="OUT", help="to write: a file .onnx, with --web .html, with --card a folder")
    ],
    card: Annotated[bool, Option("--card", help="write weights, model.json and a model card, README.md")] = False,
    licence: Annotated[str, Option(metavar="NAME", help="of the weights, for the card, such as apache-2.0")] = "other",
    data: Annotated[str, Option(metavar="TEXT", help="what it was trained on, for the card")] = "",
    web: Annotated[
        Path | None,
        Option(
            metavar="DIST",
            help="write a page that continues videos in the browser, by the runtime in this folder: package/dist of "
            "`npm pack onnxruntime-web@1.30.0`, unpacked",
        ),
    ] = None,
    metrics: Annotated[
        Path | None, Option(metavar="FILE", help="metrics.json of this model, for the card (default: validation)")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write MODEL to OUT: two ONNX graphs, for the first frame and for every next one, or a folder with its card."""
    from pipeline.inference.model_choice import choose_model_dir

    voice = Voice(json, quiet)
    model, _ = choose_model_dir(model)
    if card:
        from pipeline.inference.model_card import export_folder

        files = export_folder(model, output, licence=licence, data=data, metrics=metrics)
        for path in files:
            voice.line(str(path))
        voice.facts({"files": files})
        return
    from pipeline.inference.onnx_export import STEPS, export_onnx

    if web is not None:
        from pipeline.inference.web_page import export_page

        difference = export_page(model, output, web)
        voice.line(f"{output}: open it in a browser and drop a video; all that it needs is in it")
        voice.facts({"files": [output], "difference": difference, "steps": STEPS})
        return
    files, difference = export_onnx(model, output)
    voice.line(f"{files[0]}: a sequence's first frame")
    voice.line(f"{files[1]}: every further step")
    voice.line(f"onnxruntime differs from torch by {difference:.1g} at most over {STEPS} steps")
    voice.facts({"files": files, "difference": difference, "steps": STEPS})


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

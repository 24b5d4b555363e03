"""A model directory that people share: with README.md, the model card in the form that Hugging Face's tools read."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.errors import ModelError
from pipeline.model_dir import CARD, WEIGHTS, ModelCard, load, save
from pipeline.pages import figures
from pipeline.runtime.files import write_text

FILE = "README.md"
NAMES = {"mse": "MSE", "mae": "MAE", "psnr": "PSNR", "ssim": "SSIM"}


def export_folder(
    model_dir: Path, folder: Path, *, licence: str = "other", data: str = "", metrics: Path | None = None
) -> list[Path]:
    """Write the model in `model_dir` and its card to `folder`; returns the files.

    `licence` is a name such as Hugging Face's hub knows (apache-2.0), `data` says in words what it was trained on,
    `metrics` is a metrics.json of the stage evaluate. Raises ModelError where there is no model, or `folder` is that of
    the model itself.
    """
    if folder.exists() and folder.resolve() == model_dir.resolve():
        raise ModelError(f"{folder}: is the model directory itself; name another folder")
    model, card = load(model_dir)
    measured = figures.read_figures(metrics, "name another for --metrics") if metrics is not None else {}
    save(folder, model, card)
    write_text(folder / FILE, model_card(card, folder.resolve().name, licence=licence, data=data, measured=measured))
    return [folder / name for name in (FILE, CARD, WEIGHTS)]


def model_card(card: ModelCard, name: str, *, licence: str, data: str, measured: dict[str, Any]) -> str:
    """The text of README.md: front matter, what the model does, how to use it, what was measured."""
    front = {
        "library_name": "foreframe",
        "pipeline_tag": "video-to-video",
        "license": licence,
        "tags": [card.name, card.task, "video-prediction" if card.task == "predict" else "video-restoration"],
        "model-index": [{"name": name, "results": [_result(card, data, measured)]}],
    }
    channels, height, width = card.frame_shape
    rate = "any frame rate" if card.fps is None else f"{card.fps:g} frames per second"
    does = (
        f"continues a video: from {card.context} frames it was trained to predict the next {card.horizon}"
        if card.task == "predict"
        else f"translates a video frame by frame ({card.translation.label if card.translation else ''})"
    )
    verb = "continue_video" if card.task == "predict" else "translate_video"
    rest = ", num_frames=30" if card.task == "predict" else ""
    lines = [
        "---",
        _yaml(front).rstrip(),
        "---",
        f"# {name}",
        "",
        f"A recurrent generator (`{card.name}`) that {does}. Trained on frames of {width} x {height} pixels, "
        f"{'gray' if channels == 1 else 'in colour'}, at {rate}.",
        "",
        f"Trained on: {data or 'not said'} (content hash `{card.data[:16]}`).",
        "",
        "```python",
        "from pipeline import Generator",
        "",
        f'generator = Generator.from_pretrained("{name}")',
        f'generator.{verb}("in.mp4", "out.mp4"{rest})',
        "```",
        "",
        *_table(card, measured),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _yaml(content: dict[str, Any]) -> str:
    import io

    yaml, text = YAML(), io.StringIO()
    yaml.default_flow_style = False
    yaml.width = 4096
    yaml.dump(content, text)
    return text.getvalue()


def _result(card: ModelCard, data: str, measured: dict[str, Any]) -> dict[str, Any]:
    """An entry of the front matter's `model-index`: of the test set where it was measured, else of validation."""
    own = measured.get("model") or {name.removeprefix("val_"): value for name, value in card.metrics.items()}
    values = {name: value for name, value in own.items() if not isinstance(value, dict)}  # no intervals
    return {
        "task": {"type": "video-to-video", "name": card.made_for.description},
        "dataset": {"type": "videos", "name": data or "own videos", "split": "test" if measured else "validation"},
        "metrics": [{"type": name, "name": NAMES.get(name, name), "value": value} for name, value in values.items()],
    }


def _table(card: ModelCard, measured: dict[str, Any]) -> list[str]:
    """What was measured, beside the non-learned baselines, as lines of Markdown."""
    if not measured:
        shown = ", ".join(f"{name} {value:.4g}" for name, value in sorted(card.metrics.items()))
        return [f"In validation: {shown}. MSE is a sum over the pixels of a frame, of values from 0 to 1."]
    note = "Means over the test clips; MSE and MAE are sums over the pixels of a frame, of values from 0 to 1."
    return [*figures.markdown(measured).splitlines(), "", note]

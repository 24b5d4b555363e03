"""A page that continues a dropped video in the browser: one HTML file that holds model, runtime and all, for ever.

The model is ONNX (onnx_export.py), the runtime onnxruntime-web's, of its npm package; the page loads nothing from
anywhere and sends nothing, which its Content-Security-Policy holds it to. What it looks like stands in
web_page.html.jinja, what it does in web_page.js.
"""

import base64
import gzip
import json
import tempfile
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.errors import ModelError, PipelineError
from pipeline.inference.onnx_export import export_onnx
from pipeline.model_dir import load_card
from pipeline.runtime.files import replacing

RUNTIME = {"script": "ort.wasm.bundle.min.mjs", "wasm": "ort-wasm-simd-threaded.wasm"}
PACKAGE = "onnxruntime-web@1.30.0"  # that this was tested with


def export_page(model_dir: Path, output: Path, runtime: Path) -> float:
    """Write the page for the model in `model_dir` to `output` (.html); `runtime` is `dist` of npm's onnxruntime-web.

    Returns the largest difference between torch and onnxruntime, as export_onnx. Raises PipelineError where the name
    does not end in .html or the runtime is not there, ModelError for a model that translates or takes one size only.
    """
    if output.suffix != ".html":
        raise PipelineError(f"{output}: should end in .html; with --web it is a page")
    missing = [name for name in RUNTIME.values() if not (runtime / name).is_file()]
    if missing:
        raise PipelineError(
            f"{runtime / missing[0]}: is not there; name the folder package/dist of `npm pack {PACKAGE}`, unpacked"
        )
    card = load_card(model_dir)
    if not card.made_for.feeds_back:
        raise ModelError(f"{model_dir}: is made to {card.task}, and the page continues videos")
    with tempfile.TemporaryDirectory() as folder:
        (begin, step), difference = export_onnx(model_dir, Path(folder) / "model.onnx")
        held = {"begin": begin, "step": step, **{name: runtime / file for name, file in RUNTIME.items()}}
        page = _page(json.loads(card.model_dump_json()), {name: _packed(path) for name, path in held.items()})
    with replacing(output) as part:
        part.write_text(page, encoding="utf-8")
    return difference


def _packed(path: Path) -> str:
    return base64.b64encode(gzip.compress(path.read_bytes(), mtime=0)).decode("ascii")


def _page(card: dict, held: dict[str, str]) -> str:
    templates = Environment(
        loader=PackageLoader("pipeline.inference", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return templates.get_template("web_page.html.jinja").render(card=card, held=held)

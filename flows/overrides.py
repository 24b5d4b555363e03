"""Parameters for one run: `model.name=lstm` written into params.yaml, as `dvc exp run -S` does."""

from pathlib import Path

from ruamel.yaml import YAML

from flows.dvc_graph import PARAMS, Stage, plan
from pipeline.errors import ParamsError, PipelineError
from pipeline.params import Params, load_params, parse_params
from pipeline.runtime.files import replacing, write_bytes

NULL = "tag:yaml.org,2002:null"


def prepare(overrides: list[str], targets: list[str] | None = None) -> tuple[Params, list[Stage]]:
    """Write `overrides` into params.yaml and plan; where that raises PipelineError, params.yaml is as it was."""
    before = PARAMS.read_bytes()
    params = set_params(overrides)
    try:
        return params, plan(targets)
    except PipelineError:
        write_bytes(PARAMS, before)
        raise


def set_params(overrides: list[str], path: Path = PARAMS) -> Params:
    """Write `overrides` into the file at `path`, whose comments stay, and return what it then holds.

    All of them, and all that the file holds besides, are checked before anything is written. Raises ParamsError, with
    one line per override or key that is wrong.
    """
    if not overrides:
        return load_params(path)
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.representer.add_representer(type(None), lambda dumper, _: dumper.represent_scalar(NULL, "null"))
    content = yaml.load(path)
    for override in overrides:
        key, found, text = override.partition("=")
        *parents, name = key.strip().split(".")
        section = content
        for parent in parents:
            section = section.get(parent) if isinstance(section, dict) else None
        if not found or not isinstance(section, dict) or name not in section:
            raise ParamsError(f"{override}: should be key=value with a key of {path}")
        section[name] = YAML().load(text)  # [8, 8] stays on its line
    params = parse_params(content, path)
    with replacing(path) as part:
        yaml.dump(content, part)
    return params

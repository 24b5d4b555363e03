"""Runs a stage function as a command: paths from argv, sections from params.yaml; a mistake is one line."""

import argparse
import inspect
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError, out_of_memory, told
from pipeline.params import load_params


def run(function: Callable[..., None], load: Callable[[Path], Any] = load_params) -> None:
    """Call `function` with the paths in argv and the sections of params.yaml that its keyword-only arguments name.

    `load` reads params.yaml in the current folder.
    """
    parameters = inspect.signature(function).parameters.values()
    package = "pipeline.stages" if load is load_params else "pipeline.pretrain"
    parser = argparse.ArgumentParser(
        prog=f"python -m {package}.{function.__name__}", description=inspect.getdoc(function)
    )
    for parameter in parameters:
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            parser.add_argument(parameter.name, type=Path)
    arguments = parser.parse_args()
    sections = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        params = load(Path("params.yaml"))
        function(*vars(arguments).values(), **{name: getattr(params, name) for name in sections})
    except PipelineError as error:
        sys.exit(f"{function.__name__}: {error}")
    except OSError as error:
        sys.exit(f"{function.__name__}: {told(error)}")
    except (MemoryError, RuntimeError) as error:
        line = out_of_memory(error)
        if line is None:
            raise
        sys.exit(f"{function.__name__}: {line}")

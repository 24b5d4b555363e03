"""The hash of the code that decides an extracted frame, beside the version that extract's own key has of it.

`python -m tests.pipeline.ingest.decoding_code` records both in decoding_code.json, as test_decoding_code.py asks for.
"""

import ast
import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grimp

from pipeline.ingest import video_job

RECORD = Path(__file__).with_suffix(".json")
DECIDE_NO_FRAME = {"pipeline.errors", "pipeline.runtime.files"}  # classes of exceptions; write-then-rename


def modules() -> list[str]:
    """pipeline.ingest.video_job and every module of ours that it imports, directly or not, and that decides a frame."""
    graph = grimp.build_graph("pipeline", cache_dir=None)
    return sorted(({video_job.__name__} | graph.find_upstream_modules(video_job.__name__)) - DECIDE_NO_FRAME)


def code_of(source: str) -> Any:
    """The syntax tree of `source` as lists, the same for every comment, docstring, layout and version of Python."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            del node.body[0]
    return _listed(tree)


def _listed(node: Any) -> Any:
    if isinstance(node, ast.AST):
        fields = [[name, _listed(value)] for name, value in ast.iter_fields(node) if value not in (None, [])]
        return [type(node).__name__, *fields]
    return [_listed(each) for each in node] if isinstance(node, list) else repr(node)


def code_hash() -> str:
    """One hash of the code of modules()."""
    code = {}
    for name in modules():
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        code[name] = code_of(Path(spec.origin).read_text(encoding="utf-8"))
    return hashlib.sha256(json.dumps(code, sort_keys=True).encode()).hexdigest()


def main() -> None:
    """Record the hash of the code as it is, and its version."""
    record = {"code_hash": code_hash(), "decoding_version": video_job.DECODING_VERSION}
    RECORD.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""The small parameters are valid, small, and say what each key is as the shipped ones do."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from pipeline.params import load_params
from tests.small_params import make_small

ROOT = Path(__file__).parents[1]


def test_only_values_change(tmp_path):
    path = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", path)
    make_small(path)
    params = load_params(path)
    assert params.extract.size == (params.sample.frame_size,) * 2 == (16, 16)
    assert all(
        getattr(params.model, name).recipe.epochs == 2 for name in type(params.model).model_fields if name != "name"
    )

    def keys(text: str) -> list[str]:
        return re.findall(r"^ *\w+(?=:)", text, flags=re.MULTILINE)

    assert keys(path.read_text()) == keys((ROOT / "params.yaml").read_text())
    assert path.read_text().count(" # ") == (ROOT / "params.yaml").read_text().count(" # ")


def test_the_command_is_told_which_folder(tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path)

    def run(*arguments: str) -> int:
        command = [sys.executable, "-m", "tests.small_params", *arguments]
        return subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode

    shipped = (ROOT / "params.yaml").read_bytes()
    assert [run(), run("--help"), run("nowhere")] == [2, 0, 2]
    assert (tmp_path / "params.yaml").read_bytes() == shipped
    assert run(str(tmp_path)) == 0
    assert (tmp_path / "params.yaml").read_bytes() != shipped

"""Copies dvc.yaml, params.yaml and pyproject.toml into a wheel: `foreframe init` makes projects of them."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
TEMPLATE = "pipeline/project/files"


class WithTemplate(build_py):
    """An editable installation reads them where they are."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for name in ("dvc.yaml", "params.yaml", "pyproject.toml"):
                self.mkpath(str(Path(self.build_lib) / TEMPLATE))
                self.copy_file(str(ROOT / name), str(Path(self.build_lib) / TEMPLATE / name))


setup(cmdclass={"build_py": WithTemplate})

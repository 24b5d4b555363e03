"""How a training goes, epoch by epoch, in files that `dvc plots` and `dvc metrics` read; each is always whole."""

import json
import shutil
from pathlib import Path

from pipeline.runtime.files import write_text
from pipeline.training.progress import Row


class History:
    """Writes a table per quantity, `plots/metrics/NAME.tsv`, and the last values, `metrics.json`, as DVCLive does.

    What an earlier training wrote to `folder` is removed first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.columns: dict[str, list[str]] = {}  # lines, by quantity
        self.last: Row = {}
        self.epoch = 0
        shutil.rmtree(folder / "plots", ignore_errors=True)
        (folder / "plots").mkdir(parents=True)
        self._summarize()

    def add(self, row: Row) -> None:
        """Write the end of an epoch; the first is step 0."""
        self.last |= {**row, "step": self.epoch}
        for name, value in row.items():
            lines = self.columns.setdefault(name, [f"step\t{name}"])
            lines.append(f"{self.epoch}\t{value}")
            path = self.folder / f"plots/metrics/{name}.tsv"
            write_text(path, "\n".join(lines) + "\n", durable=False)
        self._summarize()
        self.epoch += 1

    def _summarize(self) -> None:
        write_text(self.folder / "metrics.json", json.dumps(self.last, indent=4) + "\n", durable=False)

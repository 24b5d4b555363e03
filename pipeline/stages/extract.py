"""Decodes every video into resized frames, chosen by their presentation times."""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline import stage
from pipeline.errors import DamagedVideo, PipelineError, VideoError
from pipeline.frames import write_array, write_index
from pipeline.params import ExtractParams
from pipeline.video import read_frames

logger = logging.getLogger(__name__)

Image = NDArray[np.uint8]


def extract(videos: Path, frames: Path, *, extract: ExtractParams) -> None:
    """Decode every video in VIDEOS into resized frames under FRAMES."""
    if not videos.is_dir():
        raise PipelineError(f"{videos}: no such folder; data.videos in params.yaml names the folder of videos")
    frames.mkdir(parents=True, exist_ok=True)
    paths = sorted(path for path in videos.rglob("*") if path.is_file())
    rows = []
    for path in tqdm(paths, desc="extract", unit="video"):
        row = extract_video(path, frames, extract)
        if row["status"] != "ok" and extract.on_error == "fail":
            raise VideoError(f"{path}: {row['reason']}; remove it, or set extract.on_error to skip")
        rows.append({**row, "path": path.relative_to(videos).as_posix()})
    write_index(frames, rows)
    kept = {row["array"] for row in rows} | {"index.csv"}
    for path in sorted(frames.iterdir()):
        if path.name not in kept:
            path.unlink()
    logger.info("%d files, %d without frames", len(rows), sum(not row["stored_frames"] for row in rows))


def extract_video(path: Path, folder: Path, params: ExtractParams) -> dict[str, object]:
    """Write the frames of one video into `folder`; returns its row of the index."""
    row: dict[str, object] = {"status": "ok", "reason": "", "array": "", "stored_frames": 0}
    row["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    times: list[float] = []

    def source() -> Iterator[tuple[float, Image]]:
        try:
            for seconds, image in read_frames(path):
                row["height"], row["width"] = image.shape[:2]
                times.append(seconds)
                yield seconds, resize(image, params.size, params.fit, params.color)
        except DamagedVideo as error:
            row.update(status="damaged", reason=str(error))
        except VideoError as error:
            row.update(status="skipped", reason=str(error))

    array = f"{str(row['sha256'])[:32]}.npy"
    row["stored_frames"] = write_array(folder / array, resample(source(), params.fps))
    if row["stored_frames"]:
        row["array"] = array
    row["num_frames"] = len(times)
    if len(times) > 1:
        row["fps"] = (len(times) - 1) / times[-1]
        row["duration_seconds"] = times[-1] * len(times) / (len(times) - 1)
    return row


def resample(frames: Iterable[tuple[float, Image]], fps: float | None) -> Iterator[Image]:
    """The frames that a player shows at 0, 1 / fps, 2 / fps … seconds, or all of them."""
    count = 0
    shown: Image | None = None
    for seconds, image in frames:
        if fps is None:
            yield image
            continue
        while shown is not None and count / fps < seconds - 1e-6:
            yield shown
            count += 1
        shown = image
    if shown is not None:
        yield shown


def resize(image: NDArray, size: tuple[int, int], fit: str, color: str) -> NDArray:
    """`image`, uint8 (H, W, 3), as uint8 (height, width, C): cropped or padded to the shape of `size`, or stretched."""
    height, width = size
    rows, columns = image.shape[:2]
    if color == "gray":
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if fit == "crop":
        scale = max(height / rows, width / columns)
        kept_rows, kept_columns = min(rows, round(height / scale)), min(columns, round(width / scale))
        top, left = (rows - kept_rows) // 2, (columns - kept_columns) // 2
        image = image[top : top + kept_rows, left : left + kept_columns]
    scaled = (height, width)
    if fit == "pad":
        scale = min(height / rows, width / columns)
        scaled = (max(1, round(rows * scale)), max(1, round(columns * scale)))
    shrinks = scaled[0] <= image.shape[0] and scaled[1] <= image.shape[1]
    image = cv2.resize(image, scaled[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    image = image.reshape(*scaled, -1)
    result = np.zeros((height, width, image.shape[2]), dtype=np.uint8)
    top, left = (height - scaled[0]) // 2, (width - scaled[1]) // 2
    result[top : top + scaled[0], left : left + scaled[1]] = image
    return result


if __name__ == "__main__":
    stage.run(extract)

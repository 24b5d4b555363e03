"""LeRobot data sets, format v3: many episodes lie in one video per camera, meta/episodes says from when to when."""

import hashlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import VideoError
from pipeline.runtime.files import read_json
from pipeline.sources.extras import imported
from pipeline.sources.part import Inspection, Part

INFO = Path("meta/info.json")
EPISODES = "meta/episodes/"
BLOCK_BYTES = 2**20


def is_dataset(folder: Path) -> bool:
    """Whether `folder` is a LeRobot data set of format v3; those before have a video per episode, as other folders."""
    try:
        info = read_json(folder / INFO)
    except (OSError, ValueError):
        return False
    return isinstance(info, dict) and str(info.get("codebase_version", "")).startswith("v3")


def inspect(
    folder: Path, files: Collection[str], camera: str | None, heartbeat: Callable[[], None], *, is_quick: bool = False
) -> Inspection:
    """The episodes of the data set at `folder`, as `camera` saw them (null: the only one).

    `files` are those of the folder that may be read. If `is_quick`, nothing is hashed. Raises VideoError where there is
    no such camera, or where the files are not as the format has them.
    """
    try:
        info = read_json(folder / INFO)
        key = _camera(info, camera)
        template, splits = str(info["video_path"]), _splits(info)
        rows = sorted(_rows(files, folder, key), key=lambda row: row["episode_index"])
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        text = " ".join(str(error).split())[:200]
        raise VideoError(
            f"{INFO} or {EPISODES} is not as LeRobot v3 has it ({type(error).__name__}: {text})"
        ) from error
    hashes: dict[str, str] = {}
    parts = []
    for row in rows:
        number = int(row["episode_index"])
        path = folder / _path(
            template, key, int(row[f"videos/{key}/chunk_index"]), int(row[f"videos/{key}/file_index"])
        )
        start, stop = float(row[f"videos/{key}/from_timestamp"]), float(row[f"videos/{key}/to_timestamp"])
        name, reason = f"episode_{number:06d}", ""
        if str(path) not in files:
            reason = f"its video {path.relative_to(folder)} is missing"
        elif str(path) not in hashes and not is_quick:
            hashes[str(path)] = _sha256(path, heartbeat)
        content = f"episode {start!r} {stop!r} {hashes.get(str(path))}"
        parts.append(
            Part(
                reader="video",
                path=str(path),
                name=name,
                content_hash="" if is_quick else hashlib.sha256(content.encode()).hexdigest(),
                start_seconds=start,
                stop_seconds=stop,
                num_frames=int(row["length"]),
                split=next((split for split, numbers in splits.items() if number in numbers), ""),
                reason=reason,
            )
        )
    if not parts:
        raise VideoError("holds no episode")
    return Inspection(parts)


def _camera(info: dict[str, Any], camera: str | None) -> str:
    """The key of the video feature that `camera` names, whole or by what follows its last dot."""
    features = {key: feature for key, feature in info["features"].items() if feature.get("dtype") == "video"}
    if not features:
        raise VideoError("holds no video: its cameras, if any, are stored as images")
    if camera is not None:
        found = [key for key in features if camera in (key, key.rpartition(".")[2])]
        if len(found) != 1:
            raise VideoError(f"has no camera {camera}: write one of {', '.join(features)} as extract.camera")
        return found[0]
    seen = [key for key, feature in features.items() if not _is_depth(feature)] or list(features)
    if len(seen) > 1:
        raise VideoError(f"has {len(seen)} cameras: write one of {', '.join(seen)} as extract.camera")
    return seen[0]


def _is_depth(feature: dict[str, Any]) -> bool:
    facts = feature.get("info") or feature.get("video_info") or {}
    return bool(facts.get("is_depth_map") or facts.get("video.is_depth_map"))


def _splits(info: dict[str, Any]) -> dict[str, range]:
    """The episodes of each split: "train": "0:50"."""
    splits = {}
    for name, text in (info.get("splits") or {}).items():
        start, _, stop = str(text).partition(":")
        splits[{"valid": "val", "validation": "val"}.get(name, str(name))] = range(int(start), int(stop))
    return {name: numbers for name, numbers in splits.items() if name in ("train", "val", "test")}


def _rows(files: Collection[str], folder: Path, key: str) -> Iterator[dict[str, Any]]:
    columns = ["episode_index", "length"]
    columns += [f"videos/{key}/{name}" for name in ("chunk_index", "file_index", "from_timestamp", "to_timestamp")]
    for file in sorted(files):
        relative = Path(file).relative_to(folder).as_posix()
        if relative.startswith(EPISODES) and relative.endswith(".parquet"):
            yield from imported("pyarrow.parquet").read_table(file, columns=columns).to_pylist()


def _path(template: str, key: str, chunk: int, file: int) -> str:
    """The template of info.json filled in; nothing else in it is looked up."""
    for name, value in (("chunk_index", chunk), ("file_index", file)):
        template = template.replace(f"{{{name}:03d}}", f"{value:03d}").replace(f"{{{name}}}", str(value))
    return template.replace("{video_key}", key)


def _sha256(path: Path, heartbeat: Callable[[], None]) -> str:
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            heartbeat()
            state.update(block)
    return state.hexdigest()

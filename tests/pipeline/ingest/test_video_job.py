import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from pipeline.ingest.video_job import Job, extract_video
from pipeline.video import frame_conversion, write_png, write_video


def job(folder, **changes):
    values = {"paths": [str(folder / "a.mp4")], "is_sequence": False, "array": str(folder / "a.npy")}
    values |= {"size": (8, 16), "fit": "pad", "color": "gray", "fps": None, "image_fps": 25.0}
    return Job(**(values | {"max_pixels": 10**7, "max_seconds": 1e9, "threads": 1} | changes))


def frames(count):
    return [np.full((16, 32, 3), 100 + number, np.uint8) for number in range(count)]


def run(job):
    """How many heartbeats the job had, and its outcome."""
    heartbeats = []
    outcome = extract_video(job, lambda: heartbeats.append(None), lambda: 0)
    return len(heartbeats), outcome


def test_a_job_is_the_same_after_its_way_to_a_worker(tmp_path):
    assert Job(**json.loads(json.dumps(asdict(job(tmp_path))))) == job(tmp_path)


def test_pictures_that_fill_their_size_are_not_copied_into_a_padded_one(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4", frames(3), 10.0)
    sent = Job(**json.loads(json.dumps(asdict(job(tmp_path)))))
    padded = []
    zeros = np.zeros
    monkeypatch.setattr(
        frame_conversion.np, "zeros", lambda *args, **kwargs: padded.append(args) or zeros(*args, **kwargs)
    )
    assert run(sent)[1].stored_frames == 3
    assert padded == []
    run(replace(sent, size=(16, 16)))
    assert len(padded) == 3


@pytest.mark.parametrize("threads", [1, 4])
def test_every_packet_is_a_heartbeat_whatever_the_number_of_threads(tmp_path, threads):
    write_video(tmp_path / "a.mp4", frames(20), 10.0)
    heartbeats, outcome = run(job(tmp_path, threads=threads))
    assert outcome.num_frames == 20
    assert heartbeats >= 20


def test_every_image_of_a_sequence_is_a_heartbeat(tmp_path):
    for number, image in enumerate(frames(5)):
        write_png(tmp_path / f"{number}.png", image)
    paths = [str(tmp_path / f"{number}.png") for number in range(5)]
    assert run(job(tmp_path, paths=paths, is_sequence=True))[0] == 5

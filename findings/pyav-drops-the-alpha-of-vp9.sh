#!/usr/bin/env bash
# PyAV 18.1.0: it writes VP9 with transparency, and reads the same file back as opaque.
#
# Behaviour: WebM keeps alpha as a second VP9 picture beside each packet. libvpx-vp9 writes it, and reads it where it is
# asked for by name. A container's own decoder is FFmpeg's `vp9`, which leaves it out without a word: frames are
# yuv420p, alpha is 255 everywhere, and what is transparent in a player shows whatever colour was stored below it.
# Expected: yuva420p, as it was written.
# Seen (alpha rises from left to right: 0, 64, 128, 192):
#   PyAV 18.1.0, decoder of the container (vp9): yuv420p, alpha [255, 255, 255, 255]
#   PyAV 18.1.0, CodecContext.create("libvpx-vp9", "r"): yuva420p, alpha [0, 64, 129, 193]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -qq av==18.1.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import sys

import av
import numpy as np

picture = np.zeros((48, 64, 4), np.uint8)
picture[..., 3] = 4 * np.arange(64)
with av.open("clear.webm", "w") as output:
    stream = output.add_stream("libvpx-vp9", rate=10)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva420p"
    for _ in range(3):
        output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgba")))
    output.mux(stream.encode())


def alpha(frame):
    return [int(level) for level in frame.to_ndarray(format="rgba")[0, ::16, 3]]


with av.open("clear.webm") as source:
    name = source.streams.video[0].codec_context.codec.name
    own = next(source.decode(video=0))
decoder = av.CodecContext.create("libvpx-vp9", "r")
with av.open("clear.webm") as source:
    other = next(frame for packet in source.demux(video=0) for frame in decoder.decode(packet))
print(f"PyAV {av.__version__}, decoder of the container ({name}): {own.format.name}, alpha {alpha(own)}")
print(f'PyAV {av.__version__}, CodecContext.create("libvpx-vp9", "r"): {other.format.name}, alpha {alpha(other)}')
sys.exit(not (set(alpha(own)) == {255} and alpha(other)[0] < 8))
PYTHON

#!/usr/bin/env bash
# PyAV 18.1.0: the frames that a decoder gives back when it is flushed by `codec_context.decode(None)` have no time base.
#
# Behaviour: frames of `packet.decode()` carry the stream's time base; the last ones of the same file, which the decoder
# held back for B-frames, have pts and `time_base` None, so that `frame.time` is no number, for the end of the video only.
# Expected: all frames of one stream carry the same time base.
# Seen:
#   PyAV 18.1.0
#   of packets: pts 9216 x 1/10240; flushed: pts 10240, 11264, time base None, time nan
# Way round: `frame.time_base or stream.time_base`, or demux until the empty packet and decode that.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
. "$work/venv/bin/activate"
pip install -qq av==18.1.0 numpy==2.4.6
cat > "$work/flush.py" <<'PY'
import io
import sys

import av
import numpy as np

file = io.BytesIO()
with av.open(file, "w", format="mp4") as container:
    stream = container.add_stream("libx264", rate=10)
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    stream.options = {"bf": "2"}
    for number in range(12):
        picture = np.full((64, 64, 3), 20 * number, np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
    container.mux(stream.encode(None))
file.seek(0)
with av.open(file) as container:
    stream = container.streams.video[0]
    decoded = [frame for packet in container.demux(stream) if packet.size for frame in packet.decode()]
    flushed = stream.codec_context.decode(None)
print(f"PyAV {av.__version__}")
print(f"of packets: pts {decoded[-1].pts} x {decoded[-1].time_base}; flushed: pts "
      f"{', '.join(str(frame.pts) for frame in flushed)}, time base {flushed[0].time_base}, time {flushed[0].time}")
if len(decoded) + len(flushed) != 12 or not flushed or flushed[0].time_base is not None:
    sys.exit("changed: flushed frames have a time base")
PY
python "$work/flush.py"

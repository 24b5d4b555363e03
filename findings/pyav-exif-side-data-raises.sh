#!/usr/bin/env bash
# PyAV 18.1.0: `frame.side_data` raises ValueError for a JPEG or PNG with EXIF, and for any kind of side data that its enum lacks.
#
# Behaviour: FFmpeg 8 attaches a picture's EXIF as side data of a kind (31) that `av.sidedata.sidedata.Type` has no name
# for; `frame.side_data` names all kinds when it is made, so that nothing of it can be read, the display matrix neither.
# Expected: what has no name is left out, or keeps its number; the display matrix, which EXIF's orientation became, is there.
# Seen:
#   PyAV 18.1.0
#   frame.rotation -90; frame.side_data: ValueError: 31 is not a valid Type
# Way round: the filter `sidedata=mode=delete:type=31` before the frame is asked (a number works where a name is missing).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
. "$work/venv/bin/activate"
pip install -qq av==18.1.0 pillow==13.0.0
cat > "$work/exif.py" <<'PY'
import io
import sys

import av
from PIL import Image

tags = Image.Exif()
tags[271], tags[274] = "Canon", 6  # the camera's maker; it was held upright
file = io.BytesIO()
Image.new("RGB", (48, 32)).save(file, "JPEG", exif=tags)
decoder = av.CodecContext.create("mjpeg", "r")
frame = [*decoder.decode(av.Packet(file.getvalue())), *decoder.decode(None)][0]
print(f"PyAV {av.__version__}")
try:
    told = f"{len(frame.side_data)} of a kind that it knows"
except ValueError as error:
    told = f"ValueError: {error}"
print(f"frame.rotation {frame.rotation}; frame.side_data: {told}")
if "ValueError" not in told:
    sys.exit("changed: side data of a picture with EXIF can be read")
PY
python "$work/exif.py"

#!/usr/bin/env bash
# onnxruntime 1.32.0: `import onnxruntime` and a session write a number of the machine and a queue of events, on Linux.
#
# Behaviour: the Linux wheel holds Microsoft's 1DS client. It makes ~/.cache/Microsoft/DeveloperTools/.onnxruntime/deviceid
# and onnxruntime.db, a queue of events for an address that is built in. Neither the import nor the session says so;
# the environment variable ORT_DISABLE_TELEMETRY=1, which has to be there before the import, ends it.
# Expected: as in earlier releases, where only the build for Windows told of its use; or a line that says so.
# Seen (Python 3.11):
#   onnxruntime 1.32.0: left at home: ['deviceid', 'onnxruntime.db', ...]
#   with ORT_DISABLE_TELEMETRY=1: []
# Way round: set ORT_DISABLE_TELEMETRY=1 before the import.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -qq onnxruntime==1.32.0 onnx==1.23.2
cd "$work"
cat > session.py <<'PYTHON'
import os
from importlib.metadata import version
from pathlib import Path

import onnx
import onnxruntime
from onnx import TensorProto, helper

value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "g", [value], [made])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
left = sorted(path.name for path in Path(os.environ["HOME"]).rglob("*") if path.is_file())
print(f"onnxruntime {version('onnxruntime')}: left at home: {left}")
raise SystemExit(0 if left else 1)
PYTHON
mkdir told untold
unset XDG_CACHE_HOME CI
HOME="$work/told" "$work/venv/bin/python" session.py || { echo "changed: nothing is left at home"; exit 1; }
if HOME="$work/untold" ORT_DISABLE_TELEMETRY=1 "$work/venv/bin/python" session.py; then
    echo "changed: the variable is not heeded"
    exit 1
fi

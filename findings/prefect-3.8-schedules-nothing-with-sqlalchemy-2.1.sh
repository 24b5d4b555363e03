#!/usr/bin/env bash
# Prefect 3.8.8 with SQLAlchemy 2.1.9, which its requirements allow: cron schedules never create a run, all else works.
#
# Behaviour: `pip install prefect==3.8.8` takes SQLAlchemy 2.1 (its requirement is >=2.0,<3.0.0). The server starts, is
# healthy, takes flows, deployments and runs started by hand. Its scheduler fails each time it is called, with
# "Can't evaluate bulk DML statement; please supply a bulk_dml decorated function" in the log alone: a deployment that is
# due every minute is shown as ready and has no run, ever. With SQLAlchemy 2.0 the first runs are there within seconds.
# Expected: runs, or a requirement of <2.1.
# Seen:
#   Prefect 3.8.8, SQLAlchemy 2.1.9: 0 runs are planned 70 seconds after a deployment for every minute was made
# Way round: sqlalchemy<2.1; Prefect 3.9.1 works with 2.1.9.
set -euo pipefail
work=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server"; wait; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install -qq prefect==3.8.8 sqlalchemy==2.1.9 fastapi==0.150.0
export PREFECT_HOME="$work/prefect" PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$python" -m prefect server start --host 127.0.0.1 --port "$port" > "$work/server.log" 2>&1 &
server=$!
"$python" - "$port" <<'PYTHON'
import sys
import time
from importlib.metadata import version

import httpx

api = httpx.Client(base_url=f"http://127.0.0.1:{sys.argv[1]}/api", timeout=30)
for _ in range(240):
    try:
        api.get("/health").raise_for_status()
        break
    except httpx.HTTPError:
        time.sleep(0.5)
flow = api.post("/flows/", json={"name": "every-minute"}).raise_for_status().json()["id"]
schedule = {"active": True, "schedule": {"cron": "* * * * *", "timezone": "UTC"}}
deployment = {"name": "due", "flow_id": flow, "schedules": [schedule]}
api.post("/deployments/", json=deployment).raise_for_status()
begin, runs = time.monotonic(), []
while time.monotonic() - begin < 70 and not runs:
    time.sleep(2)
    runs = api.post("/flow_runs/filter", json={}).raise_for_status().json()
print(
    f"Prefect {version('prefect')}, SQLAlchemy {version('sqlalchemy')}: {len(runs)} runs are planned "
    f"{time.monotonic() - begin:.0f} seconds after a deployment for every minute was made"
)
sys.exit(bool(runs))
PYTHON
grep -q "Can't evaluate bulk DML statement" "$work/server.log"

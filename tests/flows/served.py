"""What the tests of served flows share: `python -m flows.deploy` in a workspace, watched through the server's API."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
from ruamel.yaml import YAML

from tests.flows.conftest import ask, free_port

ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class Served:
    """`python -m flows.deploy` with its embedded server; started on entry, ended with all that it started on exit."""

    def __init__(self, folder: Path, environment: dict[str, str], **schedules: str | bool | None) -> None:
        self.folder = folder
        self.port = free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.environment = {
            **environment,
            "PREFECT_HOME": str(folder.parent / "prefect-home"),
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
        }
        self.environment.pop("PREFECT_API_URL", None)
        yaml = YAML()
        params = yaml.load(folder / "params.yaml")
        params["schedules"].update(
            {"retrain": None, "generate": None, "monitor": None, "tidy": None, "watch": False, **schedules}
        )
        yaml.dump(params, folder / "params.yaml")

    def __enter__(self) -> "Served":
        try:
            self.start()
        except BaseException:  # then __exit__ is not called
            self.stop()
            raise
        return self

    def start(self) -> None:
        """Start, and wait for the server and the deployments."""
        with (self.folder.parent / "deploy.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flows.deploy", "--port", str(self.port)],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        self.wait_for(
            lambda: self.process.poll() is not None or self._deployed(), 900
        )  # ready in 10 on a quiet machine
        assert self.process.poll() is None, (self.folder.parent / "deploy.log").read_text()[-4000:]

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """SIGTERM, and whatever is left then, by its working folder."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for process in self.processes():
            process.kill()

    def processes(self, mark: str = "") -> list[psutil.Process]:
        """What runs in the workspace's folder with `mark` in its command line, other than flows.deploy itself."""
        found = []
        for process in psutil.process_iter():
            try:
                if (
                    process.pid not in (self.process.pid, os.getpid())
                    and Path(process.cwd()) == self.folder
                    and mark in " ".join(process.cmdline())
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def runs(self, flow: str = "retrain") -> list[dict[str, Any]]:
        """The flow's runs whose time has come, oldest first."""
        found = ask(
            self.api,
            "flow_runs/filter",
            flows={"name": {"any_": [flow]}},
            flow_runs={"expected_start_time": {"before_": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}},
            sort="EXPECTED_START_TIME_ASC",
        )
        return list(found)

    def ended(self, flow: str = "retrain") -> list[dict[str, Any]]:
        """The flow's runs that are over, oldest first."""
        return [run for run in self.runs(flow) if run["state_type"] in ENDED]

    def trigger(self, flow: str = "retrain", **parameters: Any) -> str:
        """Ask for a run now, as the dashboard's button does; returns its id."""
        deployment = httpx.get(f"{self.api}/deployments/name/{flow}/scheduled").json()["id"]
        return str(ask(self.api, f"deployments/{deployment}/create_flow_run", parameters=parameters)["id"])

    def run(self, identity: str) -> dict[str, Any]:
        """A run as the server knows it."""
        return dict(httpx.get(f"{self.api}/flow_runs/{identity}").json())

    def finish(self, identity: str, seconds: float = 240) -> dict[str, Any]:
        """Wait for the end of a run."""
        self.wait_for(lambda: self.run(identity)["state_type"] in ENDED, seconds)
        return self.run(identity)

    def wait_for(self, condition: Callable[[], Any], seconds: float = 120) -> float:
        """Seconds until `condition` held; AssertionError with the log if it does not in time."""
        begin = time.monotonic()
        while True:
            try:
                if condition():
                    return time.monotonic() - begin
            except (httpx.HTTPError, KeyError):
                pass  # the server is not there yet, or not any more
            if time.monotonic() - begin > seconds:
                log = (self.folder.parent / "deploy.log").read_text()[-4000:]
                raise AssertionError(f"waited {seconds} s in vain; the log ends with:\n{log}")
            time.sleep(0.2)

    def _deployed(self) -> bool:
        names = ("retrain", "generate", "monitor", "tidy")
        return all(httpx.get(f"{self.api}/deployments/name/{name}/scheduled").is_success for name in names)

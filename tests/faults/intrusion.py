"""Whoever reaches the API or names a folder runs no commands: names that a shell would read, requests, parameters.

A command that was run all the same would make an empty file called FILE, and nothing else.
"""

import shutil
from random import Random

import httpx

from tests.faults.commands import PYTHON, Workspace
from tests.faults.fault import Fault, Trial, refused, tracebacks
from tests.faults.ground import Ground

NAMES = [
    "My Videos", "Videos (2024)", "Tom's clips", "R&D", "a$HOME", "a${x}b", "$(touch FILE)", "`touch FILE`",
    "x; touch FILE; true", "x | touch FILE", "> FILE", "'; touch FILE; '", 'say "hi"', "back\\slash", "#2", "-rf", "*",
    "{}", "[b]", "2024", "true", "~", "!x", "%s", "a: b", "a\nb", "Übung 動画",
]  # fmt: skip
FOREIGN = "http://pages.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
REQUESTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "foreign Host": ("POST", "/flows/filter", {"Host": "pages.example:4200"}),
    "foreign Host, read": ("GET", "/health", {"Host": "pages.example"}),
    "foreign Origin": ("POST", "/flows/filter", {"Origin": FOREIGN}),
    "foreign Origin that makes a run": ("POST", "/flow_runs/", {"Origin": FOREIGN}),
    "Origin of a file": ("POST", "/flows/filter", {"Origin": "null"}),
    "preflight": ("OPTIONS", "/flows/filter", {"Origin": FOREIGN, **PREFLIGHT}),
    "frame in a foreign page": (
        "GET", "/health",
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ),
    "script in a foreign page": ("GET", "/health", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}),
}  # fmt: skip
REPRO = (PYTHON, "-m", "flows.repro")
GENERATE = (PYTHON, "-m", "flows.generate")
PARAMETERS: dict[str, tuple[tuple[str, ...], str]] = {
    "`data.videos` outside": ((*REPRO, "extract", "-S", "data.videos=/usr/share"), "outside the workspace"),
    "`data.videos` by dots": ((*REPRO, "extract", "-S", "data.videos=data/../.."), "outside the workspace"),
    "`data.videos` is a command": ((*REPRO, "extract", "-S", "data.videos=x; touch FILE; true"), "x; touch FILE; true"),
    "a stage is a command": ((*REPRO, "extract; touch FILE"), "extract; touch FILE"),
    "a stage is an option": ((*REPRO, "--", "--version"), "--version"),
    "`data.roots` by a run": ((*REPRO, "-S", "data.roots=[/]"), "by its owner"),
    "`generate.dask` by a run": ((*REPRO, "-S", "generate.dask=tcp://127.0.0.1:1"), "by its owner"),
    "`model.name` is a path": ((*REPRO, "-S", "model.name=../x"), "model.name"),
    "`generate` reads outside": ((*GENERATE, "/usr/share"), "outside the workspace"),
    "`generate` writes outside": ((*GENERATE, "inbox", "../out"), "outside the workspace"),
    "`generate` writes to code": ((*GENERATE, "inbox", "pipeline"), "folder of their own"),
    "`generate` writes to hooks": ((*GENERATE, "inbox", ".git/hooks"), "folder of their own"),
    "an API without a password": ((PYTHON, "-m", "flows.deploy", "--host", "0.0.0.0"), "SERVER_API_AUTH_STRING"),
}


def named(name: str) -> Trial:
    """A trial of a folder of videos with this name: it is used as it is called, or refused in one line."""

    def trial(ground: Ground, random: Random) -> list[str]:
        workspace = ground.copy(ground.sampled)
        shutil.copytree(workspace.folder / "data/sample/val", workspace.folder / name)
        workspace.set(data__videos=name)
        ran = workspace.quick([PYTHON, "-m", "dvc", "repro", "extract"])
        lost = tracebacks(ran) + _executed(workspace)
        if ran.code == 0 and (workspace.folder / "data/frames/index.csv").read_text().count(",ok,") != 2:
            lost.append("its videos were not read")
        if ran.code and "data.videos" not in ran.output:
            lost.append(f"the message does not name data.videos: {ran.last_line}")
        workspace.remove()
        return lost

    return trial


def request(method: str, path: str, headers: dict[str, str]) -> Trial:
    """A trial of a request as another page's script, or another name of this machine, sends it."""

    def trial(ground: Ground, random: Random) -> list[str]:
        answer = httpx.request(method, f"{ground.api}{path}", headers=headers, json={} if method == "POST" else None)
        allowed = [name for name in answer.headers if name.startswith("access-control")]
        return ([] if answer.status_code == 403 else [f"answered with {answer.status_code}"]) + allowed

    return trial


def parameter(command: tuple[str, ...], word: str) -> Trial:
    """A trial of a flow with a parameter that reaches out of the workspace: refused, and nothing is changed."""

    def trial(ground: Ground, random: Random) -> list[str]:
        workspace = ground.copy(ground.reproduced)
        workspace.environment["PREFECT_API_URL"] = ground.api
        if "flows.deploy" in command:
            del workspace.environment["PREFECT_API_URL"]
        before = workspace.hashes("params.yaml", "data", "models", "pipeline", "dvc.yaml")
        lost = refused(workspace.quick(list(command)), word) + _executed(workspace)
        if workspace.hashes("params.yaml", "data", "models", "pipeline", "dvc.yaml") != before:
            lost.append("files were changed")
        workspace.remove()
        return lost

    return trial


def _executed(workspace: Workspace) -> list[str]:
    return [f"a command was run: {path}" for path in workspace.folder.rglob("FILE")]


FAULTS = [
    *(Fault("name of a folder", repr(name), named(name), 1) for name in NAMES),
    *(Fault("request", name, request(*case), 1) for name, case in REQUESTS.items()),
    *(Fault("parameter of a run", name, parameter(*case), 1) for name, case in PARAMETERS.items()),
]

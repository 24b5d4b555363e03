"""The image: its Dockerfile copies what there is, and (where a Docker daemon runs) it is built and runs."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.flows.conftest import ROOT

FILE = ROOT / "flows/docker/Dockerfile"
INSTRUCTIONS = {"ARG", "FROM", "RUN", "COPY", "WORKDIR", "ENV", "EXPOSE", "CMD"}


def instructions() -> list[tuple[str, str]]:
    """Every instruction with its arguments, lines that go on joined."""
    lines = [line for line in FILE.read_text().splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in text.splitlines() if line.strip()]


def has_daemon() -> bool:
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    docker = shutil.which("docker")
    return docker is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_every_line_is_an_instruction_and_every_variable_is_declared_in_its_stage():
    found = instructions()
    assert {name for name, _ in found} == INSTRUCTIONS
    assert [name for name, _ in found][:2] == ["ARG", "FROM"]  # an argument before FROM counts there alone
    declared = {"torch"}  # a variable of the shell
    for name, arguments in found[2:]:
        if name == "ARG":
            declared.add(arguments.split("=")[0])
        assert set(re.findall(r"\$\{(\w+)", arguments)) <= declared


def test_what_is_copied_is_there_and_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [name for step, arguments in instructions() if step == "COPY" for name in arguments.split()[:-1]]
    assert copied
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in ignored


def test_commands_in_run_are_shell():
    for name, arguments in instructions():
        if name == "RUN":
            subprocess.run(["sh", "-n", "-c", arguments], check=True)
    assert len(re.findall(r"^torch==[\d.]+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)) == 1


@pytest.mark.slow
@pytest.mark.skipif(not has_daemon(), reason="no Docker daemon runs here")
def test_the_image_is_built_and_says_its_version(tmp_path: Path):
    subprocess.run(["docker", "build", "-f", str(FILE), "-t", "foreframe:test", str(ROOT)], check=True)
    told = subprocess.run(
        ["docker", "run", "--rm", "foreframe:test", "foreframe", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip()

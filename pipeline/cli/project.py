"""Commands about a project's folder: init, status, doctor, check."""

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Annotated

from typer import Argument, BadParameter, Option, Typer

from pipeline.cli.app import Json, Quiet, Voice, command

Project = Annotated[Path, Argument(metavar="[FOLDER]", help="where dvc.yaml is")]


def register(app: Typer) -> None:
    """Add the commands of this module to `app`."""
    command(
        app,
        "make a project for your own videos",
        "foreframe init walks --videos ~/films/walks",
        "foreframe init walks --videos ~/films/walks --side 128 --minutes 60",
        "foreframe init arms --videos ~/data/so101_push --set extract.camera=top    (one of two cameras)",
        "foreframe init .    (in a project that was cloned or moved: links it to this foreframe)",
    )(init)
    command(app, "say how a project stands", "foreframe status", "foreframe status --json")(status)
    command(app, "look for what stands in the way, and say what to do", "foreframe doctor", "foreframe doctor --json")(
        doctor
    )
    command(
        app,
        "look for files that a disk or a copy has damaged",
        "foreframe check",
        "foreframe check ~/walks --json",
    )(check)


def init(
    folder: Annotated[Path, Argument(metavar="FOLDER", help="the folder to make, or a project to link anew")],
    videos: Annotated[
        Path | None,
        Option(metavar="PATH", help="the folder of your videos, searched through; or a list, or a file"),
    ] = None,
    side: Annotated[
        int | None,
        Option(metavar="PIXELS", min=16, max=1024, help="shorter side of the frames that are learnt (default: 64)"),
    ] = None,
    minutes: Annotated[float, Option(metavar="N", min=0.1, help="of training")] = 15,
    settings: Annotated[
        list[str] | None,
        Option("--set", metavar="KEY=VALUE", help="write this into params.yaml, such as extract.camera=top"),
    ] = None,
    vcs: Annotated[bool, Option("--vcs/--no-vcs", help="begin its history with git and DVC")] = True,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make FOLDER a project for the videos in PATH; `dvc repro` in it trains a model on them and writes a page."""
    from pipeline.project.init import add_plots, is_project, link_code, make_project

    voice = Voice(json, quiet)
    if videos is None:
        if not is_project(folder):
            raise BadParameter("name the folder of your videos", param_hint="--videos")
        changed = link_code(folder)
        if add_plots(folder):
            voice.line(f"{folder}: has what `dvc plots show` draws with, now in .dvc/plots")
        voice.line(f"{folder}: {'is linked' if changed else 'was linked already'} to this foreframe")
        voice.facts({"folder": folder, "linked": changed})
        return
    made = make_project(folder, videos, side=side, minutes=minutes, vcs=vcs, settings=settings or ())
    voice.line(f"{folder}: a project for the videos in {videos} ({made.num_files})")
    for reason in made.choice.reasons:
        voice.line(f"  {reason}")
    for line in made.unreadable:
        voice.line(f"  left out: {line}")
    voice.line(
        f"params.yaml says all this; training takes {minutes:g} minutes at most (train.max_minutes), "
        "validation not counted. Next:"
    )
    if not vcs:
        voice.line(f"  cd {quote(str(folder))} && git init && dvc init && foreframe init .")
    voice.line(f"  cd {quote(str(folder))} && dvc repro    # then open data/renders/index.html")
    voice.facts({"folder": folder, "files": made.num_files, "unreadable": made.unreadable, **asdict(made.choice)})


def status(folder: Project = Path(), json: Json = False, quiet: Quiet = False) -> None:
    """Say who is champion, what ran last and why, what is stale, what is next and how much disk is used."""
    from pipeline.project import status as project_status

    voice = Voice(json, quiet)
    facts = project_status.status(folder)
    for line in project_status.lines(facts):
        voice.line(line)
    voice.facts(facts)


def doctor(folder: Project = Path(), json: Json = False, quiet: Quiet = False) -> None:
    """Check codec, GPU, threads, memory, disk, DVC's remote, Prefect's API and versions; exit code 1 if one fails."""
    from pipeline.project.doctor import examine

    voice = Voice(json, quiet)
    findings = []
    for finding in examine(folder):
        voice.line(f"{finding.state:4}  {finding.name}: {finding.text}")
        if finding.remedy:
            voice.line(f"      -> {finding.remedy}")
        findings.append(asdict(finding))
    failed = sum(finding["state"] == "fail" for finding in findings)
    if failed:
        voice.refuse(f"foreframe doctor: {failed} of {len(findings)} checks failed", {"findings": findings})
    voice.facts({"findings": findings})


def check(folder: Project = Path(), json: Json = False, quiet: Quiet = False) -> None:
    """Read frames, models, training states and what dvc.lock names: one line per damaged file, and exit code 1."""
    from pipeline import integrity

    voice = Voice(json, quiet)
    found: dict[str, str] = {}  # path -> what is wrong with it
    for name, faults in integrity.parts(folder):
        count = len(found)
        for fault in faults():
            path = fault.partition(": ")[0]
            if path not in found:
                voice.line(fault)
            found.setdefault(path, fault)
        if len(found) == count:
            voice.line(f"{name}: sound")
    facts = {"damaged": list(found.values())}
    if found:
        first, *more = found
        what = (
            f"{1 + len(more)} files are not as written, the first is {first}" if more else f"{first} is not as written"
        )
        voice.refuse(f"foreframe check: {what}", facts)
    voice.facts(facts)

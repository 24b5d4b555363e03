"""A project for somebody's own videos, made outside of any clone."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import zarr
from ruamel.yaml import YAML

from pipeline.cli import main
from pipeline.data.frames import FrameStore
from pipeline.errors import PipelineError
from pipeline.params import load_params
from pipeline.project import template
from pipeline.project.init import FILES, UNFINISHED, is_project, link_code, make_project
from pipeline.project.survey import Survey, Video, choose, survey
from pipeline.runtime.yaml_file import with_values
from pipeline.stages.extract import extract
from pipeline.video import write_video
from tests.corpus.sources import squares, write_lerobot
from tests.corpus.tagged import TAGGED


def write_clip(path, number, num_frames=70, size=(24, 32)):
    """A bright bar that moves over a coloured background, unlike in each clip."""
    frames = []
    for t in range(num_frames):
        frame = np.full((*size, 3), (40, 60 + 40 * number, 200), np.uint8)
        frame[:, (t * (number + 1)) % size[1] :][:, :4] = 255
        frames.append(frame)
    write_video(path, iter(frames), 10.0)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    for number in range(3):
        write_clip(folder / f"clip {number}.mp4", number)
    (folder / "notes.txt").write_text("no video")
    return folder


def test_the_files_of_a_project_say_what_the_videos_are(films, tmp_path, capsys):
    with pytest.raises(SystemExit) as ending:
        main(["init", str(tmp_path / "walks"), "--videos", str(films), "--minutes", "2", "--no-vcs"])
    assert ending.value.code == 0
    said = capsys.readouterr().out
    assert "frames of 32 x 24 pixels: the videos have 32 x 24" in said
    assert "in colour" in said
    assert "left out: " in said
    assert "git init && dvc init && foreframe init ." in said
    params = load_params(tmp_path / "walks/params.yaml")
    assert (params.data.videos, params.extract.size, params.extract.color) == (str(films), (24, 32), "rgb")
    assert (params.extract.fps, params.tensorize.context, params.tensorize.horizon) == (None, 8, 8)
    assert (params.train.max_minutes, params.sample) == (2.0, None)
    assert tomllib.loads((tmp_path / "walks/prefect.toml").read_text())["server"]["analytics_enabled"] is False


def test_dvc_yaml_of_a_project_names_no_sample_and_only_code_that_is_there(films, tmp_path):
    make_project(tmp_path / "walks", films, vcs=False)
    stages = YAML(typ="safe").load(tmp_path / "walks/dvc.yaml")["stages"]
    assert list(stages) == ["extract", "tensorize", "train", "evaluate", "render"]
    model = load_params(tmp_path / "walks/params.yaml").model.name
    code = {dep for stage in stages.values() for dep in stage["deps"] if dep.startswith(f"{template.CODE}/")}
    assert len(code) > 10
    for dep in code:
        assert (tmp_path / "walks" / dep.replace("${model.name}", model)).exists(), dep
    assert not any("pipeline/" in dep for stage in stages.values() for dep in stage["deps"])


def test_a_project_has_what_dvcs_plots_are_drawn_with(films, tmp_path, capsys):
    root = Path(__file__).parents[3]
    folder = tmp_path / "walks"
    make_project(folder, films, vcs=False)
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        subprocess.run(command, cwd=folder, check=True)
    with pytest.raises(SystemExit):
        main(["init", str(folder)])
    assert "has what `dvc plots show` draws with" in capsys.readouterr().out
    for name in template.PLOTS:
        assert (folder / name).read_text() == (root / name).read_text()
    named = {
        line.partition("template: ")[2].partition(",")[0] for line in (folder / "dvc.yaml").read_text().splitlines()
    }
    assert "by_method" in named
    assert "html_template = plots/page.html" in (folder / ".dvc/config").read_text()
    (folder / ".dvc/plots/vega.js").write_text("")
    ignored = subprocess.run(["git", "check-ignore", ".dvc/plots/vega.js", ".dvc/tmp"], cwd=folder, capture_output=True)
    assert ignored.stdout.splitlines() == [b".dvc/plots/vega.js", b".dvc/tmp"]
    with pytest.raises(SystemExit):
        main(["init", str(folder)])
    assert "draws with" not in capsys.readouterr().out


def test_a_project_that_is_there_stays_as_it_is(films, tmp_path):
    (tmp_path / "params.yaml").write_text("mine")
    with pytest.raises(PipelineError, match=r"params.yaml: is there already"):
        make_project(tmp_path, films, vcs=False)
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def git(folder, *arguments):
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.parametrize("lacks", [["dvc.yaml", ".git", ".dvc"], [".git", ".dvc"], [".dvc/.gitignore"], []])
def test_a_project_whose_making_was_stopped_is_completed_by_the_same_command(lacks, films, tmp_path):
    folder = tmp_path / "walks"
    make_project(folder, films)
    expected = {name: (folder / name).read_bytes() for name in FILES}
    (folder / UNFINISHED).write_text("")  # as after a kill
    for name in lacks:
        shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()
    make_project(folder, films)
    assert {name: (folder / name).read_bytes() for name in FILES} == expected
    assert git(folder, "status", "--porcelain") == ""
    assert git(folder, "rev-list", "--count", "HEAD") == "1"
    with pytest.raises(PipelineError, match=r"is there already; name a new folder"):
        make_project(folder, films)


def test_what_was_edited_in_a_project_that_is_not_whole_stays(films, tmp_path):
    make_project(tmp_path, films, vcs=False)
    (tmp_path / UNFINISHED).write_text("")
    (tmp_path / "params.yaml").write_text("mine")
    with pytest.raises(PipelineError, match=r"params.yaml: is there already, and other than"):
        make_project(tmp_path, films, vcs=False)
    assert (tmp_path / "params.yaml").read_text() == "mine"


def test_a_project_that_git_refuses_to_commit_is_completed_once_it_does_not(films, tmp_path, monkeypatch):
    hook = tmp_path / "hooks/pre-commit"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\necho no more today >&2; exit 1\n")
    hook.chmod(0o755)
    with monkeypatch.context() as patch:
        for name, value in {"COUNT": "1", "KEY_0": "core.hooksPath", "VALUE_0": str(hook.parent)}.items():
            patch.setenv(f"GIT_CONFIG_{name}", value)
        with pytest.raises(PipelineError, match="git commit --quiet: no more today"):
            make_project(tmp_path / "walks", films)
    make_project(tmp_path / "walks", films)
    assert git(tmp_path / "walks", "status", "--porcelain") == ""


def test_a_folder_that_git_ignores_is_told_and_stays_empty(films, tmp_path):
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("ignored/\n")
    with pytest.raises(PipelineError, match=r"ignored/walks: git ignores this folder"):
        make_project(tmp_path / "ignored/walks", films)
    assert not (tmp_path / "ignored").exists()


def test_dvc_add_of_videos_in_data_is_gits_in_a_project_and_in_a_clone(tmp_path):
    ignored = (Path(__file__).parents[3] / ".gitignore").read_text()
    for name, text in {"project": template.IGNORED_BY_GIT, "clone": ignored}.items():
        folder = tmp_path / name
        (folder / "data/raw").mkdir(parents=True)
        (folder / "data/raw/a.mp4").write_bytes(b"a")
        (folder / ".gitignore").write_text(text)
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        subprocess.run(["dvc", "init", "-q"], cwd=folder, check=True)
        subprocess.run(["dvc", "add", "-q", "data/raw"], cwd=folder, check=True)
        subprocess.run(["git", "add", "."], cwd=folder, check=True)
        added = subprocess.run(["git", "ls-files", "data"], cwd=folder, check=True, capture_output=True, text=True)
        assert added.stdout.split() == ["data/raw.dvc"]


def test_a_folder_without_videos_makes_no_project(tmp_path):
    (tmp_path / "films").mkdir()
    with pytest.raises(PipelineError, match="holds no video that can be read"):
        make_project(tmp_path / "walks", tmp_path / "films", vcs=False)
    with pytest.raises(PipelineError, match="is no folder"):
        make_project(tmp_path / "walks", tmp_path / "nothing", vcs=False)
    assert not (tmp_path / "walks").exists()


def test_a_project_that_was_cloned_is_linked_to_the_foreframe_that_runs(films, tmp_path, capsys):
    folder = tmp_path / "walks"
    make_project(folder, films, vcs=False)
    assert is_project(folder)
    assert not link_code(folder)
    (folder / template.CODE).unlink()
    (folder / template.CODE).symlink_to("/nowhere")
    with pytest.raises(SystemExit) as ending:
        main(["init", str(folder), "--json"])
    assert ending.value.code == 0
    assert json.loads(capsys.readouterr().out)["linked"] is True
    assert (folder / template.CODE / "stage.py").is_file()
    with pytest.raises(SystemExit) as ending:  # no videos, and no project: wrong usage
        main(["init", str(tmp_path / "other")])
    assert ending.value.code == 2


def one_array(folder):
    np.save(folder / "a.npy", squares(4, 20))


def one_webp(folder):
    TAGGED["exif_upright.webp"][0](folder / "a.webp")


def one_tiff(folder):
    TAGGED["page_by_page.tif"][0](folder / "a.tif")


def one_data_set(folder):
    write_lerobot(folder / "push", [20, 12])


def one_zarr(folder):
    zarr.save(str(folder / "clips.zarr"), np.stack([squares(2, 20)] * 3, axis=-1))


ODD = {one_array: 4, one_webp: 1, one_tiff: 1, one_data_set: 2, one_zarr: 2}


@pytest.mark.parametrize("write", ODD, ids=lambda write: write.__name__)
def test_whatever_extraction_reads_makes_a_project(write, tmp_path):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in")
    made = make_project(tmp_path / "out", tmp_path / "in", vcs=False)
    assert (made.num_files, made.unreadable) == (ODD[write], [])


def test_a_project_of_mixed_files_leaves_out_none_that_extraction_reads(films, tmp_path):
    shutil.copytree(films, tmp_path / "in")
    for write in ODD:
        write(tmp_path / "in")
    made = make_project(tmp_path / "out", tmp_path / "in", vcs=False)
    assert made.num_files == 3 + sum(ODD.values())
    assert [line.partition(":")[0] for line in made.unreadable] == ["notes.txt"]
    store = tmp_path / "frames"
    data = load_params(tmp_path / "out/params.yaml")
    extract(store, data=data.data, extract=data.extract)
    index = FrameStore(store).index
    assert set(index.loc[index["status"] == "skipped", "path"]) == {"notes.txt"}
    assert len(index) == made.num_files + len(made.unreadable)


def test_a_file_and_a_list_make_projects_too(films, tmp_path):
    np.save(tmp_path / "a.npy", squares(4, 20))
    made = make_project(tmp_path / "a", tmp_path / "a.npy", vcs=False)
    assert (made.num_files, made.choice.size, made.choice.color) == (4, (16, 16), "gray")
    listed = tmp_path / "list.csv"
    rows = [f"{film},0,{stop}" for film, stop in zip(sorted(films.glob("*.mp4")), (2, 3, 4), strict=True)]
    listed.write_text("\n".join(["path,start_seconds,stop_seconds", *rows]) + "\n")
    (tmp_path / "in").mkdir()
    shutil.copytree(films, tmp_path / "in", dirs_exist_ok=True)
    listed.write_text(listed.read_text().replace(str(films), "in"))
    made = make_project(tmp_path / "b", listed, vcs=False)
    assert (made.num_files, made.choice.steps) == (3, 5)  # the longest part has 40 frames
    assert load_params(tmp_path / "b/params.yaml").data.videos == str(listed)


def test_what_must_be_said_of_the_videos_is_said_by_set(tmp_path):
    write_lerobot(tmp_path / "in", [20, 12], ("observation.images.top", "observation.images.wrist"))
    asked = r"has 2 cameras: write one of observation.images.top, .* as extract.camera\); --set writes it"
    with pytest.raises(PipelineError, match=asked):
        make_project(tmp_path / "out", tmp_path / "in", vcs=False)
    for setting, mistake in {
        "extract.camera": "should be KEY=VALUE",
        "extract.lens=top": "--set extract.lens: params.yaml has no such key",
        "extract.fps=often": "extract.fps: .*often",
    }.items():
        with pytest.raises(PipelineError, match=mistake):
            make_project(tmp_path / "out", tmp_path / "in", vcs=False, settings=[setting])
    assert not (tmp_path / "out").exists()
    made = make_project(tmp_path / "out", tmp_path / "in", vcs=False, settings=["extract.camera=wrist"])
    assert made.num_files == 2
    assert load_params(tmp_path / "out/params.yaml").extract.camera == "wrist"


def test_a_stated_range_makes_deep_pictures_readable(tmp_path):
    np.save(tmp_path / "a.npy", squares(1, 20)[0].astype(np.uint16) * 16)
    with pytest.raises(PipelineError, match=r"extract.array_range, .*; --set writes it, such as --set extract.array_r"):
        make_project(tmp_path / "out", tmp_path / "a.npy", vcs=False)
    settings = ["extract.array_range=[0, 4095]"]
    assert make_project(tmp_path / "out", tmp_path / "a.npy", vcs=False, settings=settings).num_files == 1


def surveyed(*videos, coloured=False):
    return Survey(list(videos), len(videos), [], coloured)


@pytest.mark.parametrize(
    ("video", "size", "fps", "steps"),
    [
        (Video(1080, 1920, 30.0, 600.0), (64, 112), 15.0, 10),
        (Video(1920, 1080, 59.94, 600.0), (112, 64), 14.985, 10),
        (Video(480, 640, 25.0, 4.0), (64, 88), None, 10),  # at half the rate clips would be short
        (Video(480, 640, 25.0, 1.0), (64, 88), None, 3),
        (Video(200, 2000, 10.0, 60.0), (64, 128), None, 10),
        (Video(20, 20, 10.0, 60.0), (24, 24), None, 10),
    ],
)
def test_size_rate_and_length_follow_the_videos(video, size, fps, steps):
    choice = choose(surveyed(video))
    assert (choice.size, choice.fps, choice.steps) == (size, fps, steps)


def test_videos_of_unlike_rates_get_that_of_the_slowest():
    slow, fast = Video(100, 100, 12.0, 60.0), Video(100, 100, 50.0, 60.0)
    assert choose(surveyed(slow, fast)).fps == 12.0


def test_it_is_told_which_videos_test_and_where_there_is_too_little():
    long, short = Video(100, 100, 10.0, 60.0), Video(100, 100, 10.0, 2.0)
    assert "validation and test are of 1 of the 3 alone" in choose(surveyed(short, long, short)).reasons[-1]
    assert "alone" not in choose(surveyed(long, long)).reasons[-1]
    too_short = Video(100, 100, 10.0, 0.4)
    assert "one needs 16; add videos first" in choose(surveyed(too_short)).reasons[-1]
    assert "add videos" not in choose(surveyed(*[too_short] * 3)).reasons[-1]  # some train, others test


def test_of_a_translation_nothing_is_said_to_be_predicted():
    reason = choose(surveyed(Video(100, 100, 10.0, 60.0)), stated={"task": "translate"}).reasons[-1]
    assert reason == "clips of 20 frames: few videos are cut in three, and the longest has 600 frames"


def test_few_videos_that_are_split_are_not_cut_in_three(tmp_path):
    for number, split in enumerate(("train", "val", "test")):
        (tmp_path / "films" / split).mkdir(parents=True)
        write_clip(tmp_path / f"films/{split}/a.mp4", number, 30)
    assert choose(survey(tmp_path / "films")).steps == 10
    shutil.move(tmp_path / "films/test", tmp_path / "films/other")
    assert choose(survey(tmp_path / "films")).steps == 3


def test_what_set_says_is_what_is_told_and_what_the_rest_suits(films, tmp_path, capsys):
    def said(*settings):
        with pytest.raises(SystemExit) as ending:
            main(["init", str(tmp_path / "walks"), "--videos", str(films), "--no-vcs", *settings])
        out = capsys.readouterr()
        return ending.value.code, out.out + out.err

    sets = ("extract.size=[64, 32]", "extract.color=gray", "extract.fps=5", "tensorize.context=4")
    code, text = said(*(word for setting in sets for word in ("--set", setting)))
    assert code == 0
    assert "frames of 32 x 64 pixels, as --set says: the videos have only 32 x 24" in text
    assert "gray, as --set says" in text
    assert "5 frames per second, as --set says" in text
    assert "4 frames are given, 4 predicted" in text
    params = load_params(tmp_path / "walks/params.yaml")
    assert (params.extract.size, params.extract.color, params.extract.fps) == ((64, 32), "gray", 5.0)
    assert params.render.scale == 8  # of a shorter side of 32
    shutil.rmtree(tmp_path / "walks")
    for size in ("[1, 1]", "[4000, 4000]", "[3, 2000]"):
        code, _ = said("--set", f"extract.size={size}")
        assert f"--set extract.size: height and width should be 16 to 1024 pixels (got {size})" in str(code)
        assert not (tmp_path / "walks").exists()


def test_a_value_is_written_where_it_stands_and_nothing_else_changes():
    text = 'a:  # section\n  b: 1.5       # why\n  c: "x # y"   # text\n  d:\n    e: [1, 2]\n'
    changed = with_values(text, {"a.b": None, "a.c": "z", "a.d.e": [3]})
    assert changed == 'a:  # section\n  b: null      # why\n  c: "z"       # text\n  d:\n    e: [3]\n'
    with pytest.raises(KeyError, match=r"a\.x"):
        with_values(text, {"a.x": 1})


@pytest.mark.slow
def test_three_clips_become_a_page_and_changed_code_runs_again_what_imports_it(films, tmp_path):
    folder = tmp_path / "walks"
    state = {"DVC_SITE_CACHE_DIR": str(tmp_path / "dvc"), "PREFECT_HOME": str(tmp_path / "prefect")}
    path = {"PATH": f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"}  # noqa: PTH120
    environment = {**os.environ, **state, **path, "DO_NOT_TRACK": "1"}

    def run(*command):
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout

    make_project(folder, films, minutes=0.05)
    params = folder / "params.yaml"
    params.write_text(with_values(params.read_text(), {"train.num_threads": 1, "model.foreframe.hidden_channels": 8}))
    run("dvc", "repro")
    assert (folder / "data/renders/index.html").is_file()
    assert not (folder / "data/sample").exists()
    assert "up to date" in run("dvc", "status")
    assert "index.html" in run("dvc", "plots", "show")
    run(sys.executable, "-m", "flows.repro")
    code = tmp_path / "code"
    subprocess.run(["cp", "-r", str(template.PACKAGE), str(code)], check=True)
    (folder / template.CODE).unlink()
    (folder / template.CODE).symlink_to(code)
    assert "up to date" in run("dvc", "status")
    with (code / "pages/page.py").open("a") as file:
        file.write("# changed\n")
    assert list(json.loads(run("dvc", "status", "--json"))) == ["render"]

"""What a person types, and what the terminal says."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from pipeline import registry
from pipeline.cli import main
from pipeline.model_dir import load_card, save
from pipeline.video import read_frames


def test_predict_writes_a_longer_video_and_says_so(tiny, bar_video, tmp_path, capsys):
    out = tmp_path / "new/out.mp4"
    main(["predict", str(bar_video), str(out), "--frames", "3", "--model", str(tiny.model)])
    assert len(list(read_frames(out))) == 15
    assert capsys.readouterr().out == f"{out}: 12 frames of {bar_video}, then 3 generated\n"


def test_several_futures_are_asked_of_a_model_that_knows_them(tiny, bar_video, tmp_path, capsys):
    asked = ["predict", str(bar_video), str(tmp_path / "out.mp4"), "--frames", "2", "--samples", "2"]
    with pytest.raises(SystemExit) as ending:
        main([*asked, "--model", str(tiny.model)])
    assert "knows one future of a past; train with train.noise_channels above 0" in str(ending.value.code)

    torch.manual_seed(0)
    card = load_card(tiny.model).model_copy(update={"noise_channels": 4})
    save(tmp_path / "noisy", card.build(), card)
    main([*asked, "--seed", "5", "--model", str(tmp_path / "noisy")])
    assert "out-2.mp4: 12 frames" in capsys.readouterr().out
    futures = [[frame for _, frame in read_frames(tmp_path / f"out-{number}.mp4")] for number in (1, 2)]
    assert all(np.array_equal(one, other) for one, other in zip(*(future[:12] for future in futures), strict=True))
    assert not np.array_equal(futures[0][-1], futures[1][-1])
    # a seed is a future: the second of seed 5 is the first of seed 6
    main([*asked[:-2], "--seed", "6", "--model", str(tmp_path / "noisy")])
    assert [frame.tolist() for _, frame in read_frames(tmp_path / "out.mp4")] == [f.tolist() for f in futures[1]]


def test_translate_asks_for_a_model_that_translates(tiny, bar_video, tmp_path):
    with pytest.raises(SystemExit) as ending:
        main(["translate", str(bar_video), str(tmp_path / "out.mp4"), "--model", str(tiny.model)])
    expected = f"foreframe translate: {tiny.model}: is made to continue videos, not to translate them"
    assert str(ending.value.code).startswith(expected)


def test_tiles_that_cannot_be_are_refused(capsys):
    with pytest.raises(SystemExit) as ending:
        main(["translate", "a.mp4", "b.mp4", "--tile", "-32"])
    assert ending.value.code == 2
    assert "--tile" in capsys.readouterr().err


def test_info_knows_a_video_from_a_model(tiny, bar_video, capsys):
    main(["info", str(bar_video)])
    assert capsys.readouterr().out.splitlines()[0] == "picture     8 x 8 pixels"
    main(["info", str(tiny.model)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("generator      convlstm, ")
    assert "task           predict, 3 frames given, 4 made at a time in training" in lines


def test_info_shows_figures_as_a_table(tmp_path, capsys):
    (tmp_path / "metrics.json").write_text('{"model": {"mse": 1.25, "ssim": 0.5}, "useful_horizon": 0}')
    main(["info", str(tmp_path)])
    table = "|       |   MSE |   SSIM |\n|:------|------:|-------:|\n| model |  1.25 |  0.500 |\n"
    assert capsys.readouterr().out == table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "none.mp4", "out.mp4", "--frames", "3"], "data/model: no such folder"),
        (["info", "none.mp4"], "foreframe info: none.mp4"),
        (["info", "."], "holds no model"),
    ],
)
def test_a_mistake_is_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ending:
        main(arguments)
    assert message in str(ending.value.code)
    assert len(str(ending.value.code).splitlines()) == 1


@pytest.mark.parametrize("frames", ["0", "-3", "many", "1.5"])
def test_a_count_is_a_whole_number_of_one_or_more(frames, capsys):
    with pytest.raises(SystemExit) as ending:
        main(["predict", "a.mp4", "b.mp4", "--frames", frames])
    assert ending.value.code == 2
    assert "--frames" in capsys.readouterr().err


def test_an_interrupt_ends_quietly(monkeypatch):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.cli.info", interrupted)
    with pytest.raises(SystemExit) as ending:
        main(["info", "a.mp4"])
    assert ending.value.code == 130


def test_help_has_examples_and_loads_no_torch():
    code = "import sys; from pipeline.cli import main\ntry: main(['--help'])\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert "foreframe predict walk.mp4 longer.mp4 --frames 30" in done.stdout
    for command in ("predict", "info"):
        assert f"\n    {command} " in done.stdout


def test_rollback_puts_the_model_before_back_and_says_when_there_is_none(tiny, tmp_path, capsys):
    models = tmp_path / "models"
    for _ in range(2):
        registry.activate(registry.store(tiny.model, {}, models=models), models)
    main(["rollback", "--models", str(models)])
    assert capsys.readouterr().out == "v1.0.0 is the champion\n"
    assert registry.champion(models) == models / "v1.0.0"
    with pytest.raises(SystemExit) as ending:
        main(["rollback", "--models", str(models)])
    assert str(ending.value.code) == f"foreframe rollback: {models}: there is no version before v1.0.0"

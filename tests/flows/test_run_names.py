"""A run's name says what had changed."""

from flows.prefect_dvc.graph import Stage
from flows.prefect_dvc.stage_process import Order
from flows.run_names import what_changed


def stages(*changes):
    """One stage per tuple of what DVC says has changed."""
    order = Order(stage="s", cached=[], uncached={})
    return [
        Stage(name="s", needs=(), changes=lines, stale=bool(lines), outs=(), stored=(), order=order)
        for lines in changes
    ]


def test_videos_parameters_and_code_are_told_in_words():
    changed = stages(("videos: modified",), ("params.yaml: model.foreframe, train.seed", "pipeline/nn: modified"))
    videos = ["3 new in videos: a.mp4, b.mp4, c.mp4", "1 removed in videos: d.mp4"]
    assert what_changed(changed, videos) == ("3 new videos; 1 removed video; params: model.foreframe, train.seed; code")


def test_overrides_tell_the_keys_of_a_section():
    changed = stages(("params.yaml: train, model.foreframe",))
    overrides = ["train.seed=5", "train.max_minutes=1", "training=2", "evaluate.max_clips=3"]
    assert what_changed(changed, [], overrides) == "params: model.foreframe, train.max_minutes, train.seed"


def test_many_parameters_are_cut_short_and_each_is_told_once():
    changed = stages(("params.yaml: d, c",), ("params.yaml: c, b, a",))
    assert what_changed(changed) == "params: a, b, c …"


def test_a_first_run_nothing_and_what_has_no_word_of_its_own():
    assert what_changed(stages(("has not run here yet",), ("has not run here yet",))) == "first run"
    assert what_changed(stages((), ())) == "nothing"
    assert what_changed(stages(("data/model: deleted",))) == "data/model: deleted"

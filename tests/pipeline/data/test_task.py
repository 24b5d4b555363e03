"""What each task makes of a clip, worked out on five numbered frames."""

import numpy as np
import pytest

from pipeline.data.task import Predict, Translate, Window, make_task
from pipeline.data.translation import Translation
from pipeline.errors import DataError
from pipeline.metrics import METRICS

PAIRS = Translation(source="rough", target="clean", degradation=None, strength=None, seed=0)
NOISE = Translation(source=None, target=None, degradation="noise", strength=25.0, seed=0)
WINDOW = Window("clean/a.mp4", 1, 6, (0, 2), (0, 2))


def read(window):
    """Frames whose level is their number, 100 more in the folder of sources."""
    levels = np.arange(window.start, window.stop, dtype=np.uint8) + 100 * window.video.startswith("rough/")
    return np.broadcast_to(levels[:, None, None, None], (len(levels), 2, 2, 1))


def levels(frames):
    return frames[..., 0, 0, 0].tolist()


def test_a_prediction_is_fed_all_but_the_last_frame_and_judged_after_the_context():
    task = Predict(context=3, horizon=2)
    inputs, targets = task.pair(read, WINDOW)
    assert (levels(inputs), levels(targets)) == ([1, 2, 3, 4], [2, 3, 4, 5])
    assert (task.num_inputs, task.first_judged, task.num_judged) == (4, 2, 2)
    given, truth = task.free_running(inputs[None], targets[None])
    assert (levels(given), levels(truth)) == ([[1, 2, 3]], [[4, 5]])


def test_a_translation_is_fed_the_source_and_judged_throughout():
    task = Translate(3, 2, PAIRS)
    inputs, targets = task.pair(read, WINDOW)
    assert (levels(inputs), levels(targets)) == ([101, 102, 103, 104, 105], [1, 2, 3, 4, 5])
    assert (task.num_inputs, task.first_judged, task.num_judged) == (5, 0, 5)
    given, truth = task.free_running(inputs[None], targets[None])
    assert (levels(given), levels(truth)) == ([levels(inputs)], [levels(targets)])


def test_tasks_are_equal_where_a_model_for_one_can_do_the_other():
    assert make_task("predict", 1, 2, None) == make_task("predict", 3, 4, None)
    assert make_task("translate", 1, 2, NOISE) == make_task("translate", 3, 4, NOISE)
    assert make_task("translate", 1, 2, NOISE) != make_task("translate", 1, 2, PAIRS)
    assert make_task("predict", 1, 2, None) != make_task("translate", 1, 2, NOISE)


def test_a_task_says_what_people_call_it():
    assert (Predict(3, 2).label, Translate(3, 2, NOISE).label, Translate(3, 2, PAIRS).label) == (
        "predict",
        "noise 25",
        "rough -> clean",
    )
    assert Predict(3, 2).description == "predict, 3 frames given, 2 made at a time in training"
    assert Translate(3, 2, NOISE).description == "translate, noise 25, 5 frames at a time in training"


def test_only_pairs_have_folders_and_only_grey_keeps_brightness():
    folders = [task.folders for task in (Predict(3, 2), Translate(3, 2, NOISE), Translate(3, 2, PAIRS))]
    assert folders == [None, None, ("rough", "clean")]
    grey = NOISE.model_copy(update={"degradation": "grey", "strength": 1.0})
    assert (Predict(3, 2).keeps_luma, Translate(3, 2, NOISE).keeps_luma, Translate(3, 2, grey).keeps_luma) == (
        False,
        False,
        True,
    )


@pytest.mark.parametrize("task", [Predict, Translate])
def test_the_metrics_of_a_task_exist(task):
    assert set(task.metrics) <= set(METRICS)


def test_a_translation_that_nothing_describes_is_refused():
    with pytest.raises(DataError, match="called translate and has no translation"):
        make_task("translate", 1, 2, None)

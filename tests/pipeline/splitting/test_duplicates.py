"""Of videos that hold the same frames one is used, in the strictest split."""

import numpy as np

from pipeline.splitting.duplicates import ContentHash, without_copies


def content_hash(frames):
    state = ContentHash(frames.shape)
    for start in range(0, len(frames), 3):
        state.update(frames[start : start + 3])
    return state.hexdigest()


def test_a_hash_is_of_frames_and_shape(numbered):
    frames = numbered(4)
    assert content_hash(frames) == content_hash(frames.copy())
    assert content_hash(frames) != content_hash(frames.reshape(4, 4, 1, 1))
    changed = frames.copy()
    changed[3, 1, 1] = 99
    assert content_hash(changed) != content_hash(frames)
    assert content_hash(np.repeat(frames, 2, axis=2)[:, :, ::2]) == content_hash(frames), "whatever the memory layout"


def test_test_is_kept_before_val_before_train_and_then_the_first_name(caplog):
    parts = {
        "a": [("train", 0, 4)],
        "b": [("test", 0, 4)],
        "c": [("val", 0, 4)],
        "d": [("train", 0, 4)],
        "e": [("train", 0, 2), ("val", 2, 4)],
    }
    content = {"a": "x", "b": "x", "c": "y", "d": "z", "e": "y"}
    assert without_copies(parts, content) == {"b": parts["b"], "c": parts["c"], "d": parts["d"]}
    assert "a: left out, holds the same frames as b" in caplog.text
    assert "e: left out, holds the same frames as c" in caplog.text

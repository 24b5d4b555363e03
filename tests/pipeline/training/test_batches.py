"""Tests of pipeline/training/batches.py: every clip once per epoch, and a step's draws are its own."""

import numpy as np
import pytest
import torch

from pipeline.runtime.devices import accelerator
from pipeline.training.batches import Batches


def batches(clips, settings):
    return Batches(clips, **settings, accelerator=accelerator())


def test_an_epoch_is_every_clip_once_in_an_order_of_its_own(data, sections):
    clips = data[0]
    found = batches(clips, sections({"batch_size": 3}))
    steps = found.steps_per_epoch
    assert steps == -(-len(clips) // 3)
    epochs = [
        np.concatenate([piece.inputs for step in range(first, first + steps) for piece in found.pieces(step, 0.0)])
        for first in (0, steps)
    ]
    wanted = clips.pairs(range(len(clips)))[0]
    assert sorted(clip.tobytes() for clip in epochs[0]) == sorted(clip.tobytes() for clip in wanted)
    assert sorted(clip.tobytes() for clip in epochs[1]) == sorted(clip.tobytes() for clip in wanted)
    assert not np.array_equal(*epochs)


def test_the_frames_that_are_predicted_freely_grow_from_one_to_all(data, sections):
    context, horizon = data[0].context, data[0].horizon
    found = batches(data[0], sections({"curriculum": 0.5, "sampling": "free"}))
    fractions = np.linspace(0, 1, 41)
    masks = [next(found.pieces(0, fraction)).teacher_forcing[0].tolist() for fraction in fractions]
    counts = [sum(mask) for mask in masks]
    assert all(mask == sorted(mask, reverse=True) for mask in masks), "the truth comes first"
    assert counts[0] == context + horizon - 1
    assert counts == sorted(counts, reverse=True)
    assert set(counts) == set(range(context, context + horizon))
    assert set(counts[20:]) == {context}


def test_teacher_forcing_throughout_needs_no_mask(data, sections):
    assert next(batches(data[0], sections({"sampling": "teacher"})).pieces(0, 0.5)).teacher_forcing is None


def test_pieces_are_the_batch_in_parts_with_the_same_draws(data, sections):
    recipe = {"batch_size": 5, "sampling": "scheduled"}
    (whole,) = batches(data[0], sections(recipe, noise_channels=2)).pieces(1, 0.25)
    parts = list(batches(data[0], sections(recipe, noise_channels=2, accumulate=3)).pieces(1, 0.25))
    assert [len(part.inputs) for part in parts] == [2, 2, 1]
    assert [part.weight for part in parts] == [0.4, 0.4, 0.2]
    assert whole.weight == 1
    for name in ("inputs", "targets", "teacher_forcing", "noise"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name)), name


@pytest.mark.parametrize(
    ("train", "shape"),
    [
        ({}, (7, 6, 1, 16, 16)),
        ({"crop": 8}, (7, 6, 1, 8, 8)),
        ({"crop": 64}, (7, 6, 1, 16, 16)),
        ({"accumulate": 2}, (4, 6, 1, 16, 16)),
    ],
)
def test_the_largest_piece_is_as_large_as_the_largest_that_comes(wide_data, sections, train, shape):
    found = batches(wide_data[0], sections({"batch_size": 7}, **train))
    assert found.largest_piece() == shape
    sizes = [piece.inputs.shape for step in range(found.steps_per_epoch) for piece in found.pieces(step, 0.0)]
    b, t, c, h, w = shape
    assert max(sizes) == (b, t, h, w, c)


def test_crops_of_a_batch_come_from_several_places_and_repeat(wide_data, sections):
    def crops():
        return next(batches(wide_data[0], sections({"batch_size": 16}, crop=8)).pieces(0, 0.0)).inputs

    clips = wide_data[0].pairs(range(len(wide_data[0])))[0]
    places = {
        (top, left)
        for crop in crops().numpy()
        for top in (0, 8)
        for left in (0, 8)
        for clip in clips
        if np.array_equal(clip[:, top : top + 8, left : left + 8], crop)
    }
    assert {left for _, left in places} == {0, 8}, "a bar looks the same at the top and at the bottom"
    assert torch.equal(crops(), crops())

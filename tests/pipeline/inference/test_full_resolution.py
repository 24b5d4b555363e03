"""Predicted pictures are as sharp and as colourful as the video; a model that is wrong about it changes little."""

from itertools import islice

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from pipeline.inference.generation import continuation
from pipeline.model_dir import ModelCard
from pipeline.models import build
from pipeline.models.foreframe import Composition

CPU = torch.device("cpu")
RATIO, SPEED = 8, 8  # pixels of a picture per pixel of a frame, and per step
SIZES = {"hidden_channels": 4, "num_scales": 1, "num_motions": 2, "patch_size": 4}


def card(channels=3, side=16):
    return ModelCard(
        name="foreframe",
        sizes=SIZES,
        frame_shape=(channels, side, side),
        out_channels=channels,
        noise_channels=0,
        task="predict",
        fit="crop",
        context=4,
        horizon=4,
        data="",
        metrics={},
    )


def texture(height, width):
    """Fine and coarse detail in colour."""
    generator = np.random.default_rng(0)
    fine = cv2.GaussianBlur(generator.normal(0, 120, (height, width, 3)), (0, 0), 1.5)
    coarse = cv2.GaussianBlur(generator.normal(0, 4000, (height, width, 3)), (0, 0), 16)
    return (128 + fine + coarse).clip(0, 255).astype(np.uint8)


def pan(num_frames, speed=SPEED):
    """A camera that moves to the right: what it sees moves to the left."""
    scene = texture(128, 192 + speed * num_frames)
    return [scene[:, speed * number : speed * number + 192] for number in range(num_frames)]


def energy(picture):
    return np.square(np.diff(picture.astype(float), axis=1)).mean()


def continued(model, model_card, pictures, num_frames):
    return list(islice(continuation(model, model_card, pictures, CPU), num_frames))


class Moving(nn.Module):
    """Says that everything comes from `flow` (x, y), and shows that."""

    def __init__(self, flow, agree=True):
        super().__init__()
        self.flow, self.agree = torch.tensor(flow), agree

    def compose(self, frames, state=None):
        output = frames.roll(tuple(-int(value) for value in self.flow.flip(0)), dims=(-2, -1))
        flow = self.flow[None, None, :, None, None].expand(1, 1, 2, *frames.shape[-2:])
        flows, masks = flow, torch.ones_like(flow[:, :, 0])
        if not self.agree:  # half comes from twice as far, half from where it is
            flows, masks = torch.cat([2 * flow, 0 * flow], dim=1), torch.cat([masks, masks], dim=1) / 2
        return output, (), Composition(flows, masks, torch.zeros_like(output[:, -1]))

    def forward(self, frames, state=None):
        return self.compose(frames)[:2]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("agree", [True, False])
def test_what_the_model_moves_stays_sharp_and_keeps_its_colour(channels, agree):
    pictures = pan(9 + 10)
    made = continued(Moving((1.0, 0.0), agree), card(channels), pictures[:9], 10)
    for step, (picture, truth) in enumerate(zip(made, pictures[9:], strict=True), 1):
        seen = slice(16, 192 - SPEED * step - 16)  # what was in the last true picture
        error = np.abs(picture[16:-16, seen].astype(float) - truth[16:-16, seen]).mean()
        assert error < 6, f"step {step}"
        assert energy(picture[:, seen]) > 0.8 * energy(truth[:, seen])


def test_a_model_that_is_wrong_about_a_video_leaves_it_as_it_is():
    pictures = [texture(128, 192)] * 9
    for picture in continued(Moving((3.0, -2.0)), card(), pictures, 5):
        assert np.abs(picture.astype(int) - pictures[0]).max() <= 1


def test_measured_motion_goes_on_where_the_model_is_wrong():
    pictures = pan(9 + 5, speed=3)
    made = continued(Moving((0.0, 3.0)), card(), pictures[:9], 5)
    error = np.abs(made[-1][16:-16, 16:150].astype(float) - pictures[-1][16:-16, 16:150]).mean()
    still = np.abs(pictures[8][16:-16, 16:150].astype(float) - pictures[-1][16:-16, 16:150]).mean()
    assert error < 0.3 * still


class Brightening(nn.Module):
    """Says nothing of motion: every frame is ten levels brighter than the one before."""

    def forward(self, frames, state=None):
        return frames + 10 / 127.5, ()


@pytest.mark.parametrize("channels", [1, 3])
def test_what_a_model_without_flows_changes_is_added_to_the_large_picture(channels):
    scene = texture(128, 192) // 3
    pictures = [scene + np.uint8(10 * number) for number in range(9)]
    for step, picture in enumerate(continued(Brightening(), card(channels), pictures, 3), 1):
        np.testing.assert_allclose(picture.astype(int), pictures[-1].astype(int) + 10 * step, atol=1)


def test_pictures_as_large_as_the_frames_are_the_models_own():
    pictures = [np.full((16, 16, 3), 50, np.uint8)] * 9
    made = continued(Brightening(), card(3), pictures, 2)
    assert [picture[0, 0, 0] for picture in made] == [60, 70]


def test_one_picture_alone_is_continued():
    (picture,) = continued(Moving((0.0, 0.0)), card(), [texture(128, 192)], 1)
    assert np.array_equal(picture, texture(128, 192))


def test_the_generator_itself_begins_with_nearly_the_last_picture():
    torch.manual_seed(0)
    model = build("foreframe", (3, 16, 16), 3, **SIZES).eval()
    pictures = [texture(128, 192)] * 9
    (picture,) = continued(model, card(), pictures, 1)
    assert np.abs(picture.astype(int) - pictures[0]).mean() < 1


def test_a_model_that_wants_to_know_is_told_which_frames_are_its_own():
    told = []

    class Asking(Moving):
        takes_fed_back = True

        def compose(self, frames, state=None, fed_back=None):
            told.append(fed_back if fed_back is None else fed_back.tolist())
            return super().compose(frames)

    continued(Asking((0.0, 0.0)), card(), [texture(128, 192)], 3)
    assert told[-3:] == [None, [[True]], [[True]]]  # before them, memory was estimated

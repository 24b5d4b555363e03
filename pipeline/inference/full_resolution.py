"""Predicted pictures as sharp as the video: a network on small frames says what changes, the large picture is moved.

Two say where the last true picture goes: the network (the flows that its frames are composed of, followed back to that
picture, so that it is resampled once, however long it has moved) and optical flow between the last two pictures, which
sees finer motion. What the network's frames show beyond that is light, added; it is as coarse as they are. How much of
each is taken is found on frames that are known already (pipeline/inference/trust.py).

Motion is worked out on a grid between the small frames and the large picture, which costs little and is smooth.
"""

from collections.abc import Iterable
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.inference import motion
from pipeline.inference.steps import Step
from pipeline.inference.trust import Evidence
from pipeline.measuring.baselines import flow_between
from pipeline.video import Image as Picture

GRID_SIDE = 256  # pixels: the shorter side of the grid on which motion is worked out, at most
Levels = NDArray[np.float32]  # (H, W, C), levels of 255


class Predictions:
    """What follows a picture, according to the network's steps and to measured motion, on the grid."""

    def __init__(self, previous: Picture | None, last: Picture, frame: Levels) -> None:
        """`last` on the grid, and the picture before it; `frame` is the small one that the network saw of `last`."""
        self.last, self.frame = last.astype(np.float32), frame
        self.size, self.frame_size = last.shape[:2], frame.shape[:2]
        self.flow = np.zeros((*self.size, 2), np.float32) if previous is None else flow_between(last, previous)
        # from the frame to come back to the picture: as the network says, small, and by measured motion
        self.field = np.zeros((*self.frame_size, 2), np.float32)
        self.measured_field = np.zeros((*self.size, 2), np.float32)

    def advance(self, frame: Levels, flow: motion.Field | None) -> None:
        """The network's next frame (h, w, C), and its flow to the one before."""
        self.flow = motion.carried_on(self.flow)
        self.measured_field = motion.followed(self.measured_field, self.flow)
        self.change = frame - self.frame  # of the small frame since the picture
        if flow is not None:
            self.field = motion.followed(self.field, flow)

    def network_field(self) -> motion.Field:
        """From a frame to come back to the picture, as the network says, on the grid."""
        return motion.resized_field(self.field, self.size)

    def light(self, field: motion.Field) -> Levels:
        """What the network's frame shows that moving the picture by `field` does not: (h, w, C), small."""
        change = motion.moved(self.last, field) - self.last
        return self.change - motion.resized(change, self.frame_size, cv2.INTER_AREA)

    def changes(self) -> tuple[Levels, Levels]:
        """How the picture changes on the grid, as the network says and by measured motion."""
        by_network, measured = self.network_field(), self.measured_field
        light = motion.resized(self.light(by_network), self.size, cv2.INTER_CUBIC)
        return motion.moved(self.last, by_network) - self.last + light, motion.moved(self.last, measured) - self.last


class FullResolution:
    """The pictures that follow `pictures`, at their resolution."""

    def __init__(self, pictures: list[Picture], frame_size: motion.Size, num_channels: int) -> None:
        """The last of a video's `pictures`, uint8 (H, W, 3), of which a network sees frames of `frame_size`.

        `num_channels` is that of its frames: 1 for gray.
        """
        self.picture = pictures[-1]
        height, width = self.picture.shape[:2]
        scale = min(1.0, max(GRID_SIDE, min(frame_size)) / min(height, width))
        self.size = max(1, round(scale * height)), max(1, round(scale * width))
        self.num_channels = num_channels
        self.pictures = [self._on_grid(picture) for picture in pictures]
        self.places = motion.places((height, width))
        ones = np.ones((*self.size, 1), np.float32)
        self.trust_network, self.trust_measured = ones, 0 * ones  # where nothing is known of either

    def learn_trust(self, frame: Levels, steps: Iterable[tuple[Levels, motion.Field | None]], num_known: int) -> None:
        """See what the network's `steps` from `num_known` pictures before the last one say of those that followed.

        `frame` is the small one that they began with.
        """
        *before, base = self.pictures[: len(self.pictures) - num_known]
        known = self.pictures[len(self.pictures) - num_known :]
        predictions = Predictions(before[-1] if before else None, base, frame)
        evidence = Evidence()
        for true, step in zip(known, islice(steps, num_known), strict=True):
            predictions.advance(*step)
            evidence.add(*predictions.changes(), true.astype(np.float32) - predictions.last)
        self.trust(evidence)

    def trust(self, evidence: Evidence) -> None:
        """Take as much of each predictor as the evidence, of changes on the grid, says."""
        first, second = evidence.factors()
        self.trust_network, self.trust_measured = first[..., None], second[..., None]

    def begin(self, frame: Levels) -> None:
        """Predict from the last picture on, of which the network has seen `frame`."""
        before = self.pictures[-2] if len(self.pictures) > 1 else None
        self.predictions = Predictions(before, self.pictures[-1], frame)

    def go_on(self, picture: Picture, frame: Levels) -> None:
        """Predict from another picture on, the one after the last, of which the network has seen `frame`."""
        self.picture = picture
        self.pictures = [self.pictures[-1], self._on_grid(picture)]
        self.begin(frame)

    def next_picture(self, frame: Levels, flow: motion.Field | None) -> Picture:
        """The picture of the network's next frame (h, w, C), and its flow to the one before."""
        self.predictions.advance(frame, flow)
        return self.current_picture()

    def current_picture(self) -> Picture:
        """The picture of the frame that the predictions have come to."""
        predictions = self.predictions
        by_network, measured = predictions.network_field(), predictions.measured_field
        # trust is that of what moves, which is looked up where it was
        trust = motion.moved(self.trust_network, by_network)
        field = trust * by_network + motion.moved(self.trust_measured, measured) * measured
        light = predictions.light(field) * motion.resized(trust, predictions.frame_size, cv2.INTER_AREA)
        return self._with_light(self._moved(field), light)

    def _on_grid(self, picture: Picture) -> Picture:
        """As the network sees colour, on the grid: (H, W, C)."""
        small = cv2.resize(picture, self.size[::-1], interpolation=cv2.INTER_AREA)
        if self.num_channels == 1:
            return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)[..., None]  # type: ignore[return-value]
        return small  # type: ignore[return-value]

    def _moved(self, field: motion.Field) -> Picture:
        """The large picture moved by a field of the grid."""
        sources = self.places + motion.resized_field(field, self.picture.shape[:2])
        return motion.remapped(self.picture, sources, cv2.INTER_CUBIC)

    def _with_light(self, picture: Picture, light: Levels) -> Picture:
        """`picture` with small `light` added; that of a gray network to all channels, so that colour stays."""
        light = motion.resized(light, self.size, cv2.INTER_CUBIC)
        light = np.ascontiguousarray(np.broadcast_to(light, (*self.size, 3)))
        return cv2.add(picture, motion.resized(light, picture.shape[:2]), dtype=cv2.CV_8U)  # type: ignore[return-value]


def as_levels(step: Step, content: tuple[slice, slice]) -> tuple[Levels, motion.Field | None]:
    """The part `content` of a step's frame, in levels of 255, and of its flow."""
    frame = (step.frame[0, 0, :, *content].movedim(0, -1).numpy() + 1) * 127.5
    flow = step.flow if step.flow is None else np.ascontiguousarray(step.flow[content])
    return np.ascontiguousarray(frame), flow

"""A generator beside a video that is running: as each picture comes, the picture that is expected some frames later.

The generator's state goes on with the video, so a picture costs one step of the network per frame looked ahead, however
long the video has run. How far the network and measured motion are to be trusted is learnt on the way: each expectation
is compared with what came (pipeline/inference/trust.py).
"""

import statistics
import time
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.errors import ModelError
from pipeline.inference.framing import Framing, framing_for
from pipeline.inference.full_resolution import FullResolution, Levels, as_levels
from pipeline.inference.generation import KNOWN_FRAMES, is_coloured
from pipeline.inference.step_memory import step_bytes
from pipeline.inference.steps import Step, Stepper
from pipeline.inference.trust import Evidence
from pipeline.model_dir import ModelCard
from pipeline.nn import rollout
from pipeline.runtime import memory
from pipeline.video import Image as Picture

FADE = 1 - 1 / KNOWN_FRAMES  # of the evidence with each picture: as much as of KNOWN_FRAMES counts
TRIALS = 5


class Live:
    """The pictures that a generator expects, `ahead` frames after each one of a video."""

    def __init__(
        self,
        model: nn.Module,
        card: ModelCard,
        size: tuple[int, int],
        device: torch.device,
        *,
        ahead: int = 1,
        side: int | None = None,
        seed: int = 0,
    ) -> None:
        """Pictures have `size` (height, width); `side` and `seed` are as in generation.continuation.

        Raises ModelError where the model translates, or its frames do not fit in memory.
        """
        if not card.made_for.feeds_back:
            raise ModelError(f"the model is made to {card.task}, not to continue a video")
        self.size, self.ahead, self.device = size, ahead, device
        self.framing = framing_for(card, size, side)
        channels, height, width = self.framing.frame_shape
        needed = step_bytes(model, (channels + card.noise_channels, height, width))
        memory.check(f"generating frames of {width}x{height}", needed, memory.available(device), "--side")
        noise = rollout.draw_noise(1, card.noise_channels, torch.Generator().manual_seed(seed))
        self.stepper = Stepper(model, noise)
        self.is_gray = card.out_channels == 1
        self.state: rollout.State = None
        self.large: Large | None = None
        if device.type == "cpu":
            self._choose_threads()

    @torch.inference_mode()
    def expect(self, picture: Picture) -> Picture:
        """The picture that is expected `ahead` frames after `picture` (H, W, 3), uint8, the next one of the video."""
        frame = self.framing.frame(picture)[None]  # (1, 1, C, h, w)
        futures = self._futures(frame.to(self.device))
        if not self.framing.enlarges and not (self.is_gray and is_coloured(picture)):
            self.large = None
            return self.framing.picture(futures[-1].frame[0], picture)
        if self.large is None:
            self.large = Large(self.framing, self.ahead)
        return self.large.expect(picture, frame, futures)

    def warm_up(self) -> None:
        """Do everything once, so that the first picture takes no longer than the others; then as if new."""
        height, width = self.size
        colours = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        for _ in range(self.ahead + 2):
            self.expect(colours)
        self.state, self.large = None, None

    def _futures(self, frame: Tensor) -> list[Step]:
        """The next `ahead` frames after the true one (1, 1, C, h, w)."""
        step, self.state = self.stepper.feed(frame, self.state)
        found, state = [step], self.state
        while len(found) < self.ahead:
            step, state = self.stepper.feed_back(step, state, frame)
            found.append(step)
        return found

    @torch.inference_mode()
    def _choose_threads(self) -> None:
        """Have torch compute with one thread where that is faster: threads wait for each other at every small layer."""
        black = torch.full((1, 1, *self.framing.frame_shape), -1.0, device=self.device)
        most = torch.get_num_threads()
        _, state = self.stepper.feed(black)  # the first one packs the weights
        medians = {}
        for number in (most, 1):
            torch.set_num_threads(number)
            self.stepper.feed(black, state)
            seconds = []
            for _ in range(TRIALS):
                begin = time.perf_counter()
                self.stepper.feed(black, state)
                seconds.append(time.perf_counter() - begin)
            medians[number] = statistics.median(seconds)
        torch.set_num_threads(min(medians, key=lambda number: medians[number]))


class Large:
    """The expected pictures at the video's own resolution."""

    def __init__(self, framing: Framing, ahead: int) -> None:
        self.framing, self.ahead = framing, ahead
        self.evidence = Evidence()
        self.pictures: FullResolution | None = None
        # of expectations whose picture has not come yet: changes by the network, by measured motion, since what
        self.open: deque[tuple[Levels, Levels, Levels]] = deque()

    def expect(self, picture: Picture, frame: Tensor, futures: list[Step]) -> Picture:
        """As Live.expect; `frame` (1, 1, C, h, w) is what the network saw of `picture`, `futures` what it expects."""
        content = self.framing.content
        seen, _ = as_levels(Step(frame, None), content)
        visible = picture[self.framing.visible]
        if self.pictures is None:
            self.pictures = FullResolution([visible], self.framing.content_size, frame.shape[2])
            self.pictures.begin(seen)
        else:
            self.pictures.go_on(visible, seen)
        self._learn(self.pictures)
        for step in futures:
            self.pictures.predictions.advance(*as_levels(step, content))
        predictions = self.pictures.predictions
        self.open.append((*predictions.changes(), predictions.last))
        expected = picture.copy()
        expected[self.framing.visible] = self.pictures.current_picture()
        return expected

    def _learn(self, pictures: FullResolution) -> None:
        """See what was expected of the picture that has come."""
        if len(self.open) == self.ahead:
            first, second, last = self.open.popleft()
            self.evidence.fade(FADE)
            self.evidence.add(first, second, pictures.predictions.last - last)
            pictures.trust(self.evidence)


def expected(
    model: nn.Module,
    card: ModelCard,
    pictures: Iterable[Picture],
    device: torch.device,
    *,
    ahead: int = 1,
    side: int | None = None,
    seed: int = 0,
) -> Iterator[Picture]:
    """For each of `pictures`, as they come, the one that is expected `ahead` frames later; as Live.

    Raises ModelError where the pictures' size changes.
    """
    live, shape = None, None
    for picture in pictures:
        if live is None:
            shape = picture.shape
            live = Live(model, card, (shape[0], shape[1]), device, ahead=ahead, side=side, seed=seed)
        if picture.shape != shape:
            raise ModelError(f"a frame is {picture.shape}, the first was {shape}; begin a new stream where it changes")
        yield live.expect(np.ascontiguousarray(picture))

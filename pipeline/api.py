"""foreframe from Python: load a generator, continue an array or a video, stream frames. Import it as `pipeline`."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.errors import ModelError
from pipeline.inference.generation import continuation, continue_video
from pipeline.inference.live import expected
from pipeline.inference.model_card import export_folder
from pipeline.inference.model_choice import choose_model_dir
from pipeline.inference.translation import to_picture, to_source, translate_video, translated
from pipeline.model_dir import ModelCard, load
from pipeline.runtime.devices import autocast_dtype, best_device

Frames = NDArray[np.uint8]


class Generator:
    """A trained generator and what it is made for (`card`); `module` is the network, on `device`, for your own loops.

    Frames are uint8 (H, W, 3), RGB, of any size; videos are files or folders of numbered images.
    """

    def __init__(self, module: nn.Module, card: ModelCard, device: torch.device, model_dir: Path) -> None:
        self.module, self.card, self.device, self.model_dir = module, card, device, model_dir

    @classmethod
    def from_pretrained(cls, model_dir: str | PathLike[str] | None = None, device: str | None = None) -> Self:
        """The generator in a model directory; None: the champion of this folder's project, else its `data/model`.

        The word pretrained names the weights that foreframe comes with.
        `device` is one of torch's, None for a GPU where there is one. Raises ModelError where there is no whole model.
        """
        chosen, _ = choose_model_dir(None if model_dir is None else Path(model_dir))
        place = best_device() if device is None else torch.device(device)
        return cls(*load(chosen, place), place, chosen)

    def save_pretrained(self, folder: str | PathLike[str], *, licence: str = "other", data: str = "") -> None:
        """Write weights, model.json and a model card (README.md) to `folder`; see foreframe export --card."""
        export_folder(self.model_dir, Path(folder), licence=licence, data=data)

    def stream(self, frames: Iterable[Frames], *, side: int | None = None, seed: int = 0) -> Iterator[Frames]:
        """Frames that follow `frames`, one after another without end; only the last card.context of them are used.

        `side` is the shorter side of what the network computes, in pixels, None for as in training; `seed` picks a
        future, where the network was trained with noise. Raises ModelError for one that translates.
        """
        if not self.card.made_for.feeds_back:
            raise ModelError(f"{self.model_dir}: is made to {self.card.task}, not to continue a video; use translate")
        past = list(frames)[-self.card.context :]
        return continuation(self.module, self.card, past, self.device, side, seed)

    def continue_frames(self, frames: Frames, num_frames: int, *, side: int | None = None, seed: int = 0) -> Frames:
        """The `num_frames` frames (N, H, W, 3) that follow `frames` (T, H, W, 3)."""
        return np.stack(list(islice(self.stream(frames, side=side, seed=seed), num_frames)))

    def ahead(
        self, frames: Iterable[Frames], num_frames: int = 1, *, side: int | None = None, seed: int = 0
    ) -> Iterator[Frames]:
        """For each of `frames`, as they come, the frame that is expected `num_frames` later; see foreframe stream.

        Raises ModelError for one that translates, and where the size of the frames changes.
        """
        return expected(self.module, self.card, frames, self.device, ahead=num_frames, side=side, seed=seed)

    def translate(self, frames: Iterable[Frames], *, tile: int | None = None) -> Iterator[Frames]:
        """What each of `frames` is translated to, as they come; `tile` as in foreframe translate.

        Raises ModelError for a generator that continues videos.
        """
        if self.card.made_for.feeds_back:
            raise ModelError(f"{self.model_dir}: is made to continue videos, not to translate them; use stream")
        sources = (to_source(frame, self.card, degrade=False, number=n) for n, frame in enumerate(frames))
        dtype = autocast_dtype("auto", self.device)
        outputs = translated(self.module, self.card, sources, self.device, tile, dtype)
        first = next(outputs, None)
        return (to_picture(output) for output in ([] if first is None else chain([first], outputs)))

    def continue_video(
        self, source: str | PathLike[str], output: str | PathLike[str], num_frames: int, *, side: int | None = None
    ) -> None:
        """Write the video `source`, then `num_frames` generated frames, to `output` (.mp4, .m4v, .mov or .mkv)."""
        continue_video(Path(source), Path(output), self.model_dir, num_frames, side)

    def translate_video(self, source: str | PathLike[str], output: str | PathLike[str]) -> None:
        """Write what the generator makes of the video `source` to `output`, with its audio."""
        translate_video(Path(source), Path(output), self.model_dir, degrade=False, tile=None)

"""Which model continues a video where none is named: one's own if it suits the video, else the one that comes along."""

from itertools import islice
from pathlib import Path

from pipeline.errors import ModelError
from pipeline.inference.generation import is_coloured
from pipeline.model_dir import CARD, PRETRAINED, load_card
from pipeline.video import read_frames

PRETRAINED_NAME = "pretrained"  # what people call it
LOOKED_AT = 25  # frames at a video's start, to see whether it is in colour


def choose_model_dir(asked: Path | None, own: Path, video: Path) -> tuple[Path, str]:
    """The model directory to continue `video` with, and why it is not `own`; "" where it is, or was `asked` for.

    `asked` is a model directory, or the word pretrained; None: not said. A model of one's own that is damaged is not
    passed over. Raises VideoError where the video cannot be read.
    """
    if asked is not None:
        return (PRETRAINED if str(asked) == PRETRAINED_NAME else asked), ""
    if not (own / CARD).exists():
        return PRETRAINED, f"there is no model in {own}"
    try:
        card = load_card(own)
    except ModelError:
        return own, ""  # whoever loads it says what is wrong
    if not card.made_for.feeds_back:
        return PRETRAINED, f"{own} is made to {card.task}"
    if card.out_channels == 1 and any(is_coloured(picture) for _, picture in islice(read_frames(video), LOOKED_AT)):
        return PRETRAINED, f"{own} has only seen gray frames, {video} is in colour"
    return own, ""

"""Which model a command takes where a person names none: the champion, else the one that was trained last."""

from itertools import islice
from pathlib import Path

from pipeline import model_versions
from pipeline.errors import ModelError
from pipeline.inference.generation import is_coloured
from pipeline.model_dir import CARD, PRETRAINED, load_card
from pipeline.model_versions import MODELS
from pipeline.sources.opening import read_frames

TRAINED = Path("data/model")  # where `dvc repro` leaves one
PRETRAINED_NAME = "pretrained"  # what people call the model that comes with the program
LOOKED_AT = 25  # frames at a video's start, to see whether it is in colour


def choose_model_dir(asked: Path | None = None, folder: Path = Path()) -> tuple[Path, str]:
    """The model directory to use in the project at `folder`, and why, in a few words.

    `asked` itself where a person named one; the word pretrained names the model that comes with the program. Else the
    champion: a model that a run made and that was refused does not take its place. Else data/model, which the stage
    train writes. Raises ModelError where there is neither, or the champion is lost: a worse model must not pass for it.
    """
    if asked is not None:
        return (PRETRAINED if str(asked) == PRETRAINED_NAME else asked), "as asked"
    own, why = _own(folder)
    if not own.is_dir():
        raise ModelError(
            f"{own}: no such directory, and no champion in {folder / MODELS}; "
            "`dvc repro train` makes a model, one that translates where params.yaml says so (task); --model names one"
        )
    return own, why


def choose_model_for(video: Path, asked: Path | None = None, folder: Path = Path()) -> tuple[Path, str]:
    """The model directory to continue `video` with, and why: as choose_model_dir, or the pretrained model.

    That is taken where there is no model of one's own, and where there is one that is not made for such a video. A
    model that is damaged is not passed over. Raises ModelError where the champion is lost, VideoError where the video
    cannot be read.
    """
    if asked is not None:
        return choose_model_dir(asked, folder)
    own, why = _own(folder)
    if not (own / CARD).exists():
        return PRETRAINED, f"the pretrained model; there is no model in {own}"
    try:
        card = load_card(own)
    except ModelError:
        return own, why  # whoever loads it says what is wrong
    if not card.made_for.feeds_back:
        return PRETRAINED, f"the pretrained model; {own} is made to {card.task}"
    if card.out_channels == 1 and any(is_coloured(picture) for _, picture in islice(read_frames(video), LOOKED_AT)):
        return PRETRAINED, f"the pretrained model; {own} has only seen gray frames, the video is in colour"
    return own, why


def choose_model_live(asked: Path | None = None, folder: Path = Path()) -> tuple[Path, str]:
    """The model directory for frames that are yet to come, and why: as choose_model_dir, else the pretrained model."""
    if asked is None and not (_own(folder)[0] / CARD).exists():
        return PRETRAINED, "the pretrained model"
    return choose_model_dir(asked, folder)


def _own(folder: Path) -> tuple[Path, str]:
    """The champion, else where the model that was trained last is, or would be."""
    champion = model_versions.champion(folder / MODELS)
    if champion is not None:
        return folder / MODELS / model_versions.CHAMPION, f"the champion, {champion.name}"
    return folder / TRAINED, "trained last; there is no champion"

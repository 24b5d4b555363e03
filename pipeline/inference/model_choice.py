"""Which model a command takes where a person names none: the champion, else the one that was trained last."""

from pathlib import Path

from pipeline import model_versions
from pipeline.errors import ModelError
from pipeline.model_versions import MODELS

TRAINED = Path("data/model")  # where `dvc repro` leaves one


def choose_model_dir(asked: Path | None = None, folder: Path = Path()) -> tuple[Path, str]:
    """The model directory to use in the project at `folder`, and why, in a few words.

    `asked` itself where a person named one. Else the champion: a model that a run made and that was refused does not
    take its place. Else data/model, which the stage train writes. Raises ModelError where there is neither, or the
    champion is lost: a worse model must not pass for it.
    """
    if asked is not None:
        return asked, "as asked"
    champion = model_versions.champion(folder / MODELS)
    if champion is not None:
        return folder / MODELS / model_versions.CHAMPION, f"the champion, {champion.name}"
    if (folder / TRAINED).is_dir():
        return folder / TRAINED, "trained last; there is no champion"
    raise ModelError(
        f"{folder / TRAINED}: no such directory, and no champion in {folder / MODELS}; "
        "`dvc repro train` makes a model, --model names one"
    )

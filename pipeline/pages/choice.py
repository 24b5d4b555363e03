"""Which test clips are shown: the best, the median and the worst by name; spread evenly where no scores are known."""

from dataclasses import dataclass

import pandas as pd

# ranks, 0 the best and 1 the worst, in the order in which they are taken, and what people call them
RANKS = {0.5: "median", 1.0: "worst", 0.0: "best", 0.75: "third quartile", 0.25: "first quartile"}


@dataclass(frozen=True)
class Choice:
    """A test clip that is shown, and why."""

    index: int  # in the test set
    title: str = ""  # `worst`; empty: chosen by its place
    detail: str = ""  # `MSE 7.31, place 600 of 600`


def choose(num_clips: int, most: int, scores: pd.DataFrame | None) -> list[Choice]:
    """At most `most` of `num_clips` test clips, from the best to the worst by the model's MSE.

    `scores` has the columns of clip_scores.csv; where it is None, the clips are spread evenly over the test set.
    """
    rows = None if scores is None else scores[(scores["method"] == "model") & scores["clip"].between(0, num_clips - 1)]
    if rows is None or rows.empty:
        return [Choice(index * num_clips // most) for index in range(most)] if most < num_clips else _all(num_clips)
    ranked = rows.sort_values(["mse", "clip"], kind="stable")
    places = _places(len(ranked), most)
    return [_described(ranked, place, title) for place, title in sorted(places.items())]


def _all(num_clips: int) -> list[Choice]:
    return [Choice(index) for index in range(num_clips)]


def _places(num_ranked: int, most: int) -> dict[int, str]:
    """Places among `num_ranked` clips and their titles: those of RANKS, then more in between."""
    last = num_ranked - 1
    if num_ranked == 1:
        return {0: "the only one"}
    places: dict[int, str] = {0: "best", 1: "worst"} if num_ranked == 2 and most > 1 else {}
    for rank, title in RANKS.items():
        if len(places) < most:
            places.setdefault(round(rank * last), title)
    for number in range(1, most):
        if len(places) < min(most, num_ranked):
            places.setdefault(round(number * last / most), "in between")
    return places


def _described(ranked: pd.DataFrame, place: int, title: str) -> Choice:
    row = ranked.iloc[place]
    figures = [f"MSE {row['mse']:.2f}"] + ([f"SSIM {row['ssim']:.3f}"] if pd.notna(row.get("ssim")) else [])
    return Choice(int(row["clip"]), title, ", ".join([*figures, f"place {place + 1} of {len(ranked)}"]))

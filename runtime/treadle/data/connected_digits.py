"""Strings of spoken digits: utterances of single digits, one joined to the next."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np

from treadle.data.dataset import Dataset, digest_of
from treadle.data.examples import Frames
from treadle.data.speech import SPOKEN_DIGITS, open_spoken_digits

if TYPE_CHECKING:
    from collections.abc import Sequence

FEWEST, MOST = 3, 7
"""Digits of a string."""
PASSES = {"train": 8, "validation": 4, "test": 4}
"""How often every utterance of a split is used, each time among others."""


def open_connected_digits(*, seed: int = 0) -> Dataset[list[Frames]]:
    """Strings of 3 to 7 digits, their utterances joined without a pause.

    The utterances are those of `spoken-digits` with the same `seed`, and each stays in its split,
    so none that is tested was trained on; the file does not say who speaks, so a string mixes its
    six speakers. A split goes through its utterances several times, shuffled anew. Raises
    DataError.
    """
    spoken = open_spoken_digits(seed=seed)
    splits: dict[str, list[Frames]] = {}
    for number, (split, passes) in enumerate(PASSES.items()):
        draw = random.Random(f"{seed} {number}")
        splits[split] = joined(spoken.split(split), passes, draw)
    return Dataset(
        name="connected-digits",
        options={"seed": seed},
        licence=SPOKEN_DIGITS.licence,
        source=SPOKEN_DIGITS.home,
        digest=digest_of(splits),
        splits=splits,
    )


def joined(utterances: Sequence[Frames], passes: int, draw: random.Random) -> list[Frames]:
    """Strings of labelled utterances, each used once a pass; too short a rest is left out."""
    strings = []
    for _ in range(passes):
        order = list(utterances)
        draw.shuffle(order)
        while len(order) >= FEWEST:
            count = draw.randint(FEWEST, MOST)
            chosen, order = order[:count], order[count:]
            values = np.concatenate([one.values for one in chosen])
            strings.append(Frames(values, symbols=tuple(str(one.label) for one in chosen)))
    return strings

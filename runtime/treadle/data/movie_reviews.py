"""Sentences of movie reviews with the sentiment that people saw in them.

Hutto & Gilbert, "VADER: a parsimonious rule-based model for sentiment analysis of social media
text", 2014: the snippets of Pang & Lee's reviews, each rated by twenty people from -4 to 4.
"""

from __future__ import annotations

import hashlib
import math
import random
from typing import TYPE_CHECKING

from treadle.data.dataset import Dataset
from treadle.data.examples import Labelled
from treadle.data.registry import Source, locate
from treadle.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

MOVIE_REVIEWS = Source(
    folder="movie-reviews",
    file="movieReviewSnippets_GroundTruth.txt",
    sha256="c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350",
    licence="MIT (C.J. Hutto)",
    home="https://github.com/cjhutto/vaderSentiment",
    where="unpack the source distribution of vaderSentiment 3.3.2 from PyPI",
)
NEUTRAL = 0.5
"""A mean rating nearer to zero than this has no clear sign, and is left out."""


def open_movie_reviews(*, seed: int = 0) -> Dataset[list[Labelled]]:
    """Sentences as "positive" or "negative", split 80/10/10 by `random.Random(seed)`.

    Raises DataError.
    """
    path = locate(MOVIE_REVIEWS)
    examples = read_reviews(path.read_text(encoding="utf-8").splitlines(), path)
    random.Random(seed).shuffle(examples)
    share = len(examples) // 10
    splits = {
        "train": examples[2 * share :],
        "validation": examples[share : 2 * share],
        "test": examples[:share],
    }
    return Dataset(
        name="movie-reviews",
        options={"seed": seed},
        licence=MOVIE_REVIEWS.licence,
        source=MOVIE_REVIEWS.home,
        digest=_digest(splits.values()),
        splits=splits,
    )


def read_reviews(lines: Iterable[str], path: Path) -> list[Labelled]:
    """The sentences that have a sentiment; a line is `id TAB score TAB text`.

    Raises DataError with file and line, and for a file without any.
    """
    examples = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        _, _, rest = line.partition("\t")
        score, tab, text = rest.partition("\t")
        value = _number(score)
        if not tab or value is None:
            raise DataError(f"{path}:{number}: expected id, score and text, got {line[:60]!r}")
        if abs(value) >= NEUTRAL:
            examples.append(Labelled(text, "positive" if value > 0 else "negative"))
    if not examples:
        raise DataError(f"{path}: expected sentences with a sentiment, got none")
    return examples


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _digest(splits: Iterable[Sequence[Labelled]]) -> str:
    digest = hashlib.sha256()
    for examples in splits:
        digest.update(f"{len(examples)}\n".encode())
        for example in examples:
            digest.update(f"{example.label}\t{example.inputs}\n".encode())
    return f"sha256:{digest.hexdigest()}"

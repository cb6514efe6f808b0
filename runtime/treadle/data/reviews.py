"""Sentences of film reviews with the mean of what people felt in them, as two classes."""

from __future__ import annotations

import math

from treadle.data.dataset import Dataset, digest_of
from treadle.data.examples import Labelled
from treadle.data.malformed import Malformed
from treadle.data.readers.table import read_rows
from treadle.data.registry import Source, locate
from treadle.data.splitting import shuffled_splits

MOVIE_REVIEWS = Source(
    folder="movie-reviews",
    file="movieReviewSnippets_GroundTruth.txt",
    sha256="c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350",
    licence="MIT (vaderSentiment)",
    home="https://github.com/cjhutto/vaderSentiment",
    url="https://raw.githubusercontent.com/cjhutto/vaderSentiment/master/additional_resources/"
    "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt",
    size=1_383_098,
)
NEUTRAL = 0.5  # mean scores nearer to 0 than this, on a scale of -4 to 4, say neither


def open_movie_reviews(*, seed: int = 0) -> Dataset[list[Labelled]]:
    """Sentences labelled "positive" or "negative", split 80/10/10 by `seed`.

    The label is the sign of the mean score; sentences whose mean lies within 0.5 of 0 are neutral
    and left out. No split was published for this form, so this one is fixed here. Hutto and
    Gilbert, "VADER", ICWSM 2014. Raises DataError.
    """
    path, malformed = locate(MOVIE_REVIEWS), Malformed()
    examples = []
    for number, row in read_rows(path, "tsv", ["0", "1", "2"], header=False):
        try:
            score = float(str(row["1"]))
        except ValueError:
            score = math.nan
        if not -4 <= score <= 4:
            malformed.found(path, number, f"expected a score from -4 to 4, got {row['1']!r}")
        if abs(score) >= NEUTRAL:
            examples.append(Labelled(str(row["2"]), "positive" if score > 0 else "negative"))
    splits = shuffled_splits(examples, seed)
    return Dataset(
        name="movie-reviews",
        options={"seed": seed},
        licence=MOVIE_REVIEWS.licence,
        source=MOVIE_REVIEWS.home,
        digest=digest_of(splits),
        splits=splits,
    )

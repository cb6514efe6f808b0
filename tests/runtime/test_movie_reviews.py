"""Movie reviews: the form of a line, what is left out, and the file itself where it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from treadle.data import Labelled, open_dataset
from treadle.data.movie_reviews import MOVIE_REVIEWS, read_reviews
from treadle.data.registry import locate
from treadle.errors import DataError

FILE = Path("reviews.txt")


def test_the_sign_is_the_label_and_neutral_sentences_are_left_out() -> None:
    lines = ["1\t2.5\tGood, so good", "", "2\t-0.5\tBad\tand a tab", "3\t0.49\tSo so"]
    assert read_reviews(lines, FILE) == [
        Labelled("Good, so good", "positive"),
        Labelled("Bad\tand a tab", "negative"),
    ]


@pytest.mark.parametrize("line", ["1\t2.5", "1\tgood\ttext", "words", "1\tnan\ttext"])
def test_a_line_of_another_form_is_named(line: str) -> None:
    with pytest.raises(DataError, match=r"reviews.txt:2: expected id, score and text, got '"):
        read_reviews(["1\t1.0\tFine", line], FILE)


def test_a_file_without_sentiment_is_refused() -> None:
    with pytest.raises(DataError, match="expected sentences with a sentiment, got none"):
        read_reviews(["1\t0.0\tSo so"], FILE)


def test_an_absent_file_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TREADLE_DATA", raising=False)
    with pytest.raises(DataError, match=r"vaderSentiment 3.3.2 from PyPI, or put it at "):
        open_dataset("movie-reviews")


def test_the_published_file_splits_by_its_seed() -> None:
    try:
        locate(MOVIE_REVIEWS)
    except DataError as error:
        pytest.skip(f"needs the movie reviews: {error}")
    dataset, other = open_dataset("movie-reviews"), open_dataset("movie-reviews", {"seed": 1})
    sizes = {name: len(split) for name, split in dataset.splits.items()}
    assert sizes == {"train": 8058, "validation": 1007, "test": 1007}
    assert dataset.digest == open_dataset("movie-reviews", {"seed": 0}).digest != other.digest
    everything = [e.inputs for split in dataset.splits.values() for e in split]
    assert sorted(everything) == sorted(e.inputs for s in other.splits.values() for e in s)
    assert {e.label for e in dataset.split("test")} == {"positive", "negative"}

"""Data sets by name, shared by training and evaluation; needs neither torch nor onnxruntime.

See `open_dataset`.
"""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING, Any

from treadle.data.dataset import SPLITS, Dataset
from treadle.data.digits import open_digits
from treadle.data.examples import Labelled
from treadle.data.movie_reviews import open_movie_reviews
from treadle.data.pronunciation import Pronunciation, open_cmudict
from treadle.data.text import open_text
from treadle.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["DATASETS", "SPLITS", "Dataset", "Labelled", "Pronunciation", "open_dataset"]

DATASETS: dict[str, Callable[..., Dataset[Any]]] = {
    "cmudict": open_cmudict,
    "digits": open_digits,
    "movie-reviews": open_movie_reviews,
    "text": open_text,
}


def open_dataset(name: str, options: Mapping[str, Any] | None = None) -> Dataset[Any]:
    """Open a data set by its name.

    "cmudict", "digits" and "movie-reviews" {"seed": 0}, "text" {"path": null | FILE} or {"name":
    CORPUS}.

    Raises DataError for an unknown name or option, missing files or files of another edition.
    """
    if name not in DATASETS:
        raise DataError(_unknown("data set", name, list(DATASETS)))
    opener = DATASETS[name]
    allowed = inspect.signature(opener).parameters
    given = dict(options or {})
    for option, value in given.items():
        if option not in allowed:
            raise DataError(_unknown(f"option of the data set {name}", option, list(allowed)))
        _check_type(name, option, value)
    return opener(**given)


def _unknown(what: str, got: str, known: list[str]) -> str:
    near = difflib.get_close_matches(got, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"there is no {what} called {got!r}; there is {', '.join(sorted(known))}{hint}"


def _check_type(name: str, option: str, value: object) -> None:
    if option == "seed":
        right = isinstance(value, int) and not isinstance(value, bool)
        expected = "an integer"
    else:
        right, expected = value is None or isinstance(value, str), "a string or null"
    if not right:
        raise DataError(
            f"the option {option!r} of the data set {name} should be {expected}, got {value!r}"
        )

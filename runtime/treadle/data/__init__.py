"""Data sets by name, shared by training and evaluation; needs neither torch nor onnxruntime.

See `open_dataset`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.data.connected_digits import open_connected_digits
from treadle.data.dataset import SPLITS, Dataset
from treadle.data.descriptions import open_descriptions
from treadle.data.entities import open_wnut17
from treadle.data.examples import (
    Classified,
    Conditioned,
    Frames,
    Labelled,
    Pair,
    Series,
    Tagged,
    given_of,
    written_of,
)
from treadle.data.files import open_files
from treadle.data.folk_songs import open_folk_songs
from treadle.data.forecasting import open_etth1
from treadle.data.options import check_options, unknown
from treadle.data.pronunciation import open_cmudict
from treadle.data.reviews import open_movie_reviews
from treadle.data.sigmorphon import open_sigmorphon
from treadle.data.small_talk import open_chatterbot
from treadle.data.speech import open_japanese_vowels, open_spoken_digits
from treadle.data.splice import open_splice_junctions
from treadle.data.text import open_text
from treadle.data.translation import open_tanaka
from treadle.data.treebank import open_ud_english_ewt
from treadle.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "DATASETS",
    "SPLITS",
    "Classified",
    "Conditioned",
    "Dataset",
    "Frames",
    "Labelled",
    "Pair",
    "Series",
    "Tagged",
    "given_of",
    "open_dataset",
    "written_of",
]

DATASETS: dict[str, Callable[..., Dataset[Any]]] = {
    "text": open_text,
    "files": open_files,
    "cmudict": open_cmudict,
    "sigmorphon2021": open_sigmorphon,
    "movie-reviews": open_movie_reviews,
    "ud-english-ewt": open_ud_english_ewt,
    "wnut17": open_wnut17,
    "tanaka-enja": open_tanaka,
    "etth1": open_etth1,
    "spoken-digits": open_spoken_digits,
    "connected-digits": open_connected_digits,
    "japanese-vowels": open_japanese_vowels,
    "splice-junctions": open_splice_junctions,
    "folk-songs": open_folk_songs,
    "chatterbot-corpus": open_chatterbot,
    "package-descriptions": open_descriptions,
}


def open_dataset(name: str, options: Mapping[str, Any] | None = None) -> Dataset[Any]:
    """Open a data set by its name; its options are the parameters of what opens it.

    So {"seed": 1} for "cmudict", or {"path": FILE} or {"name": CORPUS} for "text". Raises
    DataError for an unknown name or option, an option of another type, missing files or files of
    another edition, and malformed ones.
    """
    if name not in DATASETS:
        raise DataError(unknown("data set", name, list(DATASETS)))
    given = dict(options or {})
    check_options(name, DATASETS[name], given)
    return DATASETS[name](**given)

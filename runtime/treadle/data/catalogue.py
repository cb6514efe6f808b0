"""Every published data set that the project knows: what it is, its files, whether they are here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.data.entities import WNUT17
from treadle.data.folk_songs import FOLK_SONGS
from treadle.data.forecasting import ETTH1
from treadle.data.options import unknown
from treadle.data.registry import CMUDICT, GLOVE, TEXTS, locate, standing
from treadle.data.reviews import MOVIE_REVIEWS
from treadle.data.sigmorphon import SIGMORPHON
from treadle.data.small_talk import CHATTERBOT
from treadle.data.speech import JAPANESE_VOWELS, SPOKEN_DIGITS
from treadle.data.splice import SPLICE_JUNCTIONS
from treadle.data.translation import TANAKA
from treadle.data.treebank import UD_ENGLISH_EWT
from treadle.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from treadle.data.registry import Source


@dataclass(frozen=True, slots=True)
class Published:
    """A published data set: its name, what it is in a line, and its files."""

    name: str
    what: str
    sources: tuple[Source, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(source.size or 0 for source in self.sources)

    def standing(self) -> str:
        """Whether all its files are on this machine: "here", "absent" or "another edition"."""
        found = {standing(source) for source in self.sources}
        return next(word for word in ("absent", "another edition", "here") if word in found)

    def fetch(self) -> list[Path]:
        """Paths of its files, downloaded where they are absent. Raises DataError."""
        return [locate(source) for source in self.sources]

    def to_json(self) -> dict[str, Any]:
        """Everything about it but its files."""
        first = self.sources[0]
        return {
            "name": self.name,
            "what": self.what,
            "bytes": self.size,
            "licence": first.licence,
            "home": first.home,
            "standing": self.standing(),
        }


_SETS = (
    ("cmudict", "English words and their phonemes", [CMUDICT]),
    ("sigmorphon2021", "English words and how they sound in IPA", SIGMORPHON.values()),
    ("tiny-shakespeare", 'text, as {"name": "tiny-shakespeare"}', [TEXTS["tiny-shakespeare"]]),
    ("war-and-peace", 'text, as {"name": "war-and-peace"}', [TEXTS["war-and-peace"]]),
    ("movie-reviews", "sentences, positive or negative", [MOVIE_REVIEWS]),
    ("ud-english-ewt", "sentences with parts of speech", UD_ENGLISH_EWT.values()),
    ("wnut17", "sentences with entities", WNUT17.values()),
    ("tanaka-enja", "sentences in Japanese and English", TANAKA.values()),
    ("etth1", "hourly temperatures and loads of a transformer", [ETTH1]),
    ("spoken-digits", "frames of spoken digits", [SPOKEN_DIGITS]),
    ("connected-digits", "strings of spoken digits, joined", [SPOKEN_DIGITS]),
    ("japanese-vowels", "frames of two vowels and their speakers", JAPANESE_VOWELS.values()),
    ("splice-junctions", "DNA of primates: exon, intron, or neither", [SPLICE_JUNCTIONS]),
    ("folk-songs", "melodies and their regions", FOLK_SONGS.values()),
    ("chatterbot-corpus", "questions and answers in English", CHATTERBOT.values()),
    ("glove", "vectors of 20,000 English words; no data set to train on", [GLOVE]),
)
CATALOGUE: dict[str, Published] = {
    name: Published(name, what, tuple(sources)) for name, what, sources in _SETS
}


def published(name: str) -> Published:
    """The data set of that name. Raises DataError with the nearest one where there is none."""
    if name not in CATALOGUE:
        raise DataError(unknown("published data set", name, list(CATALOGUE)))
    return CATALOGUE[name]

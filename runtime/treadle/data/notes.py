"""Melodies in ABC notation as notes: pitches over one tonic, each with its length.

https://abcnotation.com/wiki/abc:standard:v2.1, sections 3.1 and 4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

from treadle.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

BAR, REST = "|", "rest"
PITCHES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
"""The twelve pitches of an octave; the octave's number follows: C4 is middle C, 60 in MIDI."""

_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ACCIDENTALS = {"^": 1, "_": -1, "=": 0}
_FIFTHS = "FCGDAEB"  # each a fifth over the one before: sharps are taken in this order
_KEY = re.compile(r"([A-G])([#b]?)(m?)")
_NOTE = re.compile(r"([_=^]*)([A-Ga-gz])([,']*)(\d*)(/?)(\d*)(-?)")
_SLURS = {"(", ")", "-"}


def notes_of(tokens: Sequence[str]) -> tuple[str, ...]:
    """Symbols of a tune: the metre (`M:3/4`), then two a note (`G4`, `1/8`) and one a bar (`|`).

    tokens: of a tune, as `folk_songs.read_tunes` gives them: M, L and K, then its symbols. A pitch
    is a name of `PITCHES` with its octave, or `rest`; a length is a share of a whole note. All is
    moved by up to six half-tones, so that the key's tonic is C. Notes that are tied are one, in the
    bar of the first; slurs and the marks of repeats are left out.

    Raises DataError for a key or a note that is none, and for tuplets and dots ("(3", ">").
    """
    metre, unit, key = (token[2:] for token in tokens[:3])
    made = [f"M:{metre}"]
    for note in _tied(_sounding(tokens[3:], Fraction(unit), _Key.of(key))):
        if note is not None:
            made += [note.name, f"{note.length.numerator}/{note.length.denominator}"]
        elif made[-1] != BAR:
            made.append(BAR)
    return tuple(made)


@dataclass(frozen=True, slots=True)
class _Note:
    """Half-tones over C0, None for a rest; the length; whether the next note goes on with it."""

    pitch: int | None
    length: Fraction
    tied: bool = False

    @property
    def name(self) -> str:
        if self.pitch is None:
            return REST
        octave, step = divmod(self.pitch, 12)
        return f"{PITCHES[step]}{octave}"


@dataclass(frozen=True, slots=True)
class _Key:
    """Half-tones by which a tune moves to the tonic C, and by which the key alters letters."""

    shift: int
    altered: dict[str, int]

    @classmethod
    def of(cls, name: str) -> _Key:
        """The key of a field K. Raises DataError."""
        found = _KEY.fullmatch(name)
        if found is None:
            raise DataError(f"expected a key such as G, Bb or Dm, got {name!r}")
        letter, sign, minor = found.groups()
        moved = {"": 0, "#": 1, "b": -1}[sign]
        tonic = (_STEPS[letter] + moved) % 12
        # So many sharps; below 0 so many flats. C, the second of the fifths, has none.
        sharps = _FIFTHS.index(letter) - 1 + 7 * moved - 3 * bool(minor)
        letters = _FIFTHS[:sharps] if sharps >= 0 else _FIFTHS[sharps:]
        return cls(
            shift=-tonic if tonic <= 6 else 12 - tonic,
            altered=dict.fromkeys(letters, 1 if sharps >= 0 else -1),
        )


@dataclass(frozen=True, slots=True)
class _Written:
    """A note as it is written: its letter with the octave, half-tones over C0 without accidentals.

    sign: half-tones of its accidental, None where there is none. A rest has the letter "Z".
    """

    letter: str
    place: str
    pitch: int
    sign: int | None
    length: Fraction
    tied: bool


@lru_cache(maxsize=4096)  # of half a million notes less than a thousand are different
def _written(token: str, unit: Fraction) -> _Written:
    """The note or rest of a token, its length in whole notes. Raises DataError."""
    found = _NOTE.fullmatch(token)
    if found is None:
        raise DataError(f"expected notes, rests, bars and slurs alone, got {token!r}")
    signs, letter, octave, times, slash, parts, tie = found.groups()
    number = 4 + letter.islower() + octave.count("'") - octave.count(",")  # C is C4, c is C5
    return _Written(
        letter.upper(),
        letter + octave,
        12 * number + _STEPS.get(letter.upper(), 0),
        sum(_ACCIDENTALS[sign] for sign in signs) if signs else None,
        unit * int(times or 1) / (int(parts or 2) if slash else 1),
        bool(tie),
    )


def _sounding(tokens: Iterable[str], unit: Fraction, key: _Key) -> Iterator[_Note | None]:
    """The notes of a tune, moved to C, and None at every bar."""
    altered: dict[str, int] = {}  # by accidentals, which hold until the bar ends
    for token in tokens:
        if "|" in token:
            altered = {}
            yield None
        elif token not in _SLURS:
            note = _written(token, unit)
            if note.sign is not None:
                altered[note.place] = note.sign
            own = altered.get(note.place, key.altered.get(note.letter, 0))
            pitch = None if note.letter == "Z" else note.pitch + own + key.shift
            yield _Note(pitch, note.length, note.tied)


def _tied(notes: Iterable[_Note | None]) -> Iterator[_Note | None]:
    """Tied notes of one pitch as one; bars that it reaches over come after it, none come first."""
    held: _Note | None = None
    bars = 0
    for note in notes:
        if held is None:
            held = note
        elif note is None:
            bars += 1
        elif held.tied and held.pitch == note.pitch:
            held = _Note(held.pitch, held.length + note.length, note.tied)
        else:
            yield held
            yield from [None] * bars
            held, bars = note, 0
    if held is not None:
        yield held
        yield from [None] * bars

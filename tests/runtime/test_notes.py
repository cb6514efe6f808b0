"""Notes of melodies in ABC notation: keys, accidentals, lengths, ties, and one tonic for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.data.notes import PITCHES, notes_of
from treadle.errors import DataError


def of(key: str, melody: str, unit: str = "1/8") -> list[str]:
    """What comes after the metre."""
    made = notes_of(["M:3/4", f"L:{unit}", f"K:{key}", *melody.split()])
    assert made[0] == "M:3/4"
    return list(made[1:])


@pytest.mark.parametrize(
    ("key", "melody", "expected"),
    [
        # C is C4, c an octave higher, c' two and C, one lower
        ("C", "C c c' C,", "C4 1/8 C5 1/8 C6 1/8 C3 1/8"),
        ("C", "C2 C/ C/4 C3/2 z4", "C4 1/4 C4 1/16 C4 1/32 C4 3/16 rest 1/2"),
        # F is sharp in G, whose tonic moves up to C; B and E are flat in Bb, which moves up too
        ("G", "G A B c d e f g", "C5 1/8 D5 1/8 E5 1/8 F5 1/8 G5 1/8 A5 1/8 B5 1/8 C6 1/8"),
        ("Bb", "B c d e", "C5 1/8 D5 1/8 E5 1/8 F5 1/8"),
        ("D", "d f", "C5 1/8 E5 1/8"),
        ("Dm", "d f", "C5 1/8 Eb5 1/8"),
        # an accidental holds until the bar, in its octave alone
        ("C", "^F F f =F | F", "F#4 1/8 F#4 1/8 F5 1/8 F4 1/8 | F4 1/8"),
        ("G", "=F F | F", "Bb4 1/8 Bb4 1/8 | B4 1/8"),
        ("C", "__B ^^F", "A4 1/8 G4 1/8"),
        # ties, over a bar as well; to another pitch they are slurs
        ("C", "C2- C D- E", "C4 3/8 D4 1/8 E4 1/8"),
        ("C", "C2- | C- C | D", "C4 1/2 | D4 1/8"),
        # slurs are left out, bars come once and never first
        ("C", "| ( C D ) |] |: E :| - F", "C4 1/8 D4 1/8 | E4 1/8 | F4 1/8"),
    ],
)
def test_notes_are_what_the_notation_says(key: str, melody: str, expected: str) -> None:
    assert " ".join(of(key, melody)) == expected


@given(
    steps=st.lists(st.integers(0, 13), min_size=1, max_size=9),
    key=st.sampled_from(["C", "G", "D", "A", "E", "B", "F#", "F", "Bb", "Eb", "Ab", "Db"]),
)
def test_a_scale_is_the_same_in_every_key(steps: list[int], key: str) -> None:
    letters = "CDEFGABcdefgabc'd'e'f'g'a'b'".replace("'", "")
    first = letters.index(key[0])

    def written(start: int) -> str:
        marks = ["" if start + step < 14 else "'" for step in steps]
        return " ".join(letters[start + s] + m for s, m in zip(steps, marks, strict=True))

    moved, plain = of(key, written(first)), of("C", written(0))
    octaves = {int(a[-1]) - int(b[-1]) for a, b in zip(moved[::2], plain[::2], strict=True)}
    assert [name[:-1] for name in moved[::2]] == [name[:-1] for name in plain[::2]]
    assert len(octaves) == 1
    assert {name[:-1] for name in moved[::2]} <= set(PITCHES)


@pytest.mark.parametrize(
    ("key", "melody", "message"),
    [
        ("X", "C", "expected a key such as G, Bb or Dm, got 'X'"),
        ("C", "(3 C D E", r"notes, rests, bars and slurs alone, got '\(3'"),
        ("C", "C>", "got 'C>'"),
    ],
)
def test_what_is_no_melody_is_refused(key: str, melody: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        of(key, melody)

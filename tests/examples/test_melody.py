"""The example that writes tunes: notes, a MIDI file that can be read back, a picture."""

from __future__ import annotations

import importlib.util
import struct
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

import treadle
from tests.project.repository import ROOT
from tests.runtime.tiny_bundles import write_generator
from treadle.vocabulary import Vocabulary

if TYPE_CHECKING:
    from pathlib import Path

WRITTEN = Vocabulary(
    ["<padding>", "<start>", "<end>", "|", "C4", "F#5", "rest", "1/8", "1/4", "M:3/4"],
    "symbols",
    padding=0,
    start=1,
    end=2,
)


@pytest.fixture(scope="module")
def melody() -> Any:
    spec = importlib.util.spec_from_file_location("melody", ROOT / "examples/melody.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["melody"] = module
    spec.loader.exec_module(module)
    return module


def read_midi(content: bytes) -> list[tuple[int, int, int]]:
    """(tick, kind, pitch) of every note event of a file of one track."""
    assert content[:4] == b"MThd"
    assert struct.unpack(">IHHH", content[4:14]) == (6, 0, 1, 480)
    assert content[14:18] == b"MTrk"
    assert struct.unpack(">I", content[18:22])[0] == len(content) - 22
    found: list[tuple[int, int, int]] = []
    place, tick = 22, 0
    while True:
        delta = 0
        while content[place] & 0x80:
            delta = delta << 7 | content[place] & 0x7F
            place += 1
        tick += delta << 7 | content[place]
        kind = content[place + 1]
        if kind == 0xFF:  # type, length, content
            if content[place + 2] == 0x2F:
                assert place + 4 == len(content)
                return found
            place += 4 + content[place + 3]
        else:
            found.append((tick, kind, content[place + 2]))
            place += 4


def test_symbols_become_notes_and_a_file(melody: Any) -> None:
    tune = "M:3/4 C4 1/4 | rest 1/8 F#5 1/16 F#5 3/1 B3 | 1/4 1/8 Bb4"
    notes = melody.notes_of(tune.split())
    assert [(n.begin, n.length, n.pitch) for n in notes] == [
        (Fraction(0), Fraction(1, 4), 60),
        (Fraction(3, 8), Fraction(1, 16), 78),
        (Fraction(7, 16), Fraction(3), 78),
    ]
    events = read_midi(melody.midi_file(melody.one_after_another([notes, notes[:1]])))
    assert events == [
        (0, 0x90, 60),
        (480, 0x80, 60),
        (720, 0x90, 78),
        (840, 0x80, 78),
        (840, 0x90, 78),
        (6600, 0x80, 78),
        (8520, 0x90, 60),
        (9000, 0x80, 60),
    ]


def test_the_program_writes_what_it_says(
    melody: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    bundle = write_generator(tmp_path, written=WRITTEN)
    midi, picture = tmp_path / "a.mid", tmp_path / "a.png"
    asked = [str(bundle), "a", "b", "--tunes", "2", "--prompt", "C4 1/4", "--seed", "5"]
    assert melody.main([*asked, "--midi", str(midi), "--picture", str(picture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    with treadle.load(bundle) as model:
        drawn = model.generate(
            ["a", "a", "b", "b"], prompt="C4 1/4", temperature=0.9, top_p=0.95, seed=5
        )
    assert lines == [f"{r}: C4 1/4 {one.text}" for r, [one] in zip("aabb", drawn, strict=True)]
    events = read_midi(midi.read_bytes())
    assert sum(kind == 0x90 for _, kind, _ in events) == sum(
        len(melody.notes_of(["C4", "1/4", *one.symbols])) for [one] in drawn
    )
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"

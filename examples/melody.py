"""Write folk tunes of a region: as a MIDI file to hear, and as a picture to see.

usage: melody.py BUNDLE REGION [--tunes N] [--midi FILE] [--picture FILE] [options of sampling]

BUNDLE is made by the recipe `melody`; the symbols it writes are those of `treadle.data.notes`. The
picture needs matplotlib, which `pip install 'treadle[train]'` brings.
"""

from __future__ import annotations

import argparse
import struct
import sys
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import treadle
from treadle.data.notes import PITCHES, REST

if TYPE_CHECKING:
    from collections.abc import Sequence

QUARTER = 480
"""Ticks of a quarter note in the MIDI file."""
TEMPO = 500_000
"""Microseconds of a quarter note: 120 a minute."""


@dataclass(frozen=True)
class Note:
    """A note: where it begins and how long it lasts, in whole notes; its pitch as MIDI counts."""

    begin: Fraction
    length: Fraction
    pitch: int


def notes_of(symbols: Sequence[str]) -> list[Note]:
    """The notes of a tune as it is written; a pitch without a length after it is left out."""
    notes, now = [], Fraction(0)
    for name, length in pairwise(symbols):
        if (name[:-1] in PITCHES or name == REST) and length[0].isdigit():
            if name != REST:
                pitch = 12 * (int(name[-1]) + 1) + PITCHES.index(name[:-1])
                notes.append(Note(now, Fraction(length), pitch))
            now += Fraction(length)
    return notes


def one_after_another(tunes: Sequence[list[Note]]) -> list[Note]:
    """The notes of all tunes, a whole note of silence between two."""
    notes: list[Note] = []
    for tune in tunes:
        start = notes[-1].begin + notes[-1].length + 1 if notes else Fraction(0)
        notes += [Note(start + note.begin, note.length, note.pitch) for note in tune]
    return notes


def midi_file(notes: Sequence[Note]) -> bytes:
    """A Standard MIDI File of format 0; a note of which another of its pitch begins is over."""
    events = [(note.begin, b"\x90", note.pitch) for note in notes]
    events += [(note.begin + note.length, b"\x80", note.pitch) for note in notes]
    track, now = b"\x00\xff\x51\x03" + TEMPO.to_bytes(3, "big"), 0
    for when, kind, pitch in sorted(events):  # what ends comes before what begins: 80 < 90
        tick = round(when * 4 * QUARTER)
        track += _variable(tick - now) + kind + bytes([pitch, 80])
        now = tick
    track += b"\x00\xff\x2f\x00"
    header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, QUARTER)
    return header + b"MTrk" + struct.pack(">I", len(track)) + track


def _variable(number: int) -> bytes:
    """A number of any size, seven bits a byte, all bytes but the last with the eighth bit set."""
    parts = [number & 0x7F]
    while number := number >> 7:
        parts.append(number & 0x7F | 0x80)
    return bytes(parts[::-1])


def draw(tunes: Sequence[list[Note]], titles: Sequence[str], path: Path) -> None:
    """A piano roll of each tune, all on one scale of time and of pitch."""
    from matplotlib.figure import Figure

    heights = [note.pitch for notes in tunes for note in notes] or [60]
    low, high = min(heights) - 2, max(heights) + 2
    octaves = range(-(-low // 12) * 12, high + 1, 12)
    figure = Figure(figsize=(11, 1.9 * len(tunes)), layout="constrained")
    rows = figure.subplots(len(tunes), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    for axes, notes, title in zip(rows, tunes, titles, strict=True):
        lengths = [float(note.length) * 0.93 for note in notes]  # so that the same again shows
        begins = [float(note.begin) for note in notes]
        pitches = [note.pitch for note in notes]
        axes.barh(pitches, lengths, left=begins, height=1.0)
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves])
        axes.set_ylim(low, high)
        axes.grid(axis="y", alpha=0.4)
    rows[-1].set_xlabel("whole notes")
    figure.savefig(path, dpi=110)


def main(arguments: list[str] | None = None) -> int:
    """Write the tunes, and what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("region", nargs="+", help="one of the bundle's labels; or several")
    parser.add_argument("--tunes", type=int, default=1, help="of each region")
    parser.add_argument("--midi", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--prompt", default="", help='how all begin: "M:3/4" for the metre')
    parser.add_argument("--temperature", type=float, default=0.9)
    parser.add_argument("--top-p", type=float, default=0.95)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    regions = [region for region in asked.region for _ in range(asked.tunes)]
    with treadle.load(asked.bundle) as model:
        drawing = {"temperature": asked.temperature, "top_p": asked.top_p, "seed": asked.seed}
        answers = model.generate(regions, prompt=asked.prompt, **drawing)
    tunes = []
    for region, [tune] in zip(regions, answers, strict=True):
        print(f"{region}: {asked.prompt} {tune.text}".replace(":  ", ": "))
        tunes.append(notes_of([*asked.prompt.split(), *tune.symbols]))
    if asked.midi:
        asked.midi.write_bytes(midi_file(one_after_another(tunes)))
    if asked.picture:
        draw(tunes, regions, asked.picture)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except treadle.TreadleError as error:
        sys.exit(f"error: {error}")

"""What a decoder of frames gives back, for one row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.decoding.end_point import EndReason


@dataclass(frozen=True, slots=True)
class Transcript:
    """One symbol sequence without blanks.

    frames: for each symbol the frame that emitted it, counted from 0 at the row's start. Where
        several alignments give the sequence, those of the most likely one.
    score: log-probability in nats; of one alignment in greedy search, of all alignments that the
        search kept in beam search.
    """

    ids: tuple[int, ...]
    frames: tuple[int, ...]
    score: float


@dataclass(frozen=True, slots=True)
class PartialTranscript:
    """The best sequence so far.

    ids, frames, score: as `Transcript` has them.
    settled: the first so many symbols can change no more, whatever comes. Their frames may still
        move in beam search, until the row is over.
    ended: the rule of the end point that ended the row, else None.
    """

    ids: tuple[int, ...]
    frames: tuple[int, ...]
    score: float
    settled: int
    ended: EndReason | None

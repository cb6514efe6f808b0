"""What a search has found so far, as arrays and back.

H hypotheses of all rows together, P alignments and S numbers of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from treadle.decoding.candidates import Ids


class Record(NamedTuple):
    """One hypothesis: its symbols, frames of emission of each of its alignments, its numbers."""

    ids: Ids
    paths: tuple[tuple[int, ...], ...]
    scores: tuple[float, ...]


NAMES = ("hypotheses", "lengths", "numbers", "scores")


def pack(rows: Sequence[Sequence[Record]]) -> dict[str, NDArray[Any]]:
    """The hypotheses of each row, as arrays.

    hypotheses: int64 [B], how many each row has; one at least. lengths: int64 [H, 1 + P], of ids
    and frames. numbers: int64 [sum of lengths], ids and frames of one hypothesis after the other.
    scores: float64 [H, S].
    """
    records = [record for row in rows for record in row]
    parts = [[record.ids, *record.paths] for record in records]
    numbers = [number for record in parts for part in record for number in part]
    return {
        "hypotheses": np.array([len(row) for row in rows], np.int64),
        "lengths": np.array([[len(part) for part in record] for record in parts], np.int64),
        "numbers": np.array(numbers, np.int64),
        "scores": np.array([record.scores for record in records], np.float64),
    }


def unpack(arrays: Mapping[str, NDArray[Any]], like: Record) -> list[list[Record]]:
    """What was packed, with as many paths and scores as `like`. Raises ValueError."""
    counts, lengths, numbers, scores = (arrays[name] for name in NAMES)
    total = len(scores) if scores.ndim else 0
    _check_array("hypotheses", counts, np.int64, counts.shape[:1])
    _check_array("lengths", lengths, np.int64, (total, 1 + len(like.paths)))
    _check_array("numbers", numbers, np.int64, numbers.shape[:1])
    _check_array("scores", scores, np.float64, (total, len(like.scores)))
    _check_parts("hypotheses", counts, 1, total)
    _check_parts("lengths", lengths, 0, len(numbers))
    ends = np.cumsum(lengths.reshape(-1))
    parts = [tuple(part.tolist()) for part in np.split(numbers, ends[:-1])]
    width = 1 + len(like.paths)
    records = [
        Record(parts[first], tuple(parts[first + 1 : first + width]), tuple(row))
        for first, row in zip(range(0, len(parts), width), scores.tolist(), strict=True)
    ]
    last = np.cumsum(counts)
    return [records[end - count : end] for end, count in zip(last, counts, strict=True)]


def check_records(
    records: Sequence[Record], *, symbols: int, blank: int, most: int, frames: int
) -> None:
    """Raise ValueError unless these can be the hypotheses of a row that has read `frames` frames.

    At most `most` of them, no two alike; ids are symbols but not the blank; frames of emission do
    not decrease and were read; numbers are finite, but for an alignment that there is none of.
    """
    if len(records) > most or len({record.ids for record in records}) < len(records):
        raise ValueError(f"a row should have at most {most} hypotheses, no two alike")
    for record in records:
        if any(symbol == blank or not 0 <= symbol < symbols for symbol in record.ids):
            raise ValueError(f"ids should be in 0..{symbols - 1}, and not {blank}, the blank")
        for path in record.paths:
            if list(path) != sorted(path) or (path and not 0 <= path[0] <= path[-1] < frames):
                raise ValueError(f"frames of emission should increase, and be below {frames}")
        _check_alignments(record)


def _check_alignments(record: Record) -> None:
    """One alignment has a frame for each symbol, and finite numbers.

    Of two, which end in blank and in the last symbol, one may be missing: it has no frames, and
    minus infinity as its sum and as its score. The numbers are both sums, then both scores.
    """
    ids, paths, scores = record
    missing = [False]
    if len(paths) == 2:
        missing = [total == -np.inf for total in scores[:2]]
        if missing != [score == -np.inf for score in scores[2:]] or all(missing):
            raise ValueError("a hypothesis should have an alignment, and a score of each")
        scores = tuple(score for score in scores if score != -np.inf)
    for path, none in zip(paths, missing, strict=True):
        if len(path) != (0 if none else len(ids)):
            raise ValueError("a hypothesis should have a frame for each symbol")
    if not np.isfinite(scores).all():
        raise ValueError("scores should be finite")


def _check_array(name: str, array: NDArray[Any], dtype: Any, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape or len(shape) not in (1, 2):
        raise ValueError(f"{name} should be {np.dtype(dtype)} {list(shape)}")


def _check_parts(name: str, sizes: NDArray[np.int64], least: int, whole: int) -> None:
    # Each one first: their sum could overflow.
    if not sizes.size or sizes.min() < least or sizes.max() > whole or sizes.sum() != whole:
        raise ValueError(f"{name} should make a sum of {whole}, each at least {least}")

"""Spans of tags written as BIO: "B-kind" begins one, "I-kind" goes on, "O" is outside of all.

Ramshaw & Marcus, "Text chunking using transformation-based learning", 1995; read as the scorer of
the CoNLL shared tasks reads it (Tjong Kim Sang & De Meulder 2003).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from treadle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

OUTSIDE = "O"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Items `start` to `stop` (without it) of a sequence are one thing of a kind."""

    start: int
    stop: int
    kind: str


@dataclass(frozen=True, slots=True)
class SpanScores:
    """Shares in 0..1 of spans that are right: of those found, of those there, and their F1."""

    precision: float
    recall: float
    f1: float


def spans_of(tags: Sequence[str]) -> list[Span]:
    """The spans of a sequence of BIO tags, in order.

    An "I-kind" that goes on nothing of its kind begins a span. Raises InputError for what is no
    BIO tag.
    """
    spans: list[Span] = []
    for index, tag in enumerate(tags):
        part, _, kind = tag.partition("-")
        if tag == OUTSIDE:
            continue
        if part not in ("B", "I") or not kind:
            raise InputError(
                f"expected tags 'O', 'B-kind' and 'I-kind', got {tag!r} at position {index}"
            )
        before = spans[-1] if spans else None
        if part == "I" and before and before.stop == index and before.kind == kind:
            spans[-1] = Span(before.start, index + 1, kind)
        else:
            spans.append(Span(index, index + 1, kind))
    return spans


def forbidden_moves(
    tags: Sequence[str], seen: Iterable[Sequence[str]] = ()
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """What no sequence of BIO tags has: moves bool [N, N] from row to column, starts bool [N].

    An "I-kind" goes on a span of its kind and begins none. None where tags are not BIO, or where a
    sequence that was `seen` has such a move: then they are another scheme's, which may have it.
    """
    try:
        spans_of(tags)
    except InputError:
        return None
    opens = np.array([tag.startswith("I-") for tag in tags])
    kinds = [tag.partition("-")[2] for tag in tags]
    moves = np.array([[left != right for right in kinds] for left in kinds]) & opens
    places = {tag: index for index, tag in enumerate(tags)}
    for sequence in seen:
        ids = [places[tag] for tag in sequence]
        if ids and (opens[ids[0]] or moves[ids[:-1], ids[1:]].any()):
            return None
    return moves, opens


def tags_of(spans: Iterable[Span], length: int) -> list[str]:
    """BIO tags of spans in a sequence of `length`.

    Raises InputError for spans that overlap, are empty, or reach beyond the sequence.
    """
    tags = [OUTSIDE] * length
    for span in spans:
        inside = range(span.start, span.stop)
        if not inside or span.start < 0 or span.stop > length:
            raise InputError(f"expected spans within 0..{length}, got {span}")
        if any(tags[index] != OUTSIDE for index in inside):
            raise InputError(f"expected spans that do not overlap, got {span} over another one")
        tags[span.start : span.stop] = [f"B-{span.kind}", *[f"I-{span.kind}"] * (len(inside) - 1)]
    return tags


def score_spans(found: Sequence[Sequence[str]], right: Sequence[Sequence[str]]) -> SpanScores:
    """Exact matches of start, stop and kind, counted over all sequences of tags.

    Each figure is 0 where it would divide by 0. Raises InputError for unequal numbers or lengths
    of sequences, and for what is no BIO tag.
    """
    if [len(tags) for tags in found] != [len(tags) for tags in right] or not right:
        raise InputError(
            "expected as many tags found as there are right ones, sequence by sequence"
        )
    counts = Counter[str]()
    for guess, truth in zip(found, right, strict=True):
        guessed, there = set(spans_of(guess)), set(spans_of(truth))
        counts += Counter(found=len(guessed), there=len(there), right=len(guessed & there))
    precision, recall = (
        counts["right"] / counts[part] if counts[part] else 0.0 for part in ("found", "there")
    )
    both = precision + recall
    return SpanScores(precision, recall, 2 * precision * recall / both if both else 0.0)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.errors import InputError
from treadle.spans import OUTSIDE, Span, forbidden_moves, score_spans, spans_of, tags_of


def test_spans_begin_go_on_and_end() -> None:
    tags = ["B-place", "I-place", "B-place", "O", "I-person", "I-place", "O"]
    assert spans_of(tags) == [
        Span(0, 2, "place"),
        Span(2, 3, "place"),
        Span(4, 5, "person"),
        Span(5, 6, "place"),
    ]


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["a", "b-c", ""])), max_size=8))
def test_spans_become_tags_and_spans_again(parts: list[tuple[int, str]]) -> None:
    spans, place = [], 0
    for width, kind in parts:
        if kind:
            spans.append(Span(place, place + width, kind))
        place += width
    assert spans_of(tags_of(spans, place)) == spans


BIO = ["B-a", "B-b", "I-a", "I-b", OUTSIDE]


@given(st.lists(st.sampled_from(BIO), min_size=1, max_size=6))
def test_forbidden_is_what_spans_written_anew_do_not_have(tags: list[str]) -> None:
    """A sequence without a forbidden move is the one that its spans are written as."""
    forbidden = forbidden_moves(BIO)
    assert forbidden is not None
    moves, starts = forbidden
    ids = [BIO.index(tag) for tag in tags]
    allowed = not (starts[ids[0]] or moves[ids[:-1], ids[1:]].any())
    assert allowed == (tags_of(spans_of(tags), len(tags)) == tags)
    assert (forbidden_moves(BIO, [tags]) is None) == (not allowed)


def test_other_schemes_forbid_nothing() -> None:
    assert forbidden_moves(["NOUN", "VERB"]) is None
    assert forbidden_moves([OUTSIDE, "I-a"], [["I-a", OUTSIDE]]) is None


def test_figures_count_exact_matches() -> None:
    right = [["B-a", "I-a", "O", "B-b"], ["O", "B-a"]]
    found = [["B-a", "O", "O", "B-b"], ["O", "B-b"]]
    scores = score_spans(found, right)
    assert (scores.precision, scores.recall) == (1 / 3, 1 / 3)
    assert scores.f1 == pytest.approx(1 / 3)
    assert score_spans(right, right).f1 == 1
    assert score_spans([["O"]], [["O"]]).f1 == 0


@pytest.mark.parametrize("tag", ["B", "X-a", "B-", "", "person"])
def test_what_is_no_tag_is_refused(tag: str) -> None:
    with pytest.raises(InputError, match="at position 1"):
        spans_of(["O", tag])


@pytest.mark.parametrize(
    ("spans", "words"),
    [
        ([Span(0, 2, "a"), Span(1, 3, "b")], "do not overlap"),
        ([Span(2, 2, "a")], r"within 0..3"),
        ([Span(2, 4, "a")], r"within 0..3"),
    ],
)
def test_impossible_spans_are_refused(spans: list[Span], words: str) -> None:
    with pytest.raises(InputError, match=words):
        tags_of(spans, 3)


def test_unequal_sequences_are_refused() -> None:
    with pytest.raises(InputError, match="sequence by sequence"):
        score_spans([["O"]], [["O", "O"]])

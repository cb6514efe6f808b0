"""Stop strings: what is shown is the text up to the first, and never a part of one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.decoding import StopStrings, TimeLimit, until_stop
from treadle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator

SYMBOLS = st.lists(st.text("ab\n", min_size=1, max_size=3), max_size=12)
STOPS = st.lists(st.text("ab\n ", min_size=1, max_size=4), max_size=3)
SPACES = st.sampled_from(["", " "])


def made(symbols: list[str], log: list[str]) -> Generator[str, None, None]:
    for symbol in symbols:
        log.append(symbol)
        yield symbol
    log.append("")  # asked beyond the last


def cut(symbols: list[str], stops: list[str], space: str) -> tuple[str, int]:
    """The text before the first stop string, and after how many symbols it was complete."""
    for count in range(1, len(symbols) + 1):
        text = space.join(symbols[:count])
        places = [text.index(stop) for stop in stops if stop in text]
        if places:
            return text[: min(places)], count
    return space.join(symbols), len(symbols) + 1


@given(symbols=SYMBOLS, stops=STOPS, space=SPACES)
def test_what_is_shown_is_the_text_cut_at_the_first_stop(
    symbols: list[str], stops: list[str], space: str
) -> None:
    log: list[str] = []
    shown = list(until_stop(made(symbols, log), StopStrings(stops), space))
    text, count = cut(symbols, stops, space)
    # A space that only led to a symbol of the stop string has no symbol to stand before.
    assert space.join(shown) in (text, text.removesuffix(space))
    assert "" not in shown
    assert len(log) == count


@given(symbols=SYMBOLS, stops=STOPS, space=SPACES)
def test_nothing_is_shown_that_a_stop_string_may_begin_in(
    symbols: list[str], stops: list[str], space: str
) -> None:
    log: list[str] = []
    shown: list[str] = []
    for symbol in until_stop(made(symbols, log), StopStrings(stops), space):
        shown.append(symbol)
        known = space.join(log) if "" not in log else None
        if known is None or any(stop in known for stop in stops):
            continue
        # So far, no stop: what is shown comes before each way that a stop string might begin.
        places = [
            place
            for place in range(len(known))
            if any(stop.startswith(known[place:]) for stop in stops)
        ]
        assert len(space.join(shown)) <= min(places, default=len(known))
    if not stops:
        assert shown == symbols


def test_a_symbol_comes_as_soon_as_it_belongs_to_no_stop() -> None:
    log: list[str] = []
    shown = until_stop(made(list("xa\ny\n\nz"), log), StopStrings(["\n\n"]), "")
    assert [next(shown), log] == ["x", ["x"]]
    assert [next(shown), log] == ["a", ["x", "a"]]
    assert [next(shown), "".join(log)] == ["\n", "xa\ny"]
    assert [next(shown), "".join(log)] == ["y", "xa\ny"]
    assert next(shown, "over") == "over"
    assert "".join(log) == "xa\ny\n\n"


def test_a_string_is_one_stop_and_an_empty_one_is_refused() -> None:
    assert list(until_stop(made(list("xaby"), []), StopStrings("ab"), "")) == ["x"]
    with pytest.raises(InputError, match="stop strings of at least one character"):
        StopStrings(["a", ""])
    with pytest.raises(InputError, match="stop strings of at least one character"):
        StopStrings("")


def test_who_stops_listening_closes_the_source() -> None:
    source = made(list("abc"), [])
    shown = until_stop(source, StopStrings("x"), "")
    next(shown)
    shown.close()
    assert next(source, "closed") == "closed"


def test_time_runs_from_when_the_limit_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    limit = TimeLimit(2.0)
    assert (limit.left, limit.passed) == (2.0, False)
    now = 101.5
    assert (limit.left, limit.passed) == (0.5, False)
    now = 102.5
    assert (limit.left, limit.passed) == (0.0, True)
    assert (TimeLimit(None).left, TimeLimit(None).passed) == (None, False)
    assert TimeLimit(0).passed


@pytest.mark.parametrize("wrong", [-1.0, float("nan")])
def test_times_that_make_no_sense(wrong: float) -> None:
    with pytest.raises(InputError, match="time_limit should be 0 seconds or more, got"):
        TimeLimit(wrong)

"""Inputs that are not finite: an error, a row that holds, or one that starts anew.

The definition, row by row, is a stream of one row that is told what to read and when to start.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.tiny_bundles import CHARACTERS, FEATURES
from treadle.errors import DeviceError, InputError
from treadle.nonfinite import pieces

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from treadle import Model, Stream

POLICIES = st.sampled_from(["hold", "reset"])
SYMBOLS = len(CHARACTERS)
BAD = [np.nan, np.inf, -np.inf]


class OneRow:
    """The definition: a row that holds or starts anew where what it reads is not finite."""

    def __init__(self, model: Model, policy: str) -> None:
        self.stream, self.policy = model.stream(), policy
        self.last = np.zeros(SYMBOLS, np.float32)
        self.count = 0

    def step(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        if np.isfinite(x).all():
            self.last = self.stream.step(x[None])[0]
        else:
            self.count += 1
            if self.policy == "reset":
                self.reset()
        return self.last

    def reset(self) -> None:
        self.stream.reset()
        self.last = np.zeros(SYMBOLS, np.float32)


def spoilt(random: np.random.Generator, share: float, *shape: int) -> NDArray[np.float32]:
    """Random features [*shape, FEATURES]; a share of the steps has a value or all not finite."""
    x = random.normal(size=(*shape, FEATURES)).astype(np.float32)
    for place in np.argwhere(random.random(shape) < share):
        where = slice(None) if random.random() < 0.3 else int(random.integers(FEATURES))
        x[(*place, where)] = random.choice(BAD)
    return x


def assert_same(stream: Stream, rows: list[OneRow]) -> None:
    assert stream.nonfinite.tolist() == [row.count for row in rows]
    assert stream.steps.tolist() == [int(row.stream.steps[0]) for row in rows]
    for name, array in stream.state().items():
        for row, one in zip(array, rows, strict=True):
            np.testing.assert_array_equal(row, one.stream.state()[name][0])


@given(
    seed=st.integers(0, 10_000),
    policy=POLICIES,
    batch=st.integers(1, 4),
    share=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    history=st.integers(0, 2),
)
def test_every_call_is_as_the_definition(
    features: Model, seed: int, policy: Any, batch: int, share: float, history: int
) -> None:
    """Steps of all rows and of some, whole chunks, resets, selections: drawn at random."""
    random = np.random.default_rng(seed)
    stream = features.stream(batch_size=batch, on_nonfinite=policy, history=history)
    rows = [OneRow(features, policy) for _ in range(batch)]
    for _ in range(8):
        call = random.choice(["step", "active", "feed", "unroll", "reset"])
        if call == "step":
            x = spoilt(random, share, batch)
            expected = np.stack([row.step(one) for row, one in zip(rows, x, strict=True)])
            np.testing.assert_array_equal(
                stream.step(x, copy=bool(random.random() < 0.5)), expected
            )
        elif call == "active":
            x, active = spoilt(random, share, batch), random.random(batch) < 0.5
            expected = np.zeros((batch, SYMBOLS), np.float32)
            for number in np.flatnonzero(active):
                expected[number] = rows[number].step(x[number])
            np.testing.assert_array_equal(stream.step(x, active=active), expected)
        elif call == "reset":
            chosen = np.flatnonzero(random.random(batch) < 0.5)
            stream.reset(chosen)
            for place in chosen.tolist():
                rows[place].reset()
        else:
            x, lengths = spoilt(random, share, batch, 6), random.integers(0, 7, batch)
            every = np.zeros((batch, 6, SYMBOLS), np.float32)
            for place, length in enumerate(lengths.tolist()):
                for time in range(length):
                    every[place, time] = rows[place].step(x[place, time])
            if call == "unroll":
                np.testing.assert_array_equal(stream.unroll(x, lengths), every)
            else:
                last = every[np.arange(batch), lengths - 1] * (lengths > 0)[:, None]
                np.testing.assert_array_equal(stream.feed(x, lengths), last)
        assert_same(stream, rows)


@given(seed=st.integers(0, 10_000), policy=POLICIES, back=st.integers(0, 3), chunk=st.booleans())
def test_steps_with_such_rows_can_be_taken_back(
    features: Model, seed: int, policy: Any, back: int, chunk: bool
) -> None:
    random = np.random.default_rng(seed)
    x = spoilt(random, 0.5, 2, 6)
    stream = features.stream(batch_size=2, on_nonfinite=policy, history=3)
    before = features.stream(batch_size=2, on_nonfinite=policy)
    if chunk:
        stream.feed(x)
    else:
        for time in range(6):
            stream.step(x[:, time])
    for time in range(6 - back):
        before.step(x[:, time])
    stream.rewind(back)
    assert stream.snapshot() == before.snapshot()
    if back:  # what it said is not remembered: before any outputs, they are 0
        answer = stream.step(np.full((2, FEATURES), np.nan, np.float32))
        assert not answer.any()


def test_what_is_repeated_follows_the_rows(features: Model) -> None:
    random = np.random.default_rng(1)
    wrong = np.full((3, FEATURES), np.inf, np.float32)
    stream = features.stream(batch_size=3, on_nonfinite="hold")
    said = stream.step(spoilt(random, 0, 3))
    forked = stream.fork()
    assert forked.on_nonfinite == "hold"
    assert forked.nonfinite.tolist() == [0, 0, 0]
    stream.select([2, 0, 0])
    np.testing.assert_array_equal(stream.step(wrong), said[[2, 0, 0]])
    np.testing.assert_array_equal(forked.step(wrong), said)
    snapshot = stream.snapshot()
    stream.restore(snapshot)
    assert not stream.step(wrong).any()
    assert stream.nonfinite.tolist() == [2, 2, 2]  # since it was opened
    assert stream.snapshot() == snapshot
    resumed = features.resume(snapshot, on_nonfinite="hold")
    assert not resumed.step(wrong).any()


def test_an_answer_is_not_live(features: Model) -> None:
    stream = features.stream(on_nonfinite="hold")
    random = np.random.default_rng(2)
    first = stream.step(spoilt(random, 0, 1))
    held = stream.step(np.full((1, FEATURES), np.nan, np.float32))
    fed = stream.feed(np.full((1, 2, FEATURES), np.nan, np.float32))
    kept = held.copy()
    for array in (held, fed):
        array[:] = 7
    stream.nonfinite[:] = 9
    np.testing.assert_array_equal(stream.step(np.full((1, FEATURES), np.nan, np.float32)), first)
    np.testing.assert_array_equal(kept, first)
    assert stream.nonfinite.tolist() == [4]


@given(seed=st.integers(0, 10_000), policy=POLICIES)
def test_listening(features: Model, seed: int, policy: Any) -> None:
    """Frames of samples, some not finite, which overlap."""
    random = np.random.default_rng(seed)
    samples = random.normal(size=40).astype(np.float32)
    samples[random.random(40) < 0.1] = np.nan
    stream, row = features.stream(on_nonfinite=policy), OneRow(features, policy)
    made = list(stream.listen(np.split(samples, [7, 8, 20]), hop=3))
    starts = range(0, 40 - FEATURES + 1, 3)
    assert len(made) == len(starts)
    for output, start in zip(made, starts, strict=True):
        np.testing.assert_array_equal(output[0], row.step(samples[start : start + FEATURES]))
    assert_same(stream, [row])


@given(seed=st.integers(0, 10_000), policy=POLICIES)
def test_members_of_a_pool(features: Model, seed: int, policy: Any) -> None:
    """Some step together, some alone, some in asyncio; one leaves, and another takes its slot."""
    random = np.random.default_rng(seed)
    with features.pool(3, on_nonfinite=policy) as pool:
        pairs = [(pool.join(), OneRow(features, policy)) for _ in range(3)]
        for _ in range(8):
            chosen = [pair for pair in pairs if random.random() < 0.7]
            x = spoilt(random, 0.4, len(chosen))
            given_x = {member: one for (member, _), one in zip(chosen, x, strict=True)}
            together = pool.step(given_x) if random.random() < 0.6 else {}
            for (member, row), one in zip(chosen, x, strict=True):
                if together:
                    answer = together[member]
                elif random.random() < 0.5:
                    answer = member.step(one)
                else:
                    answer = asyncio.run(member.astep(one))
                np.testing.assert_array_equal(answer, row.step(one))
                answer[:] = 7  # it is the caller's own
                assert member.nonfinite == row.count
            if random.random() < 0.2:
                pairs.pop(0)[0].leave()
                pairs.append((pool.join(), OneRow(features, policy)))
        for member, row in pairs:
            assert member.snapshot() == row.stream.snapshot()


def test_a_pool_refuses_by_default(features: Model, characters: Model) -> None:
    x = np.full(FEATURES, np.nan, np.float32)
    with features.pool(1) as pool:
        member = pool.join()
        assert isinstance(pool.step({member: x})[member], InputError)
        assert member.nonfinite == 0
    with pytest.raises(InputError, match="but token holds ids"):
        characters.pool(1, on_nonfinite="hold")
    with pytest.raises(InputError, match="on_nonfinite must be"):
        features.pool(1, on_nonfinite="skip")  # type: ignore[arg-type]


def test_an_error_is_the_default_and_counts_nothing(features: Model) -> None:
    stream = features.stream(batch_size=2)
    assert stream.on_nonfinite == "error"
    x = spoilt(np.random.default_rng(3), 1.0, 2, 4)
    for call, given_x in ((stream.step, x[:, 0]), (stream.feed, x), (stream.unroll, x)):
        with pytest.raises(InputError, match="finite numbers"):
            call(given_x)
    assert stream.nonfinite.tolist() == stream.steps.tolist() == [0, 0]


@pytest.mark.parametrize("policy", ["hold", "reset"])
def test_other_faults_are_errors_still(features: Model, policy: Any) -> None:
    stream = features.stream(batch_size=2, on_nonfinite=policy)
    x = spoilt(np.random.default_rng(3), 0.5, 2, 4)
    for wrong in (x[:, 0].astype(np.float64), x[:1, 0], x):
        with pytest.raises(InputError):
            stream.step(wrong)
    for lengths in (np.array([5, 0]), np.array([1])):
        with pytest.raises(InputError):
            stream.feed(x, lengths)
    assert stream.nonfinite.tolist() == stream.steps.tolist() == [0, 0]


def test_a_failure_of_the_engine_leaves_all_as_it_was(
    features: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the second piece of a chunk, behind a row that was wrong."""
    stream = features.stream(batch_size=2, on_nonfinite="reset")
    x = np.zeros((2, 5, FEATURES), np.float32)
    x[0, 2] = np.nan
    stream.feed(x[:, :2])
    before, calls = stream.snapshot(), []

    class Failing:
        def run(self, *arguments: Any) -> Any:
            calls.append(arguments)
            if len(calls) == 3:
                raise RuntimeError("a kernel went wrong")
            return session.run(*arguments)

    session = features.session("sequence")
    monkeypatch.setattr(features, "session", lambda _: Failing())
    with pytest.raises(DeviceError, match="the state is as it was"):
        stream.feed(x)
    assert len(calls) == 3
    assert stream.snapshot() == before
    assert stream.nonfinite.tolist() == [0, 0]


def test_only_models_of_numbers_can_be_told(characters: Model, features: Model) -> None:
    for policy in ("hold", "reset"):
        with pytest.raises(InputError, match="but token holds ids, int64; leave it out"):
            characters.stream(on_nonfinite=policy)
    assert characters.stream(on_nonfinite="error").nonfinite.tolist() == [0]
    with pytest.raises(InputError, match='must be "error", "hold" or "reset", got \'skip\''):
        features.stream(on_nonfinite="skip")  # type: ignore[arg-type]


@given(seed=st.integers(0, 10_000), columns=st.integers(0, 8))
def test_pieces_cover_all_columns_in_order(seed: int, columns: int) -> None:
    wrong = np.random.default_rng(seed).random((3, 8)) < 0.15
    covered: list[int] = []
    for piece, rows in pieces(wrong, columns):
        here = list(range(piece.start, piece.stop))
        assert here
        assert (wrong[:, piece] == rows[:, None]).all()
        assert len(here) == 1 or not rows.any()
        covered += here
    assert covered == list(range(columns))


@given(seed=st.integers(0, 10_000), policy=POLICIES)
def test_inputs_that_are_all_there_give_the_state_again(
    features: Model, seed: int, policy: Any
) -> None:
    """Whatever was read, skipped, begun anew and taken back: what a row says it read, it read."""
    random = np.random.default_rng(seed)
    stream = features.stream(batch_size=3, on_nonfinite=policy, history=6)
    for _ in range(8):
        call = random.choice(["step", "active", "feed", "rewind", "fork"])
        if call == "step":
            stream.step(spoilt(random, 0.3, 3))
        elif call == "active":
            stream.step(spoilt(random, 0.3, 3), active=random.random(3) < 0.6)
        elif call == "feed":
            stream.feed(spoilt(random, 0.3, 3, 4), random.integers(0, 5, 3))
        elif call == "rewind" and stream._history._moments:
            stream.rewind(int(random.integers(1, len(stream._history._moments) + 1)))
        elif call == "fork":
            stream = stream.fork()
    saved = stream.snapshot(inputs=True)
    assert saved.inputs is not None
    for row in np.flatnonzero(saved.complete).tolist():
        kept = saved.inputs.x[row][: int(saved.inputs.lengths[row])]
        with features.stream() as again:
            for x in kept:
                again.step(x[None])
            assert again.steps[0] == stream.steps[row]
            for name, array in again.state().items():
                np.testing.assert_array_equal(array[0], stream.state()[name][row])

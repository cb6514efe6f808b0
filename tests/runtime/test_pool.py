"""A pool's members are streams: whatever the schedule, each is what it would be alone."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle
from tests.runtime.tiny_bundles import CHARACTERS, FEATURES, write_language_model
from treadle.errors import DeadlineError, DeviceError, InputError, StateError
from treadle.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from treadle import Member, Model, Pool, Stream

SYMBOLS = len(CHARACTERS)
PATIENCE = 30.0  # seconds after which a test that hangs says so


def alone(stream: Stream, x: Any) -> Any:
    """What a stream of one row answers to the same input."""
    return stream.step(np.asarray(x)[None])[0]


def ids(seed: int, count: int) -> list[np.int64]:
    return list(np.random.default_rng(seed).integers(0, SYMBOLS, count))


class Gate:
    """Holds the engine call of a pool until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()
        call = Slots.call

        def held(slots: Slots, *arguments: Any) -> Any:
            self.entered.set()
            assert self.opened.wait(PATIENCE)
            return call(slots, *arguments)

        monkeypatch.setattr(Slots, "call", held)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made = Gate(monkeypatch)
    yield made
    made.opened.set()


def started(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def run_schedule(
    model: Model, pool: Pool, random: np.random.Generator, events: int, lengths: list[int]
) -> None:
    """Joins, steps, snapshots and leaves, drawn at random; each member has a stream beside it.

    With `lengths`, members read sources that are so long.
    """
    symbols = len(model.vocabularies["output" if lengths else "symbols"])
    living: list[tuple[Member, Stream]] = []
    made = 0
    while made < events:
        made += 1
        kind = random.random()
        if kind < 0.1 and len(living) < pool.max_streams:
            if living and kind < 0.03:
                snapshot = living[random.integers(len(living))][0].snapshot()
                living.append((pool.join(snapshot), model.resume(snapshot)))
            elif lengths:
                word = random.integers(1, 9, random.choice(lengths))
                living.append((pool.join(source=word), model.stream([word])))
            else:
                living.append((pool.join(), model.stream()))
        elif kind < 0.17 and living:
            member, _ = living.pop(random.integers(len(living)))
            member.leave()
        elif living:
            chosen = [pair for pair in living if random.random() < 0.5] or living[:1]
            random.shuffle(chosen)
            # The same members ask again, in another order: what is bound for them is used again.
            for pairs in (chosen, chosen[::-1]):
                asked = {member: random.integers(symbols) for member, _ in pairs}
                answers = pool.step(asked)
                assert list(answers) == list(asked)
                for member, stream in pairs:
                    np.testing.assert_array_equal(answers[member], alone(stream, asked[member]))
                made += len(pairs)
    for member, stream in living:
        assert member.snapshot().to_bytes() == stream.snapshot().to_bytes()
    assert pool.metrics().members == len(living)


def test_any_schedule_equals_streams_alone(characters: Model) -> None:
    """10,000 joins, steps, snapshots and leaves."""
    with characters.pool(12) as pool:
        run_schedule(characters, pool, np.random.default_rng(0), 10_000, [])
        metrics = pool.metrics()
        assert metrics.calls < metrics.steps
        assert 1 < metrics.batch_max <= pool.max_streams
        assert 0 < metrics.p50_us <= metrics.p99_us


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    exact=st.booleans(),
)
def test_any_schedule_of_members_with_contexts(
    pronounce: Any, seed: int, lengths: list[int], exact: bool
) -> None:
    """Contexts of one width and of several, of members that leave and whose slots others take."""
    with pronounce.pool(5, exact=exact) as pool:
        run_schedule(pronounce, pool, np.random.default_rng(seed), 300, lengths)


def test_contexts_are_written_when_they_change_only(pronounce: Any) -> None:
    """Contexts in the buffers of a call are overwritten, so that another step tells of them."""
    words = [np.arange(1, 1 + length) for length in (3, 5, 7)]
    with pronounce.pool(3) as pool:
        members = [pool.join(source=word) for word in words]
        pool.step(dict.fromkeys(members, np.int64(1)))
        [company] = pool._slots._kept.values()
        keys = company.bound.context["keys"]
        keys[:] = -7
        pool.step(dict.fromkeys(members[::-1], np.int64(1)))
        assert (keys == -7).all()
        members[1].leave()
        last = pool.join(source=words[0])
        pool.step(dict.fromkeys([members[0], last, members[2]], np.int64(1)))
        assert [bool((row == -7).all()) for row in keys] == [True, False, True]


def test_features_and_words_of_several_widths(features: Model, pronounce: Any) -> None:
    random = np.random.default_rng(1)
    with features.pool(3) as pool:
        x = random.normal(size=(3, FEATURES)).astype(np.float32)
        members = [pool.join() for _ in x]
        answers = pool.step(dict(zip(members, x, strict=True)))
        for member, row in zip(members, x, strict=True):
            np.testing.assert_array_equal(answers[member], alone(features.stream(), row))
    words = [random.integers(1, 9, length) for length in (3, 20, 5, 17, 40)]
    with pronounce.pool(5) as pool:
        members = [pool.join(source=word) for word in words]
        streams = [pronounce.stream([word]) for word in words]
        for token in ids(2, 5):
            answers = pool.step(dict.fromkeys(members, token))
            for member, stream in zip(members, streams, strict=True):
                np.testing.assert_array_equal(answers[member], alone(stream, token))
        assert pool.metrics().calls == 15  # memories of 16, 32 and 48 columns
        again = pool.join
        members[0].leave()
        resumed = again(members[1].snapshot())
        np.testing.assert_array_equal(resumed.step(ids(3, 1)[0]), alone(streams[1], ids(3, 1)[0]))


def test_threads_step_their_own(characters: Model) -> None:
    count, steps = 16, 50
    wrong: list[int] = []

    def work(number: int) -> None:
        stream = characters.stream()
        with pool.join() as member:
            wrong.extend(
                number
                for x in ids(number, steps)
                if not np.array_equal(member.step(x, timeout=PATIENCE), alone(stream, x))
            )

    with characters.pool(count) as pool:
        threads = [started(partial(work, number)) for number in range(count)]
        for thread in threads:
            thread.join(PATIENCE)
        assert not wrong
        assert pool.metrics().steps == count * steps
        assert pool.metrics().members == 0


def test_what_arrives_while_a_call_runs_is_the_next_call(characters: Model, gate: Gate) -> None:
    with characters.pool(6) as pool:
        members = [pool.join() for _ in range(6)]
        first = started(lambda: members[0].step(np.int64(1)))
        assert gate.entered.wait(PATIENCE)
        others = [started(partial(m.step, np.int64(2))) for m in members[1:]]
        while pool.metrics().waiting < 5:
            pass
        gate.opened.set()
        for thread in (first, *others):
            thread.join(PATIENCE)
        metrics = pool.metrics()
        assert (metrics.calls, metrics.batch_max, metrics.steps) == (2, 5, 6)


def test_asyncio_steps_share_calls(characters: Model) -> None:
    async def work(pool: Pool, number: int) -> bool:
        stream, member = characters.stream(), pool.join()
        return all(
            [np.array_equal(await member.astep(x), alone(stream, x)) for x in ids(number, 20)]
        )

    async def all_of_them(pool: Pool) -> list[bool]:
        return await asyncio.gather(*(work(pool, number) for number in range(8)))

    with characters.pool(8) as pool:
        assert all(asyncio.run(all_of_them(pool)))
        assert pool.metrics().batch_max > 1


def test_a_cancelled_step_was_never_made(characters: Model, gate: Gate) -> None:
    async def cancelled(member: Member) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(member.astep(np.int64(3)), 0.05)
        gate.opened.set()

    with characters.pool(1) as pool:
        member = pool.join()
        before = member.snapshot().to_bytes()
        asyncio.run(cancelled(member))
        assert member.snapshot().to_bytes() == before
        np.testing.assert_array_equal(
            member.step(np.int64(4)), alone(characters.stream(), np.int64(4))
        )


def test_a_deadline_leaves_the_state_and_the_queue(characters: Model, gate: Gate) -> None:
    with characters.pool(2) as pool:
        slow, late = pool.join(), pool.join()
        thread = started(lambda: slow.step(np.int64(1)))
        assert gate.entered.wait(PATIENCE)
        with pytest.raises(DeadlineError, match=r"within 0\.02 s.*as it was"):
            late.step(np.int64(2), timeout=0.02)
        assert pool.metrics().waiting == 0
        gate.opened.set()
        thread.join(PATIENCE)
        np.testing.assert_array_equal(
            late.step(np.int64(5)), alone(characters.stream(), np.int64(5))
        )


def test_a_full_pool_refuses_or_waits(characters: Model) -> None:
    with characters.pool(1) as pool:
        pool.join()
        with pytest.raises(StateError, match=r"all 1 places .* when_full"):
            pool.join()
    with characters.pool(1, when_full="wait") as pool:
        first = pool.join()
        with pytest.raises(DeadlineError, match=r"none was left within 0\.01 s"):
            pool.join(timeout=0.01)
        joined: list[Member] = []
        thread = started(lambda: joined.append(pool.join(timeout=PATIENCE)))
        first.step(np.int64(3))
        first.leave()
        thread.join(PATIENCE)
        np.testing.assert_array_equal(
            joined[0].step(np.int64(4)), alone(characters.stream(), np.int64(4))
        )


def test_a_row_fails_alone(characters: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    with characters.pool(4) as pool:
        good, wrong, broken, other = (pool.join() for _ in range(4))
        call = Slots.call

        def failing(slots: Slots, chosen: Any, inputs: Any) -> Any:
            if broken._slot in chosen:
                raise RuntimeError("a kernel went wrong")
            return call(slots, chosen, inputs)

        before = broken.snapshot().to_bytes()
        monkeypatch.setattr(Slots, "call", failing)
        x = np.int64(3)
        answers = pool.step({good: x, wrong: np.int64(SYMBOLS), broken: x, other: x})
        assert isinstance(answers[wrong], InputError)
        assert isinstance(answers[broken], DeviceError)
        assert "a kernel went wrong; the state is as it was" in str(answers[broken])
        for member in (good, other):
            np.testing.assert_array_equal(answers[member], alone(characters.stream(), x))
        assert broken.snapshot().to_bytes() == before
        with pytest.raises(DeviceError, match="a kernel went wrong"):
            broken.step(x)


def test_exact_computes_every_row_alone(characters: Model) -> None:
    with characters.pool(3, exact=True) as pool:
        pool.step({pool.join(): np.int64(1) for _ in range(3)})
        assert pool.metrics().calls == 3


@pytest.mark.parametrize("x", [np.int32(1), np.array([1]), np.int64(-1), 1.5, [[1]]])
def test_bad_input_leaves_the_member(characters: Model, x: Any) -> None:
    with characters.pool(1) as pool:
        member = pool.join()
        before = member.snapshot().to_bytes()
        with pytest.raises(InputError):
            member.step(x)
        assert isinstance(pool.step({member: x})[member], InputError)
        assert member.snapshot().to_bytes() == before
        member.step(np.int64(1))


def test_one_member_in_two_threads(characters: Model, gate: Gate) -> None:
    with characters.pool(2) as pool:
        member = pool.join()
        thread = started(lambda: member.step(np.int64(1)))
        assert gate.entered.wait(PATIENCE)
        for call in (lambda: member.step(np.int64(1)), member.snapshot, member.leave):
            with pytest.raises(StateError, match="in use by another call"):
                call()
        assert isinstance(pool.step({member: np.int64(1)})[member], StateError)
        gate.opened.set()
        thread.join(PATIENCE)


def test_strangers_and_leavers(characters: Model, features: Model) -> None:
    with characters.pool(2) as pool, characters.pool(1) as another:
        member, stranger = pool.join(), another.join()
        with pytest.raises(StateError, match="another pool"):
            pool.step({member: np.int64(1), stranger: np.int64(1)})
        assert pool.metrics().steps == 0
        member.leave()
        member.leave()
        for call in (lambda: member.step(np.int64(1)), member.snapshot):
            with pytest.raises(StateError, match="has left its pool"):
                call()
        with pytest.raises(StateError, match="has left its pool"):
            pool.step({member: np.int64(1)})
        assert pool.step({}) == {}
        with pytest.raises(StateError, match="digest"):
            pool.join(features.stream().snapshot())
        with pytest.raises(StateError, match="one row, but the snapshot has 2"):
            pool.join(characters.stream(batch_size=2).snapshot())
        assert pool.metrics().members == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((0,), "max_streams"), ((True,), "max_streams"), ((2, "maybe"), "when_full")],
)
def test_impossible_pools(characters: Model, arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        characters.pool(arguments[0], **dict(zip(["when_full"], arguments[1:], strict=False)))


def test_closing_ends_what_runs_and_refuses_what_waits(tmp_path: Path, gate: Gate) -> None:
    model = treadle.load(write_language_model(tmp_path))
    pool = model.pool(3, when_full="wait")
    members = [pool.join() for _ in range(3)]
    outcomes: dict[str, Any] = {}

    def attempt(name: str, call: Callable[[], object]) -> threading.Thread:
        def work() -> None:
            try:
                outcomes[name] = call()
            except StateError as error:
                outcomes[name] = error

        return started(work)

    threads = [attempt("runs", lambda: members[0].step(np.int64(1)))]
    assert gate.entered.wait(PATIENCE)
    threads.append(attempt("waits", lambda: members[1].step(np.int64(1))))
    threads.append(attempt("joins", pool.join))
    while pool.metrics().waiting < 1:
        pass
    threads.append(started(model.close))
    threads[1].join(PATIENCE)
    assert "closed" in str(outcomes["waits"])
    gate.opened.set()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert outcomes["runs"].shape == (SYMBOLS,)
    assert "closed" in str(outcomes["joins"])
    with pytest.raises(StateError, match="closed"):
        members[2].step(np.int64(1))
    members[2].leave()


def test_ctrl_c_in_the_call_that_works_for_all(
    characters: Model, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader is interrupted; who waited for it gets an error, and can go on."""
    with characters.pool(3) as pool:
        first, leader, follower = (pool.join() for _ in range(3))
        errors: dict[str, BaseException] = {}

        def attempt(name: str, member: Member) -> None:
            try:
                member.step(np.int64(1))
            except BaseException as error:  # noqa: BLE001 - a thread's Ctrl-C ends here
                errors[name] = error

        threads = [started(lambda: first.step(np.int64(1)))]
        assert gate.entered.wait(PATIENCE)
        for name, member in (("leader", leader), ("follower", follower)):
            threads.append(started(partial(attempt, name, member)))
            while pool.metrics().waiting < len(threads) - 1:
                pass
        call = Slots.call

        def interrupted(slots: Slots, *arguments: Any) -> Any:
            monkeypatch.setattr(Slots, "call", call)
            raise KeyboardInterrupt

        monkeypatch.setattr(Slots, "call", interrupted)
        gate.opened.set()
        for thread in threads:
            thread.join(PATIENCE)
        assert isinstance(errors["leader"], KeyboardInterrupt)
        assert "interrupted; the state is as it was" in str(errors["follower"])
        monkeypatch.undo()
        for member in (leader, follower):
            np.testing.assert_array_equal(
                member.step(np.int64(4), timeout=PATIENCE),
                alone(characters.stream(), np.int64(4)),
            )

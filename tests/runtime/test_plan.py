"""How a plan's settings become threads and calls, and that either call gives the same answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.tiny_bundles import CHARACTERS, reseal, write_language_model
from treadle import plan as module
from treadle.errors import BundleError
from treadle.loading import load
from treadle.plain_step import PlainStep
from treadle.plan import Running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle.model import Model


def planned(folder: Path, settings: Any) -> Path:
    path = write_language_model(folder)
    document = json.loads((path / "manifest.json").read_text())
    reseal(path, {**document, "plan": {"settings": settings}})
    return path


@given(processors=st.integers(1, 64), threads=st.integers(1, 128))
def test_threads_are_those_of_the_plan_as_far_as_there_are_processors(
    processors: int, threads: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "cores", lambda: processors)
        running = Running.of({"settings": {"threads": threads}})
    assert running == Running(min(threads, processors), "prebound")


def test_a_plan_without_settings_asks_for_one_thread_and_buffers_bound_once() -> None:
    assert Running.of({"step": []}) == Running(1, "prebound")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([], r"plan\.settings should be an object"),
        ({"threads": 0}, r"plan\.settings\.threads should be an integer of at least 1, got 0"),
        ({"threads": True}, "got True"),
        ({"threads": "2"}, "got '2'"),
        ({"call": "eager"}, r"plan\.settings\.call should be one of .* got 'eager'"),
        ({"call": []}, r"got \[\]"),
    ],
)
def test_settings_that_no_exporter_writes_are_an_error(
    tmp_path: Path, settings: Any, words: str
) -> None:
    with pytest.raises(BundleError, match=words):
        load(planned(tmp_path, settings))


def test_whoever_asks_for_threads_gets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "cores", lambda: 4)
    path = planned(tmp_path, {"threads": 3, "call": "plain"})
    with load(path) as model:
        assert (model.hardware.threads, model.call) == (3, "plain")
    with load(path, threads=1) as model:
        assert model.hardware.threads == 1


@pytest.fixture(scope="module")
def plain(characters: Model) -> Iterator[Model]:
    """The model of `characters`, whose streams call the engine with dictionaries."""
    with load(characters.bundle.path) as model:
        model.call = "plain"
        yield model


@given(data=st.data())
def test_a_plain_call_gives_what_a_prebound_one_gives(
    characters: Model, plain: Model, data: st.DataObject
) -> None:
    rows = data.draw(st.integers(1, 4))
    ids = st.integers(0, len(CHARACTERS) - 1)
    steps = data.draw(st.lists(st.lists(ids, min_size=rows, max_size=rows), min_size=1, max_size=6))
    with (
        characters.stream(batch_size=rows, history=2) as expected,
        plain.stream(batch_size=rows, history=2) as stream,
    ):
        assert isinstance(stream._bound, PlainStep)
        assert not isinstance(expected._bound, PlainStep)
        for row in [*steps, steps[0]]:
            x = np.array(row, np.int64)
            np.testing.assert_array_equal(stream.step(x), expected.step(x))
        for each in (stream, expected):
            each.rewind(1)
            each.reset([0])
        for name, state in expected.state().items():
            np.testing.assert_array_equal(stream.state()[name], state)
        last = np.array(steps[-1], np.int64)
        np.testing.assert_array_equal(stream.fork().step(last), expected.step(last))

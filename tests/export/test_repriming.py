"""Every cell, in float32 and int8, goes on from what a stream of another model has read."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle
from tests.export.small_models import TARGETS, canonical, lowered
from tests.runtime.driven_stream import Driven, schedules
from treadle.tolerances import tolerance
from treadle.vocabulary import Vocabulary
from treadle_export.bundle import Description, assemble, finished, write_bundle
from treadle_export.quantization.precision import plan_of, precision_named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle import Model, Snapshot

CELLS = ("lstm", "gru", "elman")
PRECISIONS = ("float32", "int8")
EVERY = [(cell, precision) for cell in CELLS for precision in PRECISIONS]
ROWS = 3


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Model]]:
    """By cell and precision; all read the same symbols."""
    symbols = Vocabulary(tuple(map(chr, range(1000, 1000 + TARGETS))), "characters")
    with ExitStack() as opened:
        found = {}
        for cell, precision in EVERY:
            kind = f"{cell}-model"
            path = tmp_path_factory.mktemp("models") / f"{cell}-{precision}.treadle"
            description = Description(path.stem, {"symbols": symbols}, {"start": 0}, {}, {}, {})
            plan = plan_of(canonical(kind), precision_named(precision))
            parts = assemble(lowered(kind, precision), description, precision, plan)
            write_bundle(path, finished(parts, {}))
            found[cell, precision] = opened.enter_context(treadle.load(path))
        yield found


def taken_over(snapshot: Snapshot) -> list[list[int]]:
    """The ids that each row has kept, with its padding."""
    assert snapshot.inputs is not None
    ids: list[list[int]] = snapshot.inputs.x.tolist()
    return ids


@pytest.mark.parametrize(("cell", "precision"), EVERY)
@settings(max_examples=12)
@given(data=st.data())
def test_as_if_it_had_read_it_all(models: Any, cell: str, precision: str, data: Any) -> None:
    """A history that is long enough: nothing is lost, whatever the first model was."""
    first, then = models[data.draw(st.sampled_from(EVERY))], models[cell, precision]
    driven = Driven(first, ROWS, 100)
    for event in data.draw(schedules(ROWS, TARGETS)):
        driven.play(event)
    snapshot = driven.stream.snapshot(inputs=True)
    driven.stream.close()
    assert driven.kept == driven.read
    assert snapshot.complete.all()

    allowed = 0.0 if precision == "int8" else tolerance("chunk", precision).absolute
    same = then.manifest.digest == first.manifest.digest
    with then.resume(snapshot, history=100, reprime=True) as stream:
        assert same or stream.reprimed.all()
        assert stream.steps.tolist() == [len(read) for read in driven.read]
        state = stream.state()
        assert taken_over(stream.snapshot(inputs=True)) == taken_over(snapshot)
    for row, ids in enumerate(driven.read):
        with closing(then.stream()) as alone:
            for token in ids:
                alone.step(np.array([token]))
            for name, array in alone.state().items():
                np.testing.assert_allclose(state[name][row], array[0], rtol=0, atol=allowed)

"""Golden traces of the predictor and the joiner of an RNN-T, which no frame goes through.

Notation: K rows, J joint size.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from treadle.golden import Golden
from treadle_export.canonical import CanonicalModel
from treadle_export.engine import Engine
from treadle_export.parity.golden import columns_of, record, renewed
from treadle_export.parity.joined import Joined
from treadle_export.parity.ladder import carry
from treadle_export.parity.origin import Floats
from treadle_export.parity.trace import Trace

_ROWS = 16  # of the joiner, which has no state: each proves the same graph
_NONE: NDArray[np.int64] = np.zeros(0, np.int64)


def recorded_parts(
    said: Joined | None, model: CanonicalModel, bundle_bytes: int
) -> dict[str, Golden]:
    """What the origin said, and what the lowered graphs make of the same; empty for `said` None."""
    if said is None:
        return {}
    predictor, trace = _stepping(model), Trace(_NONE, said.symbols)
    carried = carry(predictor, trace, {}, predictor.initial_state(1, "step"))
    steps = record(trace, said.predictor, carried, predictor, bundle_bytes)
    rows = np.unique(np.linspace(0, len(said.logits) - 1, _ROWS).astype(np.int64))
    read = np.concatenate([part[rows] for part in said.read], axis=1)
    return {
        "predictor": replace(steps, choices={}),
        "joiner": _joined(read, said.logits[rows], columns_of(said.logits.shape[1]), model),
    }


def renewed_parts(
    known: Mapping[str, Golden], model: CanonicalModel, bundle_bytes: int
) -> dict[str, Golden]:
    """Those of a bundle, with what other lowered graphs make of them."""
    if not known:
        return {}
    predictor, steps, joiner = _stepping(model), known["predictor"], known["joiner"]
    trace = Trace(_NONE, steps.inputs)
    carried = carry(predictor, trace, {}, predictor.initial_state(1, "step"))
    again = _joined(joiner.inputs, joiner.outputs["torch"], joiner.columns, model)
    return {
        "predictor": renewed(steps, predictor, carried, bundle_bytes),
        "joiner": replace(again, choices=again.choices | {"torch": joiner.choices["torch"]}),
    }


def _stepping(model: CanonicalModel) -> CanonicalModel:
    """The predictor as a model whose step it is."""
    return replace(model, graphs={"step": model.graphs["predictor"]}, initial={})


def _joined(
    read: Floats, expected: Floats, columns: NDArray[np.int64], model: CanonicalModel
) -> Golden:
    """Both inputs side by side, [K, 2 * J]; `expected` [K, V], or [K, columns]."""
    joiner = model.graphs["joiner"]
    names = [tensor.name for tensor in joiner.interface.inputs]
    feeds = dict(zip(names, np.split(read, 2, axis=1), strict=True))
    logits = Engine(joiner.model).run(feeds)[joiner.interface.outputs[0].name]
    kept = expected if expected.shape[1] == len(columns) else expected[:, columns]
    return Golden(
        source=_NONE,
        inputs=read,
        choices={"torch": expected.argmax(-1), "bundle": logits.argmax(-1)},
        checkpoints=np.arange(len(read)),
        columns=columns,
        outputs={"torch": kept, "bundle": logits[:, columns]},
        state={},
        next_state={},
    )

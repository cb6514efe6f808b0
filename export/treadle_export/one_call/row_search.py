"""Greedy and sampled search as a Loop: one sequence a row, symbol by symbol.

As `treadle.decoding.sample_search`: a row stops at the end symbol, and the loop when all have or
after `max_length` steps. Operator: ONNX Loop.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from treadle_export.one_call.beginning import Beginning, declared
from treadle_export.one_call.drawing import Drawing, likeliest
from treadle_export.one_call.opening import Opened
from treadle_export.one_call.stepping import DOUBLE, any_of, log_softmax, state_inputs, stepped
from treadle_export.passes.rewriting import Emitter

TEMPERATURE, RANDOM = "temperature", "random"


@dataclass(frozen=True, slots=True)
class Written:
    """What a search gives: ids [R, T], with `fill` behind a row's length; lengths; scores."""

    nodes: Sequence[ir.Node]
    ids: ir.Value
    lengths: ir.Value
    scores: ir.Value


@dataclass(frozen=True, slots=True)
class RowSearch:
    """Greedy search, or sampling where `drawing` says how."""

    drawing: Drawing | None = None

    def inputs(self) -> dict[str, ir.Value]:
        """What a call reads beside the model's own inputs.

        random: float64 [steps, batch] from [0, 1), a row for each step that may be made.
        """
        if self.drawing is None:
            return {}
        return {
            TEMPERATURE: declared(TEMPERATURE, DOUBLE),
            RANDOM: declared(RANDOM, DOUBLE, "steps", "batch"),
        }

    def written(
        self,
        source: Opened,
        root: ir.Graph,
        beginning: Beginning,
        max_length: ir.Value,
    ) -> Written:
        """The search in `root`, after its beginning."""
        e = Emitter(root)
        flags = e.op("Expand", e.constant(np.array(True)), beginning.rows)
        totals = e.op("Expand", e.constant(np.float64(0)), beginning.rows)
        lengths = e.op("Expand", e.constant(np.int64(0)), beginning.rows)
        body = self._body(source, root, beginning)
        made = e.ops(
            "Loop",
            max_length,
            e.constant(np.array(True)),
            *(beginning.tokens, flags, totals, lengths),
            *beginning.state.values(),
            outputs=5 + len(beginning.state),
            body=body,
        )
        ids = e.op("Transpose", made[-1], perm=[1, 0])
        scores = e.op("Cast", made[2], to=ir.DataType.FLOAT)
        return Written(e.nodes, ids, made[3], scores)

    def _body(
        self,
        source: Opened,
        root: ir.Graph,
        beginning: Beginning,
    ) -> ir.Graph:
        """(step, whether to go on, tokens, active, totals, lengths, states) -> these, and ids."""
        step = declared("loop.step", ir.DataType.INT64)
        going = declared("loop.going", ir.DataType.BOOL)
        tokens = declared("loop.tokens", ir.DataType.INT64, "rows")
        active = declared("loop.active", ir.DataType.BOOL, "rows")
        totals = declared("loop.totals", DOUBLE, "rows")
        lengths = declared("loop.lengths", ir.DataType.INT64, "rows")
        state = state_inputs(source)
        nodes, logits, following = stepped(source, root, tokens, state, beginning.context)
        e = Emitter(root)
        if self.drawing is None:
            chosen = likeliest(e, logits)
        else:
            uniform = e.op("Gather", beginning.asked[RANDOM], step, axis=0)
            chosen = self.drawing.drawn(e, logits, beginning.asked[TEMPERATURE], uniform)
        place = e.op("Unsqueeze", chosen, e.axes(1))
        likely = e.op("GatherElements", log_softmax(e, logits), place, axis=1)
        gained = e.op(
            "Where", active, e.op("Squeeze", likely, e.axes(1)), e.constant(np.float64(0))
        )
        going_on = active
        if source.end is not None:
            ended = e.op("Equal", chosen, e.constant(np.int64(source.end)))
            going_on = e.op("And", active, e.op("Not", ended))
        longer = e.op("Add", lengths, e.op("Cast", going_on, to=ir.DataType.INT64))
        shown = e.op("Where", going_on, chosen, e.constant(np.int64(fill(source))))
        outputs = [
            any_of(e, going_on),
            *(e.op("Identity", chosen), e.op("Identity", going_on)),
            *(e.op("Add", totals, gained), longer),
            *(following[name] for name in state),
            shown,
        ]
        e.name_after("loop.search.")
        given = [step, going, tokens, active, totals, lengths, *state.values()]
        return ir.Graph(given, outputs, nodes=[*nodes, *e.nodes], name="search")


def fill(source: Opened) -> int:
    """What stands behind the end of a row: the end symbol, or 0 where there is none."""
    return 0 if source.end is None else source.end

"""Beam search as a Loop, and the way back along its pointers.

As `treadle.decoding.beam_search`, S sources with K rows each: row s * K + k carries hypothesis k
of source s. A step notes the symbol and the parent of every row; what ended keeps the step and row
that it ended from, and its ids are read backwards when all is over. Operator: ONNX Loop.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from treadle.errors import ExportError
from treadle_export.one_call.beginning import Beginning, declared
from treadle_export.one_call.opening import Opened
from treadle_export.one_call.row_search import Written, fill
from treadle_export.one_call.stepping import DOUBLE, any_of, log_softmax, state_inputs, stepped
from treadle_export.passes.rewriting import Emitter

INT64, BOOL = ir.DataType.INT64, ir.DataType.BOOL


@dataclass(frozen=True, slots=True)
class BeamSearch:
    """Answer k of source s is row s * n_best + k. Raises ExportError for impossible sizes."""

    beam: int
    n_best: int = 1
    length_normalization: float = 0.6

    def __post_init__(self) -> None:
        if not 1 <= self.n_best <= self.beam:
            raise ExportError(
                f"expected 1 <= n_best <= beam, got n_best {self.n_best} and beam {self.beam}"
            )
        if not self.length_normalization >= 0:
            raise ExportError(
                f"expected length_normalization of 0 or more, got {self.length_normalization}"
            )

    def inputs(self) -> dict[str, ir.Value]:
        """Nothing beside the model's own inputs."""
        return {}

    def written(
        self,
        source: Opened,
        root: ir.Graph,
        beginning: Beginning,
        max_length: ir.Value,
    ) -> Written:
        """The search in `root`, after its beginning."""
        e, k = Emitter(root), self.beam
        sources = beginning.rows
        of_row = self._repeated(e, sources)
        context = {n: e.op("Gather", v, of_row, axis=0) for n, v in beginning.context.items()}
        state = [e.op("Gather", v, of_row, axis=0) for v in beginning.state.values()]
        tokens = e.op("Gather", beginning.tokens, of_row, axis=0)
        one_alive = np.full((1, k), -np.inf)
        one_alive[0, 0] = 0.0
        totals = self._each(e, sources, one_alive)
        longest = self._penalty(e, max_length)
        ended = [self._each(e, sources, np.full((1, k + 1), -np.inf))]
        ended += [self._each(e, sources, np.zeros((1, k + 1), np.int64)) for _ in range(2)]
        count = self._each(e, sources, np.zeros((1, 1), np.int64))
        body = self._body(source, root, context, longest)
        first = [tokens, totals, *ended, count, *state]
        going = e.constant(np.array(True))
        made = e.ops("Loop", max_length, going, *first, outputs=len(first) + 2, body=body)
        return self._best(e, source, list(made[1:5]), made[-2], made[-1])

    def _repeated(self, e: Emitter, sources: ir.Value) -> ir.Value:
        """Int64 [S * K]: the source of every row."""
        column = e.op("Concat", sources, e.axes(1), axis=0)
        count = e.op("Squeeze", sources)
        numbers = e.op("Range", e.constant(np.int64(0)), count, e.constant(np.int64(1)))
        table = e.op("Add", e.op("Reshape", numbers, column), e.constant(self._zeros()))
        return e.op("Reshape", table, e.axes(-1))

    def _zeros(self) -> np.ndarray:
        return np.zeros((1, self.beam), np.int64)

    def _each(self, e: Emitter, sources: ir.Value, row: np.ndarray) -> ir.Value:
        """The same row [1, N] for every source: [S, N]."""
        return e.op("Expand", e.constant(row), e.op("Concat", sources, e.axes(1), axis=0))

    def _penalty(self, e: Emitter, length: ir.Value) -> ir.Value:
        """Float64 []: `treadle.decoding.beam.length_penalty` of a number of symbols."""
        longer = e.op("Add", e.op("Cast", length, to=DOUBLE), e.constant(np.float64(5)))
        sixth = e.op("Div", longer, e.constant(np.float64(6)))
        return e.op("Pow", sixth, e.constant(np.float64(self.length_normalization)))

    def _body(
        self, source: Opened, root: ir.Graph, context: dict[str, ir.Value], longest: ir.Value
    ) -> ir.Graph:
        """One step of all hypotheses; besides, symbols and parents int64 [S, K] of it."""
        k = self.beam
        step, going = declared("loop.step", INT64), declared("loop.going", BOOL)
        tokens = declared("loop.tokens", INT64, "rows")
        totals = declared("loop.totals", DOUBLE, "sources", k)
        scores = declared("loop.scores", DOUBLE, "sources", k + 1)
        steps = declared("loop.steps", INT64, "sources", k + 1)
        rows = declared("loop.rows", INT64, "sources", k + 1)
        count = declared("loop.count", INT64, "sources", 1)
        state = state_inputs(source)
        nodes, logits, following = stepped(source, root, tokens, state, context)
        e = Emitter(root)
        values, parents, symbols = self._chosen(e, logits, totals, len(source.written))
        places = e.op("Sub", e.constant(np.int64(k)), count)
        ranks = e.constant(np.arange(k, dtype=np.int64)[None])
        likely = e.op("Greater", values, e.constant(np.float64(-np.inf)))
        kept = e.op("And", e.op("Less", ranks, places), likely)
        over = e.op("And", kept, self._is_end(e, source, symbols))
        alive = e.op("And", kept, e.op("Not", over))
        penalty = self._penalty(e, e.op("Add", step, e.constant(np.int64(1))))
        place = self._place(e, over, count)
        found = e.op("Where", over, e.op("Div", values, penalty), e.constant(np.float64(-np.inf)))
        scores_now = e.op("ScatterElements", scores, place, found, axis=1)
        at = e.op("Add", e.op("Mul", symbols, e.constant(np.int64(0))), step)
        steps_now = e.op("ScatterElements", steps, place, at, axis=1)
        rows_now = e.op("ScatterElements", rows, place, parents, axis=1)
        ended = e.op("ReduceSum", e.op("Cast", over, to=INT64), e.axes(1), keepdims=1)
        count_now = e.op("Add", count, ended)
        settled = self._settled(e, scores_now, count_now, values, alive, longest)
        alive = e.op("And", alive, e.op("Not", settled))
        totals_now = e.op("Where", alive, values, e.constant(np.float64(-np.inf)))
        moved = self._rows(e, e.op("Where", alive, parents, ranks))
        flat = e.op("Reshape", symbols, e.axes(-1))
        outputs = [
            any_of(e, alive),
            *(flat, totals_now, scores_now, steps_now, rows_now, count_now),
            *(e.op("Gather", following[name], moved, axis=0) for name in state),
            *(e.op("Identity", symbols), e.op("Identity", parents)),
        ]
        e.name_after("loop.search.")
        given = [step, going, tokens, totals, scores, steps, rows, count, *state.values()]
        return ir.Graph(given, outputs, nodes=[*nodes, *e.nodes], name="search")

    def _chosen(
        self, e: Emitter, logits: ir.Value, totals: ir.Value, size: int
    ) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Log-probabilities, parents and symbols [S, K] of the likeliest continuations."""
        k = self.beam
        table = e.op("Reshape", log_softmax(e, logits), e.axes(-1, k, size))
        together = e.op("Add", table, e.op("Unsqueeze", totals, e.axes(2)))
        flat = e.op("Reshape", together, e.axes(-1, k * size))
        values, index = e.ops("TopK", flat, e.axes(k), outputs=2, axis=-1, largest=1, sorted=1)
        width = e.constant(np.int64(size))
        parents = e.op("Div", index, width)
        return values, parents, e.op("Sub", index, e.op("Mul", parents, width))

    def _is_end(self, e: Emitter, source: Opened, symbols: ir.Value) -> ir.Value:
        end = -1 if source.end is None else source.end
        return e.op("Equal", symbols, e.constant(np.int64(end)))

    def _place(self, e: Emitter, over: ir.Value, count: ir.Value) -> ir.Value:
        """Where among the ended hypotheses each goes: in order, and the others to one place K."""
        nth = e.op("CumSum", e.op("Cast", over, to=INT64), e.constant(np.int64(1)), exclusive=1)
        return e.op("Where", over, e.op("Add", count, nth), e.constant(np.int64(self.beam)))

    def _settled(
        self,
        e: Emitter,
        scores: ir.Value,
        count: ir.Value,
        values: ir.Value,
        alive: ir.Value,
        longest: ir.Value,
    ) -> ir.Value:
        """Bool [S, 1]: no living hypothesis can enter the n best any more."""
        n = self.n_best
        best, _ = e.ops("TopK", scores, e.axes(n), outputs=2, axis=-1, largest=1, sorted=1)
        worst = e.op("Gather", best, e.axes(n - 1), axis=1)
        living = e.op("Where", alive, values, e.constant(np.float64(-np.inf)))
        bound = e.op("Div", e.op("ReduceMax", living, e.axes(1), keepdims=1), longest)
        enough = e.op("GreaterOrEqual", count, e.constant(np.int64(n)))
        return e.op("And", enough, e.op("LessOrEqual", bound, worst))

    def _rows(self, e: Emitter, parents: ir.Value) -> ir.Value:
        """Int64 [S * K]: the row of the batch that each goes on from."""
        sources = e.op("Shape", parents, start=0, end=1)
        row = e.op("Mul", self._repeated(e, sources), e.constant(np.int64(self.beam)))
        return e.op("Add", row, e.op("Reshape", parents, e.axes(-1)))

    def _best(
        self,
        e: Emitter,
        source: Opened,
        carried: list[ir.Value],
        symbols: ir.Value,
        parents: ir.Value,
    ) -> Written:
        """What ended, best first, and behind it what was cut; symbols and parents [T, S, K]."""
        k, n, nothing = self.beam, self.n_best, e.constant(np.float64(-np.inf))
        totals, scores, steps, rows = carried
        made = e.op("Squeeze", e.op("Shape", symbols, start=0, end=1))
        within = [e.op("Slice", v, e.axes(0), e.axes(k), e.axes(1)) for v in (scores, steps, rows)]
        ranked, order = e.ops("TopK", within[0], e.axes(k), outputs=2, axis=-1, largest=1, sorted=1)
        cut, cut_order = e.ops(
            "TopK",
            e.op("Div", totals, self._penalty(e, made)),
            e.axes(k),
            outputs=2,
            axis=-1,
            largest=1,
            sorted=1,
        )
        whole = e.op("Add", e.op("Mul", cut_order, e.constant(np.int64(0))), made)
        lengths = self._joined(e, e.op("GatherElements", within[1], order, axis=1), whole)
        start = self._joined(e, e.op("GatherElements", within[2], order, axis=1), cut_order)
        both = self._joined(e, ranked, cut)
        place = e.constant(np.arange(0, -2 * k, -1, dtype=np.float64)[None])
        key = e.op("Where", e.op("Greater", both, nothing), place, nothing)
        _, first = e.ops("TopK", key, e.axes(n), outputs=2, axis=-1, largest=1, sorted=1)
        lengths, start, both = (
            e.op("GatherElements", value, first, axis=1) for value in (lengths, start, both)
        )
        ids = self._read_back(e, source, symbols, parents, lengths, start)
        flat = e.axes(-1)
        lengths = e.op("Reshape", lengths, flat)
        scores = e.op("Cast", e.op("Reshape", both, flat), to=ir.DataType.FLOAT)
        return Written(e.nodes, ids, lengths, scores)

    def _joined(self, e: Emitter, ended: ir.Value, cut: ir.Value) -> ir.Value:
        return e.op("Concat", ended, cut, axis=1)

    def _read_back(
        self,
        e: Emitter,
        source: Opened,
        symbols: ir.Value,
        parents: ir.Value,
        lengths: ir.Value,
        row: ir.Value,
    ) -> ir.Value:
        """Ids [S * N, T] of the hypotheses that stand in `row` [S, N] when they end."""
        one = e.constant(np.int64(1))
        last = e.op("Sub", e.op("Squeeze", e.op("Shape", symbols, start=0, end=1)), one)
        body = self._back(e.root, source, symbols, parents, lengths, last)
        steps = e.op("Add", last, one)
        going = e.constant(np.array(True))
        _, backwards = e.ops("Loop", steps, going, row, outputs=2, body=body)
        turned = e.op(
            "Slice",
            backwards,
            e.axes(-1),
            e.constant(np.array([-(2**31)], np.int64)),
            e.axes(0),
            e.axes(-1),
        )
        width = e.op("Concat", e.axes(-1), e.op("Unsqueeze", steps, e.axes(0)), axis=0)
        return e.op("Reshape", e.op("Transpose", turned, perm=[1, 2, 0]), width)

    def _back(
        self,
        root: ir.Graph,
        source: Opened,
        symbols: ir.Value,
        parents: ir.Value,
        lengths: ir.Value,
        last: ir.Value,
    ) -> ir.Graph:
        """(step, going, rows [S, N]) -> the rows one step earlier, and the ids of this one."""
        count, going = declared("back.step", INT64), declared("back.going", BOOL)
        row = declared("back.row", INT64, "sources", self.n_best)
        e = Emitter(root)
        step = e.op("Sub", last, count)
        within = e.op("Less", step, lengths)
        symbol = e.op("GatherElements", e.op("Gather", symbols, step, axis=0), row, axis=1)
        parent = e.op("GatherElements", e.op("Gather", parents, step, axis=0), row, axis=1)
        outputs = [
            e.op("Identity", going),
            e.op("Where", within, parent, row),
            e.op("Where", within, symbol, e.constant(np.int64(fill(source)))),
        ]
        e.name_after("back.")
        return ir.Graph([count, going, row], outputs, nodes=e.nodes, name="back")

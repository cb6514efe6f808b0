"""One symbol for each row of logits: the most likely one, or one drawn as `Sampler` draws it."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from treadle.errors import ExportError
from treadle_export.one_call.stepping import DOUBLE
from treadle_export.passes.rewriting import Emitter


def likeliest(e: Emitter, logits: ir.Value) -> ir.Value:
    """Int64 [B]; of equal ones the lowest."""
    return e.op("ArgMax", logits, axis=-1, keepdims=0)


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is kept of a distribution, as `treadle.decoding.Sampler` has it; fixed in the file.

    Raises ExportError for values that make no sense.
    """

    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None

    def __post_init__(self) -> None:
        if self.top_k is not None and self.top_k < 1:
            raise ExportError(f"expected top_k of at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ExportError(f"expected top_p above 0 and at most 1, got {self.top_p}")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise ExportError(f"expected min_p from 0 to 1, got {self.min_p}")

    def drawn(
        self, e: Emitter, logits: ir.Value, temperature: ir.Value, uniform: ir.Value
    ) -> ir.Value:
        """Int64 [B]: the first symbol whose cumulative weight exceeds its row's share.

        logits [B, V]; temperature float64 []; uniform float64 [B], from [0, 1).
        """
        held = e.op("CumSum", self._weights(e, logits, temperature), e.constant(np.int64(-1)))
        total = e.op("Gather", held, e.axes(-1), axis=1)
        target = e.op("Mul", e.op("Unsqueeze", uniform, e.axes(1)), total)
        beyond = e.op("Cast", e.op("Greater", held, target), to=ir.DataType.INT32)
        return e.op("ArgMax", beyond, axis=-1, keepdims=0)

    def _weights(self, e: Emitter, logits: ir.Value, temperature: ir.Value) -> ir.Value:
        wide = e.op("Cast", logits, to=DOUBLE)
        behind = e.op("Sub", wide, e.op("ReduceMax", wide, e.axes(-1), keepdims=1))
        weights = e.op("Exp", e.op("Div", behind, temperature))
        weights = e.op("Div", weights, e.op("ReduceSum", weights, e.axes(-1), keepdims=1))
        if self.top_k is not None or self.top_p is not None:
            weights = self._truncated(e, weights)
        if self.min_p is not None:
            largest = e.op("ReduceMax", weights, e.axes(-1), keepdims=1)
            least = e.op("Mul", largest, e.constant(np.float64(self.min_p)))
            kept = e.op("GreaterOrEqual", weights, least)
            weights = e.op("Where", kept, weights, e.constant(np.float64(0)))
        return weights

    def _truncated(self, e: Emitter, weights: ir.Value) -> ir.Value:
        """What top_k and then top_p keep, at its places; of equal weights the lower id counts."""
        none = e.constant(np.float64(0))
        size = e.op("Shape", weights, start=1, end=2)
        ranked, order = e.ops("TopK", weights, size, outputs=2, axis=-1, largest=1, sorted=1)
        if self.top_k is not None:
            count = e.op("Squeeze", size)
            ranks = e.op("Range", e.constant(np.int64(0)), count, e.constant(np.int64(1)))
            within = e.op("Less", ranks, e.constant(np.int64(self.top_k)))
            ranked = e.op("Where", within, ranked, none)
        if self.top_p is not None:
            last, axis = e.axes(-1), e.constant(np.int64(-1))
            whole = e.op("Gather", e.op("CumSum", ranked, axis), last, axis=1)
            share = e.op("Mul", whole, e.constant(np.float64(self.top_p)))
            before = e.op("CumSum", ranked, axis, exclusive=1)
            ranked = e.op("Where", e.op("Less", before, share), ranked, none)
        empty = e.op("Mul", weights, none)
        return e.op("ScatterElements", empty, order, ranked, axis=1)

"""The recurrent nodes of a model, and the parts that ONNX gives each of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from treadle_export.passes.rewriting import MICROSOFT

STANDARD = ("", "ai.onnx")
"""Both names of ONNX's own domain."""

DYNAMIC_LSTM = "DynamicQuantizeLSTM"
"""What onnxruntime's dynamic quantization makes of an LSTM node; it has the same first inputs."""

_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
_OUTPUTS = ("Y", "Y_h", "Y_c")


@dataclass(frozen=True, slots=True)
class RecurrentLayer:
    """One LSTM, GRU or RNN node, or an LSTM that has been quantized dynamically."""

    node: ir.Node

    def given(self, name: str) -> ir.Value | None:
        """An input by ONNX's name for it; None when it is left out."""
        return _at(self.node.inputs, _INPUTS.index(name))

    def made(self, name: str) -> ir.Value | None:
        """An output by ONNX's name for it; None when it is left out."""
        return _at(self.node.outputs, _OUTPUTS.index(name))

    @property
    def states(self) -> tuple[tuple[str, str], ...]:
        """Names of each state at the start and at the end."""
        hidden, cell = ("initial_h", "Y_h"), ("initial_c", "Y_c")
        return (hidden, cell) if "LSTM" in self.node.op_type else (hidden,)

    @property
    def is_quantized(self) -> bool:
        """Whether its products are in integers."""
        return self.node.op_type == DYNAMIC_LSTM

    @property
    def direction(self) -> str:
        """`forward`, `reverse` or `bidirectional`."""
        return text(self.node, "direction") or "forward"

    @property
    def is_batch_first(self) -> bool:
        """Whether the batch is the first axis of X and of the states: layout=1."""
        return integer(self.node, "layout", 0) == 1

    @property
    def batch_axes(self) -> dict[str, int]:
        """The batch axis of every input that has one."""
        first = self.is_batch_first
        states = {start: 0 if first else 1 for start, _ in self.states}
        return {"X": 0 if first else 1, **states, "sequence_lens": 0}

    @property
    def time_axis(self) -> int:
        """The time axis of X."""
        return 1 if self.is_batch_first else 0


def layer_of(node: ir.Node) -> RecurrentLayer | None:
    """The recurrent layer that a node is, None when it is none."""
    standard = node.domain in STANDARD and node.op_type in ("LSTM", "GRU", "RNN")
    quantized = node.domain == MICROSOFT and node.op_type == DYNAMIC_LSTM
    return RecurrentLayer(node) if standard or quantized else None


def integer(node: ir.Node, name: str, default: int) -> int:
    """An integer attribute; the default where it is left out or of another type."""
    found = _attribute(node, name, ir.AttributeType.INT)
    return default if found is None else found.as_int()


def text(node: ir.Node, name: str) -> str | None:
    """A string attribute; None where it is left out or of another type."""
    found = _attribute(node, name, ir.AttributeType.STRING)
    return None if found is None else found.as_string()


def texts(node: ir.Node, name: str) -> tuple[str, ...]:
    """An attribute of strings; empty where it is left out or of another type."""
    found = _attribute(node, name, ir.AttributeType.STRINGS)
    return () if found is None else tuple(found.as_strings())


def integers_of(node: ir.Node, name: str) -> tuple[int, ...] | None:
    """An attribute of integers; None where it is left out or of another type."""
    found = _attribute(node, name, ir.AttributeType.INTS)
    return None if found is None else tuple(found.as_ints())


def _attribute(node: ir.Node, name: str, kind: ir.AttributeType) -> ir.Attr | None:
    found = node.attributes.get(name)
    return found if found is not None and not found.is_ref() and found.type == kind else None


def _at(values: Sequence[ir.Value | None], index: int) -> ir.Value | None:
    value = values[index] if index < len(values) else None
    # An output that is left out is there, without a name.
    return value if value is not None and (value.name or value.producer() is None) else None

"""What the checks look at: one opened file, its recurrent nodes, and words for its places."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from treadle_export.lint.opening import Opened
from treadle_export.lint.recurrences import RecurrentLayer, layer_of
from treadle_export.lint.tracing import Tracer

_NAMED = 3  # how many of many nodes a message names


@dataclass(frozen=True, slots=True)
class Subject:
    """One file under examination; `layers` are its recurrent nodes, wherever they are nested."""

    model: ir.Model
    zero_inputs: tuple[str, ...]
    tracer: Tracer
    layers: tuple[RecurrentLayer, ...]

    @classmethod
    def of(cls, opened: Opened) -> "Subject":
        """Finds the recurrent nodes of a file."""
        tracer = Tracer(opened.model)
        layers = (layer_of(node) for node in tracer.nodes)
        found = tuple(layer for layer in layers if layer is not None)
        return cls(opened.model, opened.zero_inputs, tracer, found)

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """Every node, those of bodies and functions included."""
        return self.tracer.nodes

    def place(self, node: ir.Node) -> str:
        """The node in words, with the nodes it is nested in."""
        words, owner = f"{node.op_type} node {label(node)!r}", self.tracer.owner(node.graph)
        while owner is not None:
            words += f" inside {owner.op_type} node {label(owner)!r}"
            owner = self.tracer.owner(owner.graph)
        return words


def label(node: ir.Node) -> str:
    """The node's name, or that of its first output where it has none."""
    return node.name or next((value.name for value in node.outputs if value.name), node.op_type)


def listed(names: Sequence[str]) -> str:
    """A few names, and how many more there are."""
    shown, more = [repr(name) for name in names[:_NAMED]], len(names) - _NAMED
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")

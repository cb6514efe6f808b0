"""Pads the width of non-linearities to a multiple of 16.

Vector kernels of functions such as Tanh treat the last elements of a flattened tensor by another
path: on 64-bit Arm a row's last bits would then depend on how many rows stand before it. With every
row a multiple of 16 wide there is no such rest. Widths that are aligned already cost nothing.
"""

import onnx_ir as ir

from treadle_export.passes.rewriting import Emitter

WIDTH = 16
_NONLINEAR = frozenset({"Sigmoid", "Tanh", "HardSigmoid", "Elu", "Softplus", "Softsign"})
"""Those that round; what only chooses, as Relu does, is the same on any path."""

_WHERE_KNOWN = frozenset({"Exp", "Log"})
"""Those that are aligned where their width is a number: others are as wide as a sequence is long,
and a row is then read alone, or with others of its length."""


class AlignActivations(ir.passes.InPlacePass):
    """Surrounds each unaligned non-linearity by Pad and Slice.

    Requires: the width of every such node is known.
    Ensures: each of them works on a multiple of 16 columns.
    """

    def _nodes(self, model: ir.Model) -> list[ir.Node]:
        nodes = ir.traversal.RecursiveGraphIterator(model.graph)
        return [
            node
            for node in nodes
            if node.op_type in _NONLINEAR or (node.op_type in _WHERE_KNOWN and _width(node))
        ]

    def requires(self, model: ir.Model) -> None:
        for node in self._nodes(model):
            if _width(node) is None:
                raise ir.passes.PreconditionError(f"the width of {node.name!r} is not known")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        unaligned = [node for node in self._nodes(model) if (_width(node) or 0) % WIDTH]
        for node in unaligned:
            _align(node, model.graph)
        return ir.passes.PassResult(model, modified=bool(unaligned))

    def ensures(self, model: ir.Model) -> None:
        if any((_width(node) or 0) % WIDTH for node in self._nodes(model)):
            raise ir.passes.PostconditionError("an unaligned non-linearity is left")


def _width(node: ir.Node) -> int | None:
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    return shape[-1] if shape is not None and isinstance(shape[-1], int) else None


def _align(node: ir.Node, root: ir.Graph) -> None:
    e, width = Emitter(root), _width(node)
    (x,) = node.inputs
    if width is None or x is None or x.shape is None:
        raise ValueError(f"the width of {node.name!r} is not known")
    padded_width = -(-width // WIDTH) * WIDTH
    last = e.axes(-1)
    padded = e.op("Pad", x, e.axes(0, padded_width - width), None, last)
    padded.shape = ir.Shape([*x.shape[:-1], padded_width])
    padded.type = ir.TensorType(ir.DataType.FLOAT)
    attributes = {key: attribute.value for key, attribute in node.attributes.items()}
    wide = e.op(node.op_type, padded, **attributes)
    e.replace(node, e.op("Slice", wide, e.axes(0), e.axes(width), last))

"""Products in blocks for kernels that keep activations in float and take no bias.

Operator: com.microsoft MatMulNBits; onnxruntime's CUDA kernel of it is such a one.
"""

import onnx_ir as ir

from treadle_export.passes.rewriting import Emitter, given

FLOAT_ACTIVATIONS = 1  # of the attribute accuracy_level: float32
_BIAS = 5  # input of MatMulNBits


class FloatBlocks(ir.passes.InPlacePass):
    """Adds the bias of each MatMulNBits by a node of its own; activations stay float32.

    Ensures: no MatMulNBits has a bias, and each says `accuracy_level` 1.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        nodes = [node for node in _products(model) if _bias(node) or not _floats(node)]
        for node in nodes:
            _rewrite(node, model.graph)
        return ir.passes.PassResult(model, modified=bool(nodes))

    def ensures(self, model: ir.Model) -> None:
        if any(_bias(node) is not None or not _floats(node) for node in _products(model)):
            raise ir.passes.PostconditionError("a product in blocks has a bias, or rounds")


def _products(model: ir.Model) -> list[ir.Node]:
    nodes = ir.traversal.RecursiveGraphIterator(model.graph)
    return [node for node in nodes if node.op_type == "MatMulNBits"]


def _bias(node: ir.Node) -> ir.Value | None:
    return node.inputs[_BIAS] if len(node.inputs) > _BIAS else None


def _floats(node: ir.Node) -> bool:
    return node.attributes.get_int("accuracy_level", 0) == FLOAT_ACTIVATIONS


def _rewrite(node: ir.Node, root: ir.Graph) -> None:
    e, bias = Emitter(root), _bias(node)
    attributes = {name: value.value for name, value in node.attributes.items()}
    inputs = [given(node, 0), given(node, 1), given(node, 2), *node.inputs[3:_BIAS]]
    while inputs[-1] is None:
        inputs.pop()
    product = e.op(
        node.op_type,
        *inputs,
        domain=node.domain,
        **{**attributes, "accuracy_level": FLOAT_ACTIVATIONS},
    )
    e.replace(node, product if bias is None else e.op("Add", product, bias))

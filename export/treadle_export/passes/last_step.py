"""Takes each row's last valid step out of a sequence before its head, not behind it.

A prompt is read for the outputs of its last step; the head of a large vocabulary at all the steps
before would be most of the work. What treats each step alone commutes with the choice of a step.

Operator: ONNX GatherND.
"""

import onnx_ir as ir

from treadle_export.passes.products import is_product
from treadle_export.passes.rewriting import Emitter, constant_array, given

_RANK = 3  # [batch, time, features]
_TIME = 1
_STEPWISE = frozenset(
    {"Add", "Sub", "Mul", "Div", "Cast", "Neg", "Identity", "Clip"}
    | {"Tanh", "Sigmoid", "Relu", "LeakyRelu", "HardSigmoid", "Elu", "Softplus", "Softsign"}
)
_OVER_FEATURES = frozenset({"Softmax", "LogSoftmax"})


class LastStep(ir.passes.InPlacePass):
    """Makes outputs [batch, time, features] the outputs [batch, features] of the last valid step.

    outputs: their names; lengths: name of the input with the number of valid steps, at least 1.
    Requires: the shapes of values are inferred, as far as they can be.
    Ensures: each of the outputs is chosen by lengths.

    `weights` says after the call how many weights stand behind the choice, in products.
    """

    def __init__(self, outputs: tuple[str, ...], lengths: str) -> None:
        super().__init__()
        self.outputs = outputs
        self.lengths = lengths
        self.weights = 0

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        lengths = next(value for value in graph.inputs if value.name == self.lengths)
        e = Emitter(graph)
        last = e.op("Sub", lengths, e.constant([1], "prompt.one"))
        choice = _Choice(e, e.op("Unsqueeze", last, e.axes(1, 2)))
        for index, output in enumerate(graph.outputs):
            if output.name in self.outputs:
                chosen = e.op("Squeeze", choice.of(output), e.axes(_TIME))
                chosen.type = output.type
                output.name, chosen.name = f"{output.name}.every", output.name
                graph.outputs[index] = chosen
        e.name_after("prompt.")
        graph.extend(e.nodes)
        self.weights = choice.weights
        ir.passes.common.RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, modified=True)

    def ensures(self, model: ir.Model) -> None:
        for value in model.graph.outputs:
            node = value.producer()
            if value.name in self.outputs and (node is None or node.op_type != "Squeeze"):
                raise ir.passes.PostconditionError(f"{value.name} has all its steps")


class _Choice:
    """Values [batch, time, features] at one step a row: [batch, 1, features], each made once."""

    def __init__(self, e: Emitter, steps: ir.Value) -> None:
        self._e = e
        self._steps = steps
        self._known: dict[ir.Value, ir.Value] = {}
        self.weights = 0

    def of(self, value: ir.Value) -> ir.Value:
        if value not in self._known:
            self._known[value] = self._chosen(value)
        return self._known[value]

    def _chosen(self, value: ir.Value) -> ir.Value:
        node = value.producer()
        if node is None or not _is_stepwise(node):
            return self._e.op("GatherND", value, self._steps, batch_dims=1)
        weights = constant_array(node.inputs[1]) if is_product(node) else None
        self.weights += 0 if weights is None else weights.size
        inputs = [
            self.of(x) if x is not None and constant_array(x) is None else x for x in node.inputs
        ]
        attributes = {key: attr.value for key, attr in node.attributes.items()}
        return self._e.op(node.op_type, *inputs, domain=node.domain, **attributes)


def _is_stepwise(node: ir.Node) -> bool:
    """Whether each step of the output depends on that step of the inputs alone."""
    if is_product(node):
        return _rank(given(node, 0)) == _RANK
    if node.op_type in _OVER_FEATURES:
        over = node.attributes.get_int("axis", -1)
        return over in (-1, _RANK - 1) and _rank(given(node, 0)) == _RANK
    if node.op_type not in _STEPWISE or node.domain:
        return False
    return all(_fits(value) for value in node.inputs if value is not None)


def _fits(value: ir.Value) -> bool:
    """Whether a value is spread over the steps, or is the same at each."""
    array = constant_array(value)
    return _rank(value) == _RANK if array is None else array.ndim <= 1


def _rank(value: ir.Value) -> int | None:
    return None if value.shape is None else len(value.shape)

"""What every pass needs to write new nodes: an emitter, and the replacement of a node."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import ArrayLike, NDArray
from onnx_ir.convenience import replace_all_uses_with

from treadle.errors import ExportError

MICROSOFT = "com.microsoft"
"""The domain of onnxruntime's own operators."""

SMALL = 64  # elements; a constant below is named after its content and written once a graph


class Emitter:
    """Collects the nodes of one rewrite; `root` is the graph that holds the initializers."""

    def __init__(self, root: ir.Graph) -> None:
        self.root = root
        self.tape = ir.tape.Tape()

    @property
    def nodes(self) -> Sequence[ir.Node]:
        """What has been emitted so far."""
        return self.tape.nodes

    def op(
        self, op_type: str, *inputs: ir.Value | None, domain: str = "", **attributes: Any
    ) -> ir.Value:
        """One node with one output."""
        return self.tape.op(op_type, inputs, attributes or None, domain=domain)

    def ops(
        self,
        op_type: str,
        *inputs: ir.Value | None,
        outputs: int,
        domain: str = "",
        **attributes: object,
    ) -> Sequence[ir.Value]:
        """One node with several outputs."""
        return self.tape.op_multi_out(
            op_type,
            inputs,
            attributes or None,  # type: ignore[arg-type]
            num_outputs=outputs,
            domain=domain,
        )

    def constant(self, array: ArrayLike, name: str | None = None) -> ir.Value:
        """An initializer of the root graph; one that is already there is used again."""
        array = np.asarray(array)
        if name is None or array.size < SMALL:
            content = hashlib.sha256(array.tobytes()).hexdigest()[:12]
            shape = "x".join(map(str, array.shape)) or "scalar"
            name = f"constant.{array.dtype}.{shape}.{content}"
        known = self.root.initializers.get(name)
        if known is not None:
            return known
        tensor = ir.Tensor(array, name=name)
        value = ir.Value(
            name=name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        self.root.register_initializer(value)
        return value

    def axes(self, *axes: int) -> ir.Value:
        """The int64 list that Squeeze, Unsqueeze, Split and Reshape take as an input."""
        return self.constant(np.array(axes, np.int64))

    def name_after(self, prefix: str) -> None:
        """Names nodes and values. A graph would do it too, but not apart from graphs inside it."""
        for position, node in enumerate(self.nodes):
            node.name = node.name or f"{prefix}{position}"
            for index, value in enumerate(node.outputs):
                value.name = value.name or f"{prefix}{position}.{index}"

    def replace(self, node: ir.Node, *values: ir.Value | None) -> None:
        """Puts the emitted nodes where `node` stood; `values` take the place of its outputs."""
        graph = node.graph
        if graph is None:
            raise ValueError(f"{node.name} belongs to no graph")
        named = (value.name for value in node.outputs if value.name)  # an output may be left out
        self.name_after(f"{next(named, node.name)}.")
        graph.insert_before(node, self.nodes)
        for old, new in zip(node.outputs, values, strict=False):
            if new is not None:
                substitute(old, new)
        graph.remove(node, safe=True)


def applied(passes: Sequence[ir.passes.PassBase], model: ir.Model) -> ir.Model:
    """The model after all passes, in order. An ExportError within one is raised as it is."""
    try:
        return ir.passes.Sequential(*passes)(model).model if passes else model
    except ir.passes.PassError as error:
        if isinstance(error.__cause__, ExportError):
            raise error.__cause__ from None
        raise


def substitute(old: ir.Value, new: ir.Value) -> None:
    """Lets `new` do for every use of `old`; a graph output keeps its name, type and shape."""
    new.type = new.type or old.type
    new.shape = new.shape or old.shape
    for key, mark in old.meta.items():
        new.meta.setdefault(key, mark)
    if old.is_graph_output():
        old_name, old.name = old.name, None
        new.name = old_name
        new.type, new.shape = old.type, old.shape
    replace_all_uses_with(old, new, replace_graph_outputs=True)


def constant_array(value: ir.Value | None) -> NDArray[np.generic] | None:
    """The array behind an initializer, or behind the Transpose of one, None for anything else."""
    if value is None or value.is_graph_input():
        return None
    node = value.producer()
    if node is not None and node.op_type == "Transpose":
        array = constant_array(node.inputs[0])
        return None if array is None else array.transpose(node.attributes.get_ints("perm", None))
    if value.const_value is None:
        return None
    return value.const_value.numpy()


def constant_floats(value: ir.Value | None) -> NDArray[np.float32] | None:
    """As `constant_array`, None for anything that is not float32."""
    array = constant_array(value)
    if array is None or array.dtype != np.float32:
        return None
    return array.astype(np.float32, copy=False)


def given(node: ir.Node, index: int) -> ir.Value:
    """An input that a node cannot do without. Raises ExportError where it is left out."""
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None:
        raise ExportError(
            f"expected input {index} of {node.op_type} node {node.name!r}, got none; "
            f"the graph is not valid ONNX: check it with onnx.checker"
        )
    return value

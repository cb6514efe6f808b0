"""Which operators an engine has kernels for, and which element types these take.

The table of CPU kernels is the installed engine's own: onnxruntime lists every registered kernel
(`get_all_opkernel_def`, also the source of its page docs/OperatorKernels.md), and its schemas say
which inputs a kernel's type parameters are about. Both were there in 1.23 and are in 1.32.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import onnx
import onnx_ir as ir
from onnxruntime.capi import onnxruntime_pybind11_state as engine

Types = Mapping[str, frozenset[str]]
"""Type parameter of an operator's schema -> element types; other parameters are free."""

Table = Mapping[str, Sequence[Types]]
"""`domain:operator` -> the kernels that it has."""

ONNX_DOMAIN = "ai.onnx"
_OPEN = 2**31 - 1  # end of a version range that has none


def operator_of(node: ir.Node) -> str:
    """The operator as tables and manifests name it, `domain:operator`."""
    return f"{node.domain or ONNX_DOMAIN}:{node.op_type}"


@cache
def cpu_kernels(opset: int) -> Table:
    """The kernels that the installed engine runs on a CPU at an opset.

    Where a kernel takes float32 but not float16, the engine puts casts around the node
    (InsertCastTransformer), so such a kernel stands here as one of both.
    """
    table: dict[str, list[Types]] = {}
    for kernel in engine.get_all_opkernel_def():
        since = _since(kernel.domain, kernel.op_name, opset)
        if kernel.provider == "CPUExecutionProvider" and _serves(kernel.version_range, since):
            named = f"{kernel.domain or ONNX_DOMAIN}:{kernel.op_name}"
            types = {name: _elements(types) for name, types in kernel.type_constraints.items()}
            table.setdefault(named, []).append(types)
    for domain, name in _schemas(opset):
        if domain == "" and f"{ONNX_DOMAIN}:{name}" not in table and _is_function(name, opset):
            table[f"{ONNX_DOMAIN}:{name}"] = [{}]
    return table


def _is_function(name: str, opset: int) -> bool:
    """Whether ONNX defines the operator by others, which the engine puts in its place."""
    try:
        schema = onnx.defs.get_schema(name, opset)
    except onnx.defs.SchemaError:
        return False
    # The stubs of onnx lack both.
    return any(getattr(schema, f"has_{kind}function") for kind in ("", "context_dependent_"))


def _since(domain: str, name: str, opset: int) -> int | None:
    """The version of an operator's definition that is in force at the opset of ONNX."""
    schema = _schemas(opset).get((domain, name))
    return None if schema is None else int(schema.since_version)


def _serves(versions: tuple[int, int], since: int | None) -> bool:
    """As onnxruntime matches them: a range without an end serves its first version only."""
    first, last = versions
    return since is not None and (since == first or (last != _OPEN and first <= since <= last))


def _elements(types: Sequence[str]) -> frozenset[str]:
    tensors = (name[7:-1] for name in types if name.startswith("tensor("))
    known = frozenset(tensors)
    return known | {"float16"} if "float" in known else known


@cache
def _schemas(opset: int) -> dict[tuple[str, str], Any]:
    """(domain, operator) -> the newest definition that is not newer than the opset."""
    newest: dict[tuple[str, str], Any] = {}
    for schema in engine.get_all_operator_schema():
        key = (schema.domain, schema.name)
        version = schema.since_version if schema.domain == "" else 1
        if version <= opset and (key not in newest or newest[key].since_version < version):
            newest[key] = schema
    return newest


def misfit(node: ir.Node, table: Table, opset: int) -> str | None:
    """Why no kernel of the table runs the node, or None: there is none, or none for its types.

    Requires: types of values are inferred.
    """
    operator = operator_of(node)
    if operator == f"{ONNX_DOMAIN}:Constant":  # becomes an initializer when a session opens
        return None
    kernels = table.get(operator)
    if kernels is None:
        return "there is no kernel for it"
    found = _types_of(node, opset)
    for kernel in kernels:
        if all(found.get(name, frozenset()) <= types for name, types in kernel.items()):
            return None
    named = ", ".join(sorted(frozenset().union(*found.values())))
    return f"no kernel for it takes these types ({named})"


def _types_of(node: ir.Node, opset: int) -> dict[str, frozenset[str]]:
    """Type parameter -> element types of the values that the node has for it."""
    schema = _schemas(opset).get((node.domain, node.op_type))
    found: dict[str, set[str]] = {}
    if schema is not None:
        for formal, values in ((schema.inputs, node.inputs), (schema.outputs, node.outputs)):
            for parameter, value in _paired(formal, values):
                if value is not None and value.dtype is not None:
                    found.setdefault(parameter.typeStr, set()).add(value.dtype.name.lower())
    return {name: frozenset(types) for name, types in found.items()}


def _paired(formal: Sequence[Any], values: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Each value with its formal parameter; the last one may stand for many."""
    for index, value in enumerate(values if formal else ()):
        yield formal[min(index, len(formal) - 1)], value

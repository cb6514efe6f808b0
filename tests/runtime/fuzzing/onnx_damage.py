"""Edits of the fields of an ONNX file: sizes, places in other files, attributes, names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
from google.protobuf.message import DecodeError, Message

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from tests.runtime.fuzzing.sound import Files

_SIZES = [
    0,
    1,
    -1,
    2,
    3,
    2**16,
    2**31 - 1,
    2**31,
    2**32,
    2**40,
    2**62,
    2**63 - 1,
    -(2**31),
    -(2**63),
]
_PLACES = [
    "../outside.bin", "/etc/passwd", "..", ".", "", "missing.bin", "manifest.json", "/dev/zero",
    "/dev/stdin", "unlisted.bin", "step.onnx", "./step.bin", "*/_ORT_MEM_ADDR_/*",
    "*/_ORT_MEM_ADDR_2/*", "step.bin/..", "C:\\x", "\\\\server\\x", "a" * 5000,
]  # fmt: skip
_TEXTS = ["", "x", "LSTM", "token", "logits", "Identity", "com.microsoft", "é", "a" * 3000, "Loop"]


def edit_onnx(chance: random.Random, files: Files) -> None:
    names = [name for name in sorted(files) if name.endswith(".onnx")]
    if not names:
        return
    name = chance.choice(names)
    try:
        model = onnx.load_model_from_string(files[name])
    except (DecodeError, UnicodeDecodeError, ValueError):  # damaged before
        return
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        chance.choice(_EDITS)(chance, model)
    try:
        files[name] = model.SerializeToString()
    except (UnicodeEncodeError, ValueError):
        return


def _tensor_dims(chance: random.Random, model: onnx.ModelProto) -> None:
    if tensor := _any(chance, model.graph.initializer):
        if tensor.dims and chance.random() < 0.7:
            tensor.dims[chance.randrange(len(tensor.dims))] = _size(chance)
        elif chance.random() < 0.5:
            tensor.dims.append(_size(chance))
        else:
            del tensor.dims[:]


def _tensor_data(chance: random.Random, model: onnx.ModelProto) -> None:
    if not (tensor := _any(chance, model.graph.initializer)):
        return
    match chance.randrange(4):
        case 0:
            tensor.data_type = chance.choice([*range(30), 255, 2**31 - 1, -1])
        case 1:
            tensor.raw_data = chance.randbytes(chance.choice([0, 1, len(tensor.raw_data)]))
        case 2:
            tensor.float_data.extend([1.0] * chance.choice([1, 16]))
        case 3:
            tensor.int64_data.extend([chance.choice(_SIZES)] * chance.choice([1, 16]))


def _external(chance: random.Random, model: onnx.ModelProto) -> None:
    if not (tensor := _any(chance, model.graph.initializer)):
        return
    if tensor.data_location != onnx.TensorProto.EXTERNAL or chance.random() < 0.2:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        del tensor.external_data[:]
        for key, value in (
            ("location", chance.choice(_PLACES)),
            ("offset", str(chance.choice([0, 1, *_SIZES]))),
            ("length", str(chance.choice([0, 64, *_SIZES]))),
        ):
            if chance.random() < 0.8:
                tensor.external_data.add(key=key, value=value)
        return
    entry = chance.choice(list(tensor.external_data))
    match chance.randrange(4):
        case 0:
            entry.value = chance.choice(_PLACES)
        case 1:
            entry.value = str(_size(chance))
        case 2:
            entry.value = chance.choice(["", "x", "1e3", "-", "0x10", " 1", "9" * 40, "1 2"])
        case 3:
            entry.key = chance.choice(["location", "offset", "length", "checksum", ""])


def _value_shape(chance: random.Random, model: onnx.ModelProto) -> None:
    graph = model.graph
    if value := _any(chance, [*graph.input, *graph.output, *graph.value_info]):
        dims = value.type.tensor_type.shape.dim
        if dims and chance.random() < 0.8:
            chance.choice(list(dims)).dim_value = _size(chance)
        else:
            dims.add(dim_value=_size(chance))


def _attribute(chance: random.Random, model: onnx.ModelProto) -> None:
    attributes = [a for node in model.graph.node for a in node.attribute]
    if attribute := _any(chance, attributes):
        if attribute.ints and chance.random() < 0.8:
            attribute.ints[chance.randrange(len(attribute.ints))] = _size(chance)
        elif chance.random() < 0.8:
            attribute.i = _size(chance)
        else:
            attribute.type = chance.choice(list(range(15)))


def _new_attribute(chance: random.Random, model: onnx.ModelProto) -> None:
    if node := _any(chance, model.graph.node):
        names = ["axis", "axes", "perm", "hidden_size", "layout", "to", "keepdims", "batch_axis"]
        value = [_size(chance)] if chance.random() < 0.5 else _size(chance)
        node.attribute.append(onnx.helper.make_attribute(chance.choice(names), value))


def _wiring(chance: random.Random, model: onnx.ModelProto) -> None:
    node, other = (_any(chance, model.graph.node) for _ in range(2))
    if node is None or other is None:
        return
    names = [*node.input, *other.input, *other.output, ""]
    match chance.randrange(5):
        case 0 if node.input:
            node.input[chance.randrange(len(node.input))] = chance.choice(names)
        case 1 if node.input:
            del node.input[-1]
        case 2:
            node.input.append(chance.choice(names))
        case 3:
            node.output.append(chance.choice(names))
        case _:
            node.op_type = other.op_type


def _any_field(chance: random.Random, model: onnx.ModelProto) -> None:
    """Any field of any message, whatever it means."""
    message = chance.choice(list(_messages(model)))
    field, value = chance.choice(message.ListFields() or [(None, None)])
    if field is None:
        return
    if chance.random() < 0.15:
        message.ClearField(field.name)
    elif field.is_repeated and chance.random() < 0.5:
        del value[chance.randrange(len(value))]
    elif field.is_repeated:
        value.append(value[chance.randrange(len(value))])
    elif isinstance(value, int):
        setattr(message, field.name, _fitting(chance, field))
    elif isinstance(value, str):
        setattr(message, field.name, chance.choice(_TEXTS))
    elif isinstance(value, float):
        setattr(message, field.name, chance.choice([0.0, -1.0, 1e38, float("nan"), float("inf")]))
    elif isinstance(value, bytes):
        setattr(message, field.name, chance.randbytes(chance.choice([0, 1, len(value)])))


def _fitting(chance: random.Random, field: Any) -> int:
    if field.enum_type is not None:
        return int(chance.choice(field.enum_type.values).number)
    bits = 32 if field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_UINT32) else 64
    return chance.choice([size for size in _SIZES if -(2 ** (bits - 1)) <= size < 2 ** (bits - 1)])


def _messages(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                yield from _messages(part)


def _any(chance: random.Random, items: Any) -> Any:
    items = list(items)
    return chance.choice(items) if items else None


def _size(chance: random.Random) -> int:
    return chance.choice(_SIZES)


_EDITS: list[Callable[[random.Random, onnx.ModelProto], None]] = [
    _tensor_dims,
    _tensor_data,
    _external,
    _external,
    _value_shape,
    _attribute,
    _new_attribute,
    _wiring,
    _any_field,
    _any_field,
]

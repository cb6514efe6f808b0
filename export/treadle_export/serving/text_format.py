"""Protocol buffers' text format, as far as a configuration needs it.

Source: the language's specification, https://protobuf.dev/reference/protobuf/textformat-spec.
"""

import json
from collections.abc import Iterator, Mapping

Message = Mapping[str, object]


class Name(str):
    """A constant of an enumeration, which is written without quotes."""

    __slots__ = ()


def text_format(message: Message) -> str:
    """The message as text, a field a line; fields of a list are repeated."""
    return "".join(_lines(message, ""))


def _lines(message: Message, indent: str) -> Iterator[str]:
    for key, value in message.items():
        if isinstance(value, list) and not any(isinstance(one, Mapping) for one in value):
            yield f"{indent}{key}: [{', '.join(map(_scalar, value))}]\n"
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Mapping):
                yield f"{indent}{key} {{\n"
                yield from _lines(one, indent + "  ")
                yield f"{indent}}}\n"
            else:
                yield f"{indent}{key}: {_scalar(one)}\n"


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Name | int):
        return str(value)
    return json.dumps(value)  # names of a bundle are printable: both escape them alike

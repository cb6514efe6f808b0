"""Edits of fields of the manifest and of vocabularies: gone, of another type, huge, nonsense."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tests.runtime.fuzzing.sound import Files

_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 17, 255, 2**31 - 1, 2**31, 2**40, 2**63, -(2**63), 10**30,
    0.5, -0.0, 1e308, "", "x", "\0", "\ud800", "é" * 40, "a" * 5000, "../secret", "/etc/passwd",
    "manifest.json", "step.onnx", "sequence.onnx", "symbols.json", "batch", "time", "float32",
    "int64", "bool", "zeros", "float16", [], {}, ["batch"], ["batch", 2**31 - 1],
    ["batch", 2**20, 2**20], ["batch", -1], [[[[[]]]]], {"file": "step.onnx", "name": "x"},
    {"from": "encode", "output": "keys"}, {"a": {"b": {"c": 1}}},
]  # fmt: skip


def edit_json(chance: random.Random, files: Files) -> None:
    names = [name for name in sorted(files) if name.endswith(".json")]
    # The manifest has the more fields, and the more that lean on them.
    name = "manifest.json" if chance.random() < 0.7 and "manifest.json" in names else None
    name = name or chance.choice(names)
    try:
        document = json.loads(files[name])
    except ValueError:  # damaged before
        return
    holders = list(_holders(document))
    if not holders:
        return
    if chance.random() < 0.3:
        _edit_everywhere(chance, holders)
    else:
        for _ in range(chance.choice([1, 1, 1, 2, 4])):
            _edit(chance, chance.choice(holders))
    files[name] = json.dumps(document).encode()


def _holders(node: Any) -> Iterator[Any]:
    """All objects and lists that hold something."""
    if isinstance(node, dict | list) and node:
        yield node
        for part in node.values() if isinstance(node, dict) else node:
            yield from _holders(part)


def _edit(chance: random.Random, holder: Any) -> None:
    if not holder:
        return
    key = chance.choice(list(holder)) if isinstance(holder, dict) else chance.randrange(len(holder))
    match chance.randrange(6):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[chance.choice(["surprise", "", "../up", "step.onnx", "a\0b"])] = holder.pop(key)
        case 1:
            holder.append(holder[key])
        case 2 if isinstance(holder, list):
            chance.shuffle(holder)
        case 2:
            other = chance.choice(list(holder))
            holder[key], holder[other] = holder[other], holder[key]
        case _:
            holder[key] = chance.choice(_VALUES)


def _edit_everywhere(chance: random.Random, holders: list[Any]) -> None:
    """One plain value in every place where it is: parts that must agree go on agreeing."""
    places = [
        (holder, key)
        for holder in holders
        for key in (holder if isinstance(holder, dict) else range(len(holder)))
        if not isinstance(holder[key], dict | list)
    ]
    if not places:
        return
    holder, key = chance.choice(places)
    old, new = holder[key], chance.choice(_VALUES)
    for holder, key in places:
        if type(holder[key]) is type(old) and holder[key] == old:
            holder[key] = new

"""Names for the tensors that go into a module's `forward` and for those that come out.

What goes in is named after forward's parameters, what comes out after the keys of a dict or the
fields of a NamedTuple or dataclass, else `output`; several under one name are numbered: `output`,
`output_1`, `output_2`.
"""

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from treadle.errors import UnsupportedGraph

Visit = Callable[[str, Any], Any]


class Call:
    """One way to call a module: its example's tensors by name, everything else as it was given.

    tensors: name -> example, float32 where it has another float type, in the order in which forward
        takes them.
    parameters: name -> the parameter of forward that the tensor belongs to.
    """

    def __init__(self, module: nn.Module, example: Any) -> None:
        self._bound = _bound(module, example)
        prefixes: list[str] = []
        found: list[Tensor] = []
        self._listed: list[bool] = []

        def note(name: str, leaf: Any) -> Any:
            prefixes.append(name)
            found.append(_as_tensor(name, leaf))
            self._listed.append(isinstance(leaf, list))
            return leaf

        self._map(note)
        names = _numbered(prefixes)
        self.tensors: dict[str, Tensor] = dict(zip(names, found, strict=True))
        owners = (prefix.partition(".")[0] for prefix in prefixes)
        self.parameters: dict[str, str] = dict(zip(names, owners, strict=True))

    def arguments(
        self, tensors: Iterable[Tensor], *, as_lists: bool
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Args and kwargs of the call, with these tensors in the order of `self.tensors`.

        as_lists: whether what forward takes as a list of numbers becomes one; a list cannot be
            traced, the tensor in its place can.
        """
        rest = iter(zip(tensors, self._listed, strict=True))

        def put(_: str, __: Any) -> Any:
            tensor, listed = next(rest)
            return tensor.tolist() if listed and as_lists else tensor

        bound = inspect.BoundArguments(self._bound.signature, self._map(put))
        return bound.args, bound.kwargs

    def _map(self, visit: Visit) -> dict[str, Any]:
        kinds = self._bound.signature.parameters
        return {
            name: {key: _mapped(given, str(key), visit) for key, given in value.items()}
            if kinds[name].kind is inspect.Parameter.VAR_KEYWORD
            else _mapped(value, name, visit)
            for name, value in self._bound.arguments.items()
        }


def _bound(module: nn.Module, example: Any) -> inspect.BoundArguments:
    """The example as arguments of forward: a dict by name, a tuple by place, a tensor alone.

    Raises:
        UnsupportedGraph: forward does not take them.
    """
    signature = inspect.signature(module.forward)
    try:
        if isinstance(example, Mapping):
            return signature.bind(**example)
        alone = not isinstance(example, tuple) or isinstance(example, PackedSequence)
        return signature.bind(*((example,) if alone else example))
    except TypeError as error:
        raise UnsupportedGraph(
            f"expected example inputs that {type(module).__name__}.forward{signature} takes, got "
            f"{_described(example)}: {error}; give a tuple in the order of its parameters or a "
            f"dict by their names"
        ) from error


def _described(example: Any) -> str:
    if isinstance(example, Mapping):
        return f"a dict of {', '.join(map(str, example)) or 'nothing'}"
    return f"{len(example)} of them" if isinstance(example, tuple) else type(example).__name__


def _as_tensor(name: str, leaf: Any) -> Tensor:
    if isinstance(leaf, PackedSequence):
        raise UnsupportedGraph(
            f"expected tensors as example inputs, got a PackedSequence for {name!r}; give the "
            f"padded tensor and its lengths, and pack them inside forward"
        )
    tensor = leaf.detach().cpu() if isinstance(leaf, Tensor) else torch.as_tensor(leaf)
    return tensor.float() if tensor.is_floating_point() else tensor


def _is_leaf(value: Any) -> bool:
    if isinstance(value, Tensor | np.ndarray | PackedSequence):
        return True
    return isinstance(value, list) and bool(value) and all(type(item) is int for item in value)


def _mapped(value: Any, name: str, visit: Visit) -> Any:
    """`value` with `visit(name, leaf)` in the place of each tensor in it; the rest stays."""
    if _is_leaf(value):
        return visit(name, value)
    if isinstance(value, Mapping):
        return {key: _mapped(item, _joined(name, key), visit) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        items = zip(value._fields, value, strict=True)
        return type(value)(*(_mapped(item, _joined(name, field), visit) for field, item in items))
    if isinstance(value, list | tuple):
        return type(value)(_mapped(item, name, visit) for item in value)
    return value


def _joined(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)


def named_outputs(outputs: Any) -> dict[str, Tensor]:
    """The tensors in what forward returned, by name; what is no tensor is left out.

    Raises:
        UnsupportedGraph: there is none.
    """
    prefixes: list[str] = []
    found: list[Tensor] = []

    def note(name: str, leaf: Any) -> Any:
        if isinstance(leaf, PackedSequence):
            raise UnsupportedGraph(
                "expected outputs that are tensors, got a PackedSequence; pad it in forward with "
                "pad_packed_sequence"
            )
        if isinstance(leaf, Tensor):
            prefixes.append(name or "output")
            found.append(leaf)
        return leaf

    _mapped(_as_mapping(outputs), "", note)
    if not found:
        raise UnsupportedGraph(
            f"expected forward to return tensors, or tuples or dicts of them, got "
            f"{type(outputs).__name__}"
        )
    return dict(zip(_numbered(prefixes), found, strict=True))


def _as_mapping(outputs: Any) -> Any:
    if dataclasses.is_dataclass(outputs) and not isinstance(outputs, type | Mapping):
        names = (field.name for field in dataclasses.fields(outputs))
        return {name: getattr(outputs, name) for name in names}
    return outputs


def _numbered(prefixes: Iterable[str]) -> list[str]:
    """Each name once: the second of a kind gets `_1`, the third `_2`."""
    names: list[str] = []
    for prefix in prefixes:
        candidates = _candidates(prefix)
        names.append(next(name for name in candidates if name not in names))
    return names


def _candidates(prefix: str) -> Iterator[str]:
    yield prefix
    number = 0
    while True:
        number += 1
        yield f"{prefix}_{number}"

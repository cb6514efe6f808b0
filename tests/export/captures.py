"""Exports in tests: torch's table of operators is read once, and a network captured once."""

from __future__ import annotations

import copy
import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from torch.onnx._internal.exporter import _registration

from treadle_export.capturing.network import capture
from treadle_export.exporting import material, whole_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle_export.canonical import CanonicalModel
    from treadle_train.networks import Network


@contextmanager
def operators_once() -> Iterator[None]:
    """torch compiles its table of 500 operators anew for every graph: a fifth of a capture."""
    read = _registration.ONNXRegistry.from_torchlib
    tables: dict[Any, Any] = {}

    def kept(*version: Any, **named: Any) -> Any:
        key = (*version, *named.values())
        if key not in tables:
            tables[key] = read(*version, **named)
        table = copy.copy(tables[key])
        table.functions = {target: [*found] for target, found in tables[key].functions.items()}
        return table

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_registration.ONNXRegistry, "from_torchlib", staticmethod(kept))
        yield


_CAPTURED: dict[str, CanonicalModel] = {}


def captured(network: Network) -> CanonicalModel:
    """What `capture` gives; of a network with the same weights what it gave before.

    What follows a capture copies it, so that none feels another.
    """
    key = _identity(network)
    if key not in _CAPTURED:
        _CAPTURED[key] = capture(network)
    return _CAPTURED[key]


@contextmanager
def captures_once() -> Iterator[None]:
    """Exports start from `captured`."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (material, whole_run):
            patch.setattr(module, "capture", captured)
        yield


def _identity(network: Network) -> str:
    """What a capture depends on: the modules with their sizes, other attributes, the weights."""
    digest = hashlib.sha256(repr(network).encode())
    for name, module in network.named_modules():
        plain = {k: v for k, v in vars(module).items() if isinstance(v, int | float | str | tuple)}
        digest.update(repr((name, type(module), sorted(plain.items()))).encode())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()

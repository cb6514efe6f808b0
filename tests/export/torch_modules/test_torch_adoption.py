"""A torch module of the user's all the way: traced, given ports, held against itself, written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

import treadle
from tests.export import foreign_modules as modules
from tests.export.foreign_modules import HIDDEN, WIDTH
from treadle.ladder import compare
from treadle_export.exporting.adopting import export_foreign
from treadle_export.torch_modules import foreign_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from treadle_export.foreign import Foreign

FRAME = torch.zeros(1, WIDTH)
STATE = torch.zeros(1, HIDDEN)

CARRIED: dict[str, tuple[Callable[[], nn.Module], Any, set[str]]] = {
    "projected": (
        lambda: nn.LSTM(WIDTH, HIDDEN, proj_size=2, batch_first=True),
        (FRAME[None], (torch.zeros(1, 1, 2), STATE[None])),
        {"lstm.0.hidden", "lstm.0.cell"},
    ),
    "cells": (
        modules.StepDecoder,
        (torch.tensor([1]), modules.StepState(STATE, STATE)),
        {"cell.0.hidden", "cell.0.cell"},
    ),
    "read by others": (modules.Gated, (FRAME, STATE), {"cell.0.hidden"}),
    "cache of a step": (
        modules.CachedStep,
        (FRAME, torch.zeros(1, 2, WIDTH), STATE),
        {"gru.0.hidden", "past"},
    ),
    "cache of a chunk": (
        modules.CachedChunk,
        (FRAME[None], torch.zeros(1, 3, WIDTH), STATE[None]),
        {"gru.0.hidden", "past"},
    ),
}


@pytest.mark.parametrize("name", CARRIED)
def test_a_module_becomes_a_stream(name: str, tmp_path: Path) -> None:
    make, example, states = CARRIED[name]
    foreign = foreign_of(make().eval(), example, name="adopted")
    path = tmp_path / "adopted.treadle"
    export_foreign(foreign, {"float32": path})
    with treadle.load(path) as model, model.stream(batch_size=2) as stream:
        assert {port.name for port in model.bundle.manifest.graphs["step"].state} == states
        (tensor,) = model.bundle.manifest.graphs["step"].inputs
        random = np.random.default_rng(2)
        steps = [
            random.normal(size=(2, WIDTH)).astype(np.float32)
            if tensor.dtype == "float32"
            else random.integers(0, modules.WORDS, 2)
            for _ in range(6)
        ]
        streamed = [_first(stream.step(step)) for step in steps]
    if foreign.example[tensor.name].ndim == 3:
        whole = _first(foreign.run({tensor.name: np.stack(steps, 1)}))
        expected = list(whole.swapaxes(0, 1))
    else:
        expected = list(_carried(foreign, tensor.name, steps))
    assert compare("stream", "float32", outputs=list(zip(expected, streamed, strict=True))).passed


def _carried(foreign: Foreign, name: str, steps: list[Any]) -> Iterator[Any]:
    """The module's own outputs, its states handed back to it."""
    state: dict[str, Any] = {}
    for step in steps:
        answer = foreign.run({name: step, **state})
        state = {pair.input: answer[pair.output] for pair in foreign.states}
        yield _first(answer)


def _first(outputs: Any) -> Any:
    if isinstance(outputs, dict):
        return next(iter(outputs.values()))
    return outputs[0] if isinstance(outputs, tuple) else outputs

"""Calls a module as it is and notes how its recurrent modules are used on the way."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from treadle_export.torch_modules.named_tensors import Call, named_outputs
from treadle_export.torch_modules.opaque import recurrent_modules


@dataclass(frozen=True, slots=True)
class Use:
    """One call of a recurrent module.

    rows: the batch that it saw, None where there was no such axis. steps: None for a cell.
    """

    path: str
    rows: int | None
    steps: int | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What one call of a whole module gave, by name, and how it used its recurrent modules."""

    outputs: dict[str, Tensor]
    uses: tuple[Use, ...]


def answer(module: nn.Module, call: Call, tensors: Iterable[Tensor]) -> tuple[Seen | None, str]:
    """What the module answers; None, and why in one line, where it raises instead."""
    args, kwargs = call.arguments(tensors, as_lists=True)
    uses: list[Use] = []
    try:
        with _noted(module, uses):
            outputs = called(module, args, kwargs)
    except Exception as error:  # noqa: BLE001 - whatever a user's module raises, it did not run
        return None, first_line(error)
    return Seen(named_outputs(outputs), tuple(uses)), ""


@torch.no_grad()
def called(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The module's own answer; its warnings are for who trains it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return module(*args, **kwargs)


def kept_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Copies of the tensors that modules hold beside their parameters, by path of the attribute."""
    held = (
        (f"{path}.{name}".lstrip("."), value)
        for path, part in module.named_modules()
        for name, value in (*vars(part).items(), *part.named_buffers(recurse=False))
    )
    return {
        f"{name}[{place}]" if isinstance(value, tuple | list) else name: tensor.clone()
        for name, value in held
        for place, tensor in enumerate(value if isinstance(value, tuple | list) else [value])
        if isinstance(tensor, Tensor)
    }


def first_line(error: BaseException) -> str:
    """An error in one line: its type and what it says first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[0] if lines else "no reason given"
    return f"{type(error).__name__}: {said[:300]}"


@contextmanager
def _noted(module: nn.Module, uses: list[Use]) -> Iterator[None]:
    """While it lasts, every call of a recurrent module is added to `uses`."""
    handles = [
        part.register_forward_pre_hook(_noting(path, uses), with_kwargs=True)
        for path, part in recurrent_modules(module)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _noting(path: str, uses: list[Use]) -> Any:
    def note(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        uses.append(_use(path, part, args[0] if args else kwargs["input"]))

    return note


def _use(path: str, part: nn.Module, x: Any) -> Use:
    if isinstance(x, PackedSequence):
        return Use(path, int(x.batch_sizes[0]), len(x.batch_sizes))
    if not isinstance(part, nn.RNNBase):
        return Use(path, x.shape[0] if x.dim() == 2 else None, None)
    if x.dim() != 3:
        return Use(path, None, x.shape[0])
    batch = 0 if part.batch_first else 1
    return Use(path, x.shape[batch], x.shape[1 - batch])

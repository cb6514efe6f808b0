"""Packed sequences while a module is traced: the padded tensor and its lengths, never sorted.

torch packs by sorting the rows and laying them end to end, in sizes that depend on values, so no
graph can hold it. A recurrent node of ONNX takes the padded tensor and the lengths instead. So
while a module is traced, `pack_padded_sequence` and `pad_packed_sequence` only hand these two on.

Shapes: B batch, T time.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
import torch.nn.utils.rnn as torch_rnn
from torch import Tensor, nn

from treadle.errors import UnsupportedGraph

# Names are changed where all threads see them; one trace at a time may do so.
_LOCK = threading.RLock()

_ADVICE = (
    "only pack_padded_sequence, recurrent modules and pad_packed_sequence can be exported; do the "
    "rest on padded tensors"
)


def _refuse(name: str) -> NoReturn:
    raise UnsupportedGraph(f"expected a module that can be traced, got a use of {name}: {_ADVICE}")


def _refused(name: str) -> property:
    def read(_: Any) -> Any:
        _refuse(f"PackedSequence.{name}")

    return property(read)


class Packed(torch_rnn.PackedSequence):
    """What stands for a packed sequence; everything torch's own has beside its type is refused.

    padded: [T, B, …]. lengths: int64 [B]. zeroed: whether what lies behind a row's length is zero.
    """

    padded: Tensor
    lengths: Tensor
    zeroed: bool

    data = _refused("data")
    batch_sizes = _refused("batch_sizes")
    sorted_indices = _refused("sorted_indices")
    unsorted_indices = _refused("unsorted_indices")

    def __new__(cls, padded: Tensor, lengths: Tensor, *, zeroed: bool) -> "Packed":
        """A tuple of nothing, with the two on it."""
        made: Packed = tuple.__new__(cls, (None,) * 4)
        made.padded, made.lengths, made.zeroed = padded, lengths, zeroed
        return made

    def __iter__(self) -> Iterator[Any]:
        _refuse("the parts of a PackedSequence")

    def __getitem__(self, key: Any) -> Any:
        _refuse("the parts of a PackedSequence")

    def to(self, *_: Any, **__: Any) -> "Packed":
        """Where it lies makes no difference to a graph."""
        return self

    cpu = cuda = float = pin_memory = to


def opened(sequence: torch_rnn.PackedSequence) -> Packed:
    """The stand-in that a traced module was given.

    Raises:
        UnsupportedGraph: it is a sequence that torch packed.
    """
    if not isinstance(sequence, Packed):
        _refuse("a PackedSequence that pack_padded_sequence did not make")
    return sequence


def _pack(
    input: Tensor,  # noqa: A002 - torch's own name
    lengths: Any,
    batch_first: bool = False,
    enforce_sorted: bool = True,  # noqa: ARG001 - nothing is sorted here
) -> Packed:
    """Stands for `pack_padded_sequence`."""
    if not isinstance(lengths, Tensor):
        raise UnsupportedGraph(
            f"expected the lengths given to pack_padded_sequence to be a tensor that comes from an "
            f"input, got {type(lengths).__name__}: its numbers would be fixed in the graph; pass "
            f"the tensor itself"
        )
    padded = input.transpose(0, 1) if batch_first else input
    return Packed(padded, lengths.to(torch.int64), zeroed=False)


def _pad(
    sequence: torch_rnn.PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: Any = None,
) -> tuple[Tensor, Tensor]:
    """Stands for `pad_packed_sequence`; as long as what was packed where no length is asked."""
    packed = opened(sequence)
    padded = packed.padded
    time = padded.shape[0]
    if padding_value != 0.0 or not packed.zeroed:
        valid = torch.arange(time, device=padded.device)[:, None] < packed.lengths[None]
        valid = valid.reshape(*valid.shape, *[1] * (padded.dim() - 2))
        padded = torch.where(valid, padded, padding_value)
    if total_length is not None and not _surely_equal(total_length, time):
        after = [0, 0] * (padded.dim() - 1)
        padded = F.pad(padded, [*after, 0, total_length - time], value=padding_value)
    return (padded.transpose(0, 1) if batch_first else padded), packed.lengths


def _surely_equal(one: Any, other: Any) -> bool:
    """Whether two sizes are equal whatever the batch and the time; asking binds neither."""
    from torch.fx.experimental.symbolic_shapes import statically_known_true

    return bool(statically_known_true(one == other))


def _refusing(name: str) -> Callable[..., NoReturn]:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        _refuse(name)

    return refuse


_STAND_INS: Mapping[str, Callable[..., Any]] = {
    "pack_padded_sequence": _pack,
    "pad_packed_sequence": _pad,
    **{
        name: _refusing(name)
        for name in ("pack_sequence", "unpack_sequence", "pad_sequence", "unpad_sequence")
    },
}


@contextmanager
def packing_replaced(module: nn.Module) -> Iterator[None]:
    """While it lasts, this thread's calls of torch's packing functions reach their stand-ins.

    Wherever a Python module has one of them under a name of its own, that name is changed and put
    back at the end. Other threads' calls go to torch. One trace at a time; others wait.
    """
    with _LOCK:
        owner = threading.get_ident()
        swaps = {
            id(original): (original, _for_thread(owner, original, stand_in))
            for name, stand_in in _STAND_INS.items()
            for original in [getattr(torch_rnn, name)]
        }
        changed: list[tuple[dict[str, Any], str, Any]] = []
        try:
            for namespace in _namespaces(module):
                for name, value in list(namespace.items()):
                    if id(value) in swaps:
                        original, replacement = swaps[id(value)]
                        namespace[name] = replacement
                        changed.append((namespace, name, original))
            yield
        finally:
            for namespace, name, original in changed:
                namespace[name] = original


def _for_thread(
    owner: int, original: Callable[..., Any], stand_in: Callable[..., Any]
) -> Callable[..., Any]:
    def chosen(*args: Any, **kwargs: Any) -> Any:
        mine = threading.get_ident() == owner
        return (stand_in if mine else original)(*args, **kwargs)

    return chosen


def _namespaces(module: nn.Module) -> Iterator[dict[str, Any]]:
    """The global names of every loaded Python module, and those that the module's code reads."""
    seen: set[int] = set()
    loaded = [getattr(loaded, "__dict__", None) for loaded in list(sys.modules.values())]
    read = [
        getattr(vars(base).get("forward"), "__globals__", None)
        for part in module.modules()
        for base in type(part).__mro__
    ]
    for namespace in (*loaded, *read):
        if isinstance(namespace, dict) and id(namespace) not in seen:
            seen.add(id(namespace))
            yield namespace

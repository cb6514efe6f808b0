"""Finds the batch and the time axis of every input of a module by calling it at other sizes.

Each plausible reading of the example's axes (`readings.py`) is tried: its batch and time are
repeated to sizes of our own, and the reading holds if the module runs and its recurrent modules see
just these sizes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from torch import Tensor, nn

from treadle.errors import UnsupportedGraph
from treadle.ladder import compare
from treadle_export.torch_modules.calls import Seen, answer, kept_tensors
from treadle_export.torch_modules.named_tensors import Call
from treadle_export.torch_modules.readings import Axes, Size, adds_batch, readings, sizes_of

_MOST_READINGS = 2000


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found.

    axes: by input. base: steps of the example, None without a time axis.
    sizes: the two sizes (rows, steps) at which the module was called; seen: what it did there.
    """

    axes: Mapping[str, Axes]
    base: int | None
    sizes: tuple[Size, Size]
    seen: tuple[Seen, Seen]

    def example(self, call: Call, size: int = 0) -> dict[str, Tensor]:
        """The example at one of the two sizes."""
        return _resized(call, self.axes, self.base, *self.sizes[size])

    def batch_axis(self, output: str) -> int | None:
        """The axis of an output that follows the batch."""
        one, other = (seen.outputs[output].shape for seen in self.seen)
        (rows, _), (more, _) = self.sizes
        same_rank = len(one) == len(other)
        axes = [a for a in range(len(one)) if same_rank and one[a] * more == other[a] * rows]
        return next((axis for axis in axes if one[axis]), None)


def read_axes(
    module: nn.Module,
    call: Call,
    declared: Mapping[str, Sequence[str | None]],
    lengths: str | None,
) -> Reading:
    """The first plausible reading of the example's axes that the module itself bears out.

    Args:
        module: in evaluation mode.
        call: how it is called.
        declared: the axes of inputs as the user names them: "batch", "time", None for others.
        lengths: the input that holds the length of each row, if it is known.

    Raises:
        UnsupportedGraph: the module does not take its own example, or no other size; it keeps a
            state as an attribute; or it calls a recurrent module more than once, as a loop over
            time does.
    """
    before = kept_tensors(module)
    single, failure = answer(module, call, call.tensors.values())
    if single is None:
        raise UnsupportedGraph(
            f"expected example inputs that {type(module).__name__} takes, got {failure}"
        )
    _refuse_kept(module, before)
    failures: list[str] = []
    for axes in islice(readings(call, declared, lengths), _MOST_READINGS):
        found = _tried(module, call, axes, failures)
        if found is not None and (not adds_batch(axes) or _rows_equal(found, single)):
            _refuse_repeated(found)
            return found
    raise UnsupportedGraph(
        f"expected {type(module).__name__} to take any batch, and any number of steps if it reads "
        f"sequences; it takes its example and no other size "
        f"({failures[0] if failures else 'its inputs have no such axes'}); say which axes these "
        f'are, as in axes={{"{next(iter(call.tensors), "x")}": ("batch", "time")}}'
    )


def _refuse_kept(module: nn.Module, before: Mapping[str, Tensor]) -> None:
    """Refuses a module that keeps a tensor from one call to the next where nobody sees it."""
    for name, tensor in kept_tensors(module).items():
        known = before.get(name)
        if known is None or known.shape != tensor.shape or not known.equal(tensor):
            raise UnsupportedGraph(
                f"expected forward to change nothing, got another {name!r} after a call: a state "
                f"that a module keeps to itself cannot be exported; take it as an argument of "
                f"forward and return the next one"
            )


def _refuse_repeated(reading: Reading) -> None:
    """Refuses a recurrent module that is called more than once: it would need a state for each."""
    one, other = (Counter(use.path for use in seen.uses) for seen in reading.seen)
    for path, times in one.items():
        if other[path] != times:
            raise UnsupportedGraph(
                f"expected {path!r} to be called once in forward, got {times} calls for "
                f"{reading.sizes[0][1]} steps and {other[path]} for {reading.sizes[1][1]}: a loop "
                f"over time is fixed at its number of steps when it is traced; write forward for "
                f"one step (x_t, state), or use nn.LSTM, nn.GRU or nn.RNN over whole sequences"
            )
        if times > 1:
            raise UnsupportedGraph(
                f"expected {path!r} to be called once in forward, got {times} calls, whose states "
                f"would have one name; write forward for one step (x_t, state), or give each call "
                f"a module of its own"
            )


def _tried(
    module: nn.Module, call: Call, axes: Mapping[str, Axes], failures: list[str]
) -> Reading | None:
    """The reading, if the module runs at two sizes and its recurrent modules see them."""
    sizes, base = sizes_of(call, axes)
    seen: list[Seen] = []
    for rows, steps in sizes:
        one, failure = answer(module, call, _resized(call, axes, base, rows, steps).values())
        if one is None:
            failures.append(failure)
            return None
        if not one.uses or any(use.rows is None or use.rows % rows for use in one.uses):
            failures.append("its recurrent modules see another batch")
            return None
        seen.append(one)
    small, large = seen
    if base is not None and [u.steps for u in small.uses] == [u.steps for u in large.uses]:
        failures.append("its recurrent modules see another number of steps")
        return None
    return Reading(axes, base, sizes, (small, large))


def _resized(
    call: Call, axes: Mapping[str, Axes], base: int | None, rows: int, steps: int | None
) -> dict[str, Tensor]:
    return {name: axes[name].resized(t, rows, steps, base) for name, t in call.tensors.items()}


def _rows_equal(found: Reading, single: Seen) -> bool:
    """Whether each row answers as the example did that had no batch axis."""
    for name, alone in single.outputs.items():
        axis, batched = found.batch_axis(name), found.seen[0].outputs.get(name)
        if axis is None or batched is None:
            return False
        row = batched.select(axis, 0)
        if row.dim() != alone.dim():
            return False
        same_steps = found.sizes[0][1] == found.base
        pair = alone[None].numpy(), row[None].numpy()
        if same_steps and not compare("batch", "float32", outputs=[pair]).passed:
            return False
    return True

"""The origin of an adopted torch model: the module itself, called by the names of its tensors."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from treadle.errors import InputError
from treadle_export.engine import Arrays
from treadle_export.torch_modules.axes import Reading
from treadle_export.torch_modules.calls import called
from treadle_export.torch_modules.named_tensors import Call, named_outputs


class Origin:
    """A module in evaluation mode, as a function of named arrays of any batch and time.

    Inputs that are left out are zeros if they are states, else as in the example. Rows go in by
    falling length, and with them one of full length where none is: so a module that packs its
    sequences takes rows in any order and answers for every step of the input, as its graph does.

    Args:
        zeros: the inputs that are states.
        lengths: the input that holds each row's length, if there is one.
        outputs: the module's name of each output -> its name here; others are left out.
    """

    def __init__(
        self,
        module: nn.Module,
        call: Call,
        reading: Reading,
        *,
        zeros: frozenset[str],
        lengths: str | None,
        outputs: Mapping[str, str],
    ) -> None:
        self._module, self._call, self._reading = module, call, reading
        self.zeros, self._lengths, self._outputs = zeros, lengths, outputs

    def __call__(self, arrays: Arrays) -> Arrays:
        """Inputs by name -> outputs by name.

        Raises:
            InputError: the module has no input of that name; what it raises itself is left to rise.
        """
        unknown = sorted(set(arrays) - set(self._call.tensors))
        if unknown:
            raise InputError(
                f"expected inputs named {', '.join(self._call.tensors)}, got {', '.join(unknown)}"
            )
        rows, steps = self._sizes(arrays)
        tensors, places = self._sorted(self._completed(arrays, rows, steps), steps)
        args, kwargs = self._call.arguments(tensors.values(), as_lists=True)
        given = named_outputs(called(self._module, args, kwargs))
        found = {here: self._restored(name, given, places) for name, here in self._outputs.items()}
        return {name: tensor.numpy() for name, tensor in found.items()}

    def _sizes(self, arrays: Arrays) -> tuple[int, int | None]:
        """Rows and steps of what was given, those of the example where it does not say."""
        rows, steps = self._reading.sizes[0]
        for name, array in arrays.items():
            axes = self._reading.axes[name]
            rows = rows if axes.batch is None else array.shape[axes.batch]
            steps = steps if axes.time is None else array.shape[axes.time]
        return rows, steps

    def _completed(self, arrays: Arrays, rows: int, steps: int | None) -> dict[str, Tensor]:
        """Every tensor of the call, of the example's dtypes."""
        completed: dict[str, Tensor] = {}
        for name, example in self._call.tensors.items():
            if name in arrays:
                given = torch.from_numpy(np.ascontiguousarray(arrays[name])).to(example.dtype)
            else:
                axes = self._reading.axes[name]
                given = axes.resized(example, rows, steps, self._reading.base)
                given = torch.zeros_like(given) if name in self.zeros else given
            completed[name] = given
        return completed

    def _sorted(
        self, tensors: dict[str, Tensor], steps: int | None
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Rows by falling length, before them one of full length; and the place of each row."""
        if self._lengths is None:
            return tensors, None
        lengths = tensors[self._lengths]
        order = torch.argsort(lengths, descending=True, stable=True)
        full = int(lengths.max()) if steps is None else steps
        short = int(lengths.max()) < full
        rows = torch.cat([order[:1], order]) if short else order
        axes = {name: self._reading.axes[name].batch for name in tensors}
        arranged = {
            name: tensor if (axis := axes[name]) is None else tensor.index_select(axis, rows)
            for name, tensor in tensors.items()
        }
        if short:
            arranged[self._lengths][0] = full
        return arranged, torch.argsort(order) + int(short)

    def _restored(self, name: str, given: Mapping[str, Tensor], places: Tensor | None) -> Tensor:
        axis = self._reading.batch_axis(name)
        if places is None or axis is None:
            return given[name]
        return given[name].index_select(axis, places)

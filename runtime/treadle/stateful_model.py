"""StatefulModel: a recurrent model of any origin, run as it is, its state carried."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from treadle.model import Model

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class StatefulModel(Model):
    """A model of the task "stateful": numbers or ids in, numbers out. `stream` runs it by steps."""

    def unroll(self, x: ArrayLike, lengths: ArrayLike | None = None) -> Any:
        """Read whole sequences from the initial state: `Stream.unroll` on a stream of its own.

        `x` [batch, time, …] with `lengths` int64 [batch] (default: all of it) -> outputs [batch,
        time, …], zero where padded; a NamedTuple of them if there are several. Raises InputError.
        """
        reading = self.reading("step")
        rows = len(reading.array(x, "batch", "time"))
        with closing(self.stream(batch_size=max(rows, 1))) as stream:
            return stream.unroll(x, lengths)

"""WholeSequenceModel: a model that needs the end of a sequence for its beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from treadle.model import Model, refuse_to_step
from treadle.whole_reading import read_whole

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class WholeSequenceModel(Model):
    """A model of the task "whole-sequence": a layer of it reads backwards. `read` runs it."""

    def read(self, x: ArrayLike, lengths: ArrayLike | None = None) -> Any:
        """Read whole sequences: arguments, result and errors as `whole_reading.read_whole`."""
        return read_whole(self, x, lengths)

    def stream(self, *_: object, **__: object) -> NoReturn:
        """Raises StateError: there is no stream of what reads backwards."""
        refuse_to_step(self.manifest)

    def resume(self, *_: object, **__: object) -> NoReturn:
        """Raises StateError, as `stream` does."""
        self.stream()

    def step(self, *_: object, **__: object) -> NoReturn:
        """Raises StateError, as `stream` does."""
        self.stream()

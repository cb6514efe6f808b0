"""What the scenarios read: the real input that a bundle's golden trace recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.errors import BundleError
from treadle.golden import GOLDEN_FILE, Golden

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from treadle.model import Model
    from treadle.stream import Stream


@dataclass(frozen=True, slots=True)
class Inputs:
    """read: [N, …], what steps or whole sequences read; source: [1, S, …], None where none is."""

    read: NDArray[Any]
    source: NDArray[Any] | None

    @classmethod
    def of(cls, model: Model) -> Inputs:
        """Those of a model. Raises BundleError for one without a golden trace."""
        if GOLDEN_FILE not in model.manifest.files:
            raise BundleError(
                f"expected a golden trace {GOLDEN_FILE} in the bundle {model.manifest.name!r}, "
                "whose input is what is measured with, got none; export it again"
            )
        golden = Golden.from_bytes(model.bundle.read(GOLDEN_FILE))
        return cls(golden.inputs, golden.source[None] if golden.source.size else None)

    def stream(self, model: Model, rows: int) -> Stream:
        """A stream of so many rows; all read the same source."""
        if self.source is None:
            return model.stream(batch_size=rows)
        return model.stream(np.repeat(self.source, rows, axis=0))

    def steps(self, rows: int) -> list[NDArray[Any]]:
        """Inputs [rows, …] of one step after another; the rows begin at different places."""
        places = np.arange(rows) * (len(self.read) // rows or 1)
        return [self.read[(places + step) % len(self.read)] for step in range(len(self.read))]

    def block(self, rows: int, steps: int) -> NDArray[Any]:
        """[rows, steps, …]: so many steps at once, from the start again where there are fewer."""
        return np.repeat(self.read[np.arange(steps) % len(self.read)][None], rows, axis=0)

"""What one example of a labelled data set is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Labelled:
    """A whole sequence and its one label. `inputs`: text, or frames float32 [time, features]."""

    inputs: str | NDArray[np.float32]
    label: str

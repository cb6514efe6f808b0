"""What a program pays before its first step: nothing of Treadle that is compiled as it starts."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.model import Model

PROGRAM = """
import sys
import numpy as np
import treadle

with treadle.load(sys.argv[1]) as model:
    model.stream().step(np.array([1]))
loaded = {name: vars(module) for name, module in sys.modules.items() if name.startswith("treadle")}
assert "treadle.stream" in loaded
for name, names in loaded.items():
    print(*(f"{name}.{n}" for n, value in names.items() if hasattr(value, "__dataclass_fields__")))
"""


def test_no_dataclass_is_made_on_the_way_to_the_first_step(characters: Model) -> None:
    """Each would compile its methods for a millisecond; `benchmarks/footprint.py` has the whole."""
    command = [sys.executable, "-c", PROGRAM, str(characters.bundle.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []

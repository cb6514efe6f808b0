"""What a program pays before its first step: no dataclass, no pathlib.

A dataclass compiles its methods as it is imported, for a millisecond; pathlib takes three. The
whole is timed by `benchmarks/footprint.py`.
"""

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
    for each, value in names.items():
        of_pathlib = str(getattr(value, "__module__", "")).startswith("pathlib")
        if of_pathlib or hasattr(value, "__dataclass_fields__"):
            print(f"{name}.{each}")
"""


def test_what_takes_long_to_import_is_not_on_the_way_to_the_first_step(characters: Model) -> None:
    command = [sys.executable, "-c", PROGRAM, str(characters.bundle.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []

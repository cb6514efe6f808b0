"""What a model is tuned for: so many rows at once, one step or a whole sequence of them."""

import re
from dataclasses import dataclass

from treadle.errors import InputError
from treadle.manifest import TASKS

FORMS = "step:ROWS (step:1), sequence:STEPSxROWS (sequence:25x1) or encode:STEPSxROWS"

_FORM = re.compile(r"(step):([1-9]\d{0,5})|(sequence|encode):([1-9]\d{0,5})x([1-9]\d{0,5})")


@dataclass(frozen=True, slots=True)
class Workload:
    """One call of a graph: `steps` time steps of `rows` sequences side by side."""

    graph: str
    steps: int
    rows: int

    @classmethod
    def parse(cls, text: str) -> "Workload":
        """`step:32`: a step of 32 rows; `sequence:25x1`: 25 steps of one row in one call.

        Raises:
            InputError: it is of no known form.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise InputError(f"expected a workload as {FORMS}, got {text!r}")
        step, step_rows, graph, steps, rows = found.groups()
        if step is not None:
            return cls(step, 1, int(step_rows))
        return cls(graph, int(steps), int(rows))

    def __str__(self) -> str:
        size = str(self.rows) if self.graph == "step" else f"{self.steps}x{self.rows}"
        return f"{self.graph}:{size}"

    def check(self, task: str) -> None:
        """Raises InputError unless models of the task have the graph that this calls."""
        known = TASKS[task]
        graphs = (*known.graphs, *(name for name in known.optional if name != "prompt"))
        if self.graph not in graphs:
            raise InputError(
                f"expected a workload of a graph that {task} has ({', '.join(graphs)}), got {self}"
            )


STEP = Workload("step", 1, 1)

"""The one table of cells: recipes name them, and tests of all cells iterate over it."""

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from typing import Any

from treadle.errors import RecipeError
from treadle_train.cells.cell import Cell
from treadle_train.cells.elman import Elman
from treadle_train.cells.gru import GRU
from treadle_train.cells.lstm import LSTM
from treadle_train.cells.peephole import PeepholeLSTM

CELLS: dict[str, Callable[[int, int], Cell[Any]]] = {
    "elman": Elman,
    "elman-relu": partial(Elman, nonlinearity="relu"),
    "lstm": LSTM,
    "lstm-peephole": PeepholeLSTM,
    "gru": GRU,
    "gru-reset-before": partial(GRU, reset="before"),
}


def make_cell(name: str, input_size: int, hidden_size: int) -> Cell[Any]:
    """The cell called `name`. Raises RecipeError for a name that is not in `CELLS`."""
    if name not in CELLS:
        near = get_close_matches(name, CELLS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(CELLS)}."
        raise RecipeError(f"There is no cell {name!r}; {hint}")
    return CELLS[name](input_size, hidden_size)

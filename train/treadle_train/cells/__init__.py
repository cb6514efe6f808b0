"""Recurrent cells, layers and stacks; every cell that exists is in the table `CELLS`.

Cell    one time step and its unrolling      Elman, LSTM, GRU
Layer   one cell in one or two directions    state names "hidden", "cell", "reverse.hidden", …
Stack   layers on top of each other          state names "0.hidden", "1.cell", …

A LatencyControlledStack reads both ways, backwards in windows that overlap.
"""

from treadle_train.cells.cell import Cell, HiddenState
from treadle_train.cells.elman import Elman
from treadle_train.cells.gru import GRU
from treadle_train.cells.latency import LatencyControlledStack
from treadle_train.cells.layer import Layer
from treadle_train.cells.lstm import LSTM, LSTMState
from treadle_train.cells.peephole import PeepholeLSTM
from treadle_train.cells.stack import Stack
from treadle_train.cells.table import CELLS, make_cell

__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "Cell",
    "Elman",
    "HiddenState",
    "LSTMState",
    "LatencyControlledStack",
    "Layer",
    "PeepholeLSTM",
    "Stack",
    "make_cell",
]

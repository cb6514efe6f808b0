"""What every network has: a task, an initial state with full names, and a mask for padded rows."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from treadle.manifest import TASKS
from treadle.manifest import Tensor as Port
from treadle_train.cells.layer import State
from treadle_train.cells.ragged import valid_positions

Context = dict[str, Tensor]
"""What a step reads beside its input and never changes, by name."""


class Network(nn.Module, ABC):
    """A recurrent network. Its state is a dict of full names, e.g. "decoder.0.hidden"."""

    task: ClassVar[str]
    looped: bool = False
    """Whether its sequence graph is its step in a loop, as where a state has no faster way."""

    timed: bool = True
    """Whether its sequence graph answers at every step, and not once, at the end."""

    @property
    def graphs(self) -> tuple[str, ...]:
        """The entry points that it has: those of its task."""
        return TASKS[self.task].graphs

    @property
    def read(self) -> Port:
        """What one step reads; ids of symbols unless it says otherwise."""
        return Port("token", "int64", ("batch",))

    @property
    def answers(self) -> int:
        """How many steps of a sequence one step answers; their logits lie side by side."""
        return 1

    @property
    def answer(self) -> Port:
        """What one step gives; the logits of its output layer unless it says otherwise."""
        size = self.answers * int(self.get_parameter("output.bias").shape[0])
        return Port("logits", "float32", ("batch", size))

    def embedding_readers(self) -> dict[str, str]:
        """Embeddings, and the stack of recurrent layers that reads nothing but it, by name."""
        return {}

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """Zeros float32 [B, H] for every state name."""


class Encoding(Network):
    """A network that reads a source before its first step."""

    @property
    def source(self) -> Port:
        """What it reads there; ids of symbols unless it says otherwise."""
        return Port("source", "int64", ("batch", "source"))

    @abstractmethod
    def encode(self, source: Tensor, source_lengths: Tensor) -> tuple[Context, State]:
        """A source [B, S, …] with its lengths int64 [B], to (context, initial state).

        Every state that the initial state does not name starts from zeros.
        """


def qualified(prefix: str, state: State) -> State:
    """Names with `prefix` in front: "0.hidden" becomes "decoder.0.hidden"."""
    return {f"{prefix}.{name}": value for name, value in state.items()}


def unqualified(prefix: str, state: State) -> State:
    """The part of `state` under `prefix`, without it."""
    start = f"{prefix}."
    return {name[len(start) :]: v for name, v in state.items() if name.startswith(start)}


def zero_padding(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Put zeros into x [B, T, F] from each row's length on."""
    if lengths is None:
        return x
    return x * valid_positions(lengths, x.shape[1])[:, :, None].to(x.dtype)

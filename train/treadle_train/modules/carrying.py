"""What modules share whose state goes on from batch to batch: truncated back-propagation.

Williams & Peng 1990; Mikolov et al. 2010: the state is carried, its gradient is not.
"""

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

from treadle_train.modules.base import TaskModule
from treadle_train.networks import Network
from treadle_train.sections.training import TrainingSection

N = TypeVar("N", bound=Network)
_TEACHER = "teacher/"


class CarryingModule(TaskModule[N]):
    """A module that keeps the states at the end of the last batch: `carried`, `teacher_carried`."""

    def __init__(self, network: N, section: TrainingSection, steps: int) -> None:
        super().__init__(network, section, steps)
        self.carried: dict[str, Tensor] = {}
        self.teacher_carried: dict[str, Tensor] = {}

    def carried_state(self) -> dict[str, Tensor]:
        """The states at the end of the last batch: the network's, and its teacher's."""
        taught = {f"{_TEACHER}{name}": value for name, value in self.teacher_carried.items()}
        return self.carried | taught

    def restore_carried(self, state: dict[str, Tensor]) -> None:
        """Go on from states that `carried_state` gave."""
        self.carried = {n: value for n, value in state.items() if not n.startswith(_TEACHER)}
        taught = state.keys() - self.carried.keys()
        self.teacher_carried = {name.removeprefix(_TEACHER): state[name] for name in taught}


def without_gradient(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state that the next batch goes on from, float32."""
    return {name: value.detach().float() for name, value in state.items()}

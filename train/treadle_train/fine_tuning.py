"""Fine-tuning for weights of 4 bits: what it starts from, what it writes down, what it refuses."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treadle.errors import RecipeError
from treadle.vocabulary import Vocabulary
from treadle_train.modules.base import TaskModule
from treadle_train.quantization.blocks import BLOCKS
from treadle_train.quantization.fake import FakeQuantization
from treadle_train.recipe import Recipe, recipe_to_table
from treadle_train.run import WEIGHTS, Run, best_value, read_run

PRECISIONS = tuple(name for name, form in BLOCKS.items() if form.bits < 8)
"""What may be fine-tuned for: 8 bits lose nothing that training could win back."""

_EPOCHS = 3
_RATE = 0.1


def short_schedule(recipe: Recipe) -> list[str]:
    """Changes of a recipe that suit a start from trained weights.

    At most 3 epochs, at a tenth of its learning rate, without dropout: what is learned are the
    answers that the trained weights give, and these are given without it.
    """
    epochs, rate = recipe.training.epochs, recipe.training.learning_rate
    sections = recipe_to_table(recipe)["network"]
    return [
        *(f"network.{key}=0" for key, rate in sections.items() if _drops(key, rate)),
        f"training.epochs={min(_EPOCHS, epochs)}",
        f"training.learning_rate={_RATE * rate:.6g}",
    ]


@dataclass(frozen=True)
class FineTuning:
    """Training with the weights that an export in `precision` will have.

    start: the run whose weights it begins with; None begins with random ones.
    Raises RecipeError for a precision that is none of PRECISIONS.
    """

    precision: str
    start: Run | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise RecipeError(
                f"Training can quantize weights to {' or '.join(PRECISIONS)}, got "
                f"{self.precision!r}."
            )

    def to_json(self, recipe: Recipe) -> dict[str, Any]:
        """What run.json says of it: precision and, of the run it starts from, which one."""
        if self.start is None:
            return {"precision": self.precision, "from": None}
        best = best_value(read_run(self.start.path))
        same = self.start.recipe.training.validation_limit == recipe.training.validation_limit
        weights = (self.start.path / WEIGHTS).read_bytes()
        return {
            "precision": self.precision,
            "from": {
                "name": self.start.name,
                "weights": f"sha256:{hashlib.sha256(weights).hexdigest()}",
                "best": best if same else None,  # of other examples: another figure
            },
        }

    def check(self, recipe: Recipe, out: Path) -> None:
        """Raise RecipeError unless `recipe` can go on, into `out`, from the run to start from."""
        if getattr(recipe.network, "tied_embedding", False):
            raise RecipeError(
                "A tied embedding is a table of 8 bits and a matrix of 4 at once, and training can "
                "round it in one way only; set network.tied_embedding=false."
            )
        if recipe.training.average:
            raise RecipeError(
                "An average of rounded weights is not rounded; set training.average=0 to train "
                "with --quantize."
            )
        if self.start is None:
            return
        if out.exists() and out.samefile(self.start.path):
            raise RecipeError(f"The run {out} is what training starts from; train into another.")
        before, now = _foundation(self.start.recipe), _foundation(recipe)
        for key in before:
            if before[key] != now[key]:
                raise RecipeError(
                    f"The run {self.start.path} was trained with {key} = {before[key]!r}, but the "
                    f"recipe has {now[key]!r}; start from a run of this recipe, or give the same "
                    "--set as it was trained with."
                )

    def begin(self, module: TaskModule[Any], vocabularies: dict[str, Vocabulary]) -> None:
        """Give the module the weights to start from, its teacher, and the rounding.

        Scales that trained weights begin with hold: a search looks at weights and not at the loss,
        so that each one undoes some of what training has learnt since the last. Weights that begin
        at random grow first, and theirs are searched through half of the training.

        Raises RecipeError when the run to start from has other vocabularies.
        """
        if self.start is not None:
            if self.start.vocabularies != vocabularies:
                raise RecipeError(
                    f"The run {self.start.path} knows other symbols than the data set has now; "
                    "train it again."
                )
            module.network.load_state_dict(self.start.network.state_dict())
            module.teachers = [self.start.network.eval()]
        else:
            module.last_search = module.total_steps // 2
        module.rounding = FakeQuantization(module.network, self.precision)


def _drops(key: str, value: object) -> bool:
    """Whether a key of the network is a rate of dropout; how masks are drawn is none."""
    return "dropout" in key and not isinstance(value, bool)


def _foundation(recipe: Recipe) -> dict[str, Any]:
    """What two recipes must share for one to start from the other's weights."""
    table = recipe_to_table(recipe)
    network = {key: value for key, value in table["network"].items() if "dropout" not in key}
    return {"task": table["task"], "data": table["data"], "network": network}

"""What a plan sets beside precision and exceptions: how graphs are lowered and how they run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from treadle.errors import ExportError
from treadle.plan import CALLS, Call
from treadle_export.passes.recurrent_weights import GATES
from treadle_export.quantization.precision import Precision
from treadle_train.quantization.blocks import BLOCKS

Lowering = Literal["fused", "cell"]

BLOCK_SIZES = {
    "int8-block": (32,),
    "int8-fast": (128, 256),
    "int4": (16,),
    "int4-block": (32, 64),
    "int4-fast": (128, 256),
}
"""Sizes that blocks may have. Exactness of `int8-block` in company was tried with 32 alone."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How one bundle is made and run.

    lowering: of LSTM and GRU layers: one node, or the cell in primitive operators (in a `scan`
        over time). Only float32 may leave them fused; RNN layers never are.
    block_size: inputs of an output channel that share a scale; None where there are no blocks.
    folding: whether a small vocabulary times its first weights becomes a table.
    threads: within an operator. call: how a step calls the engine, see `treadle.plan`.
    """

    lowering: Lowering
    block_size: int | None = None
    folding: bool = True
    threads: int = 1
    call: Call = "prebound"

    @classmethod
    def of(cls, precision: Precision) -> "Settings":
        """What a precision does by itself."""
        integers_or_halves = precision.lowered >= set(GATES)
        size = precision.blocks and precision.blocks.block_size
        return cls("cell" if integers_or_halves else "fused", size, precision.folded)

    @classmethod
    def from_json(cls, document: Mapping[str, Any], precision: Precision) -> "Settings":
        """The settings in a JSON object; what it leaves out is as the precision does by itself.

        Raises:
            ExportError: a value is of another type or does not fit the precision.
        """
        names = {field.name for field in fields(cls)}
        given = {name: value for name, value in document.items() if name in names}
        settings = replace(cls.of(precision), **given)
        settings.check(precision)
        return settings

    def to_json(self) -> dict[str, Any]:
        """All settings as one JSON object."""
        return asdict(self)

    def check(self, precision: Precision) -> None:
        """Raises ExportError unless every value is one that the precision can have."""
        lowerings = get_args(Lowering) if precision.name == "float32" else ("cell",)
        sizes = BLOCK_SIZES.get(precision.name, (None,))
        self._expect("lowering", self.lowering in lowerings, precision, lowerings)
        whole = self.block_size is None or type(self.block_size) is int
        self._expect("block_size", whole and self.block_size in sizes, precision, sizes)
        self._expect("folding", isinstance(self.folding, bool), precision, (True, False))
        self._expect("call", self.call in CALLS, precision, CALLS)
        fits = type(self.threads) is int and self.threads >= 1
        self._expect("threads", fits, precision, ("an integer of at least 1",))

    def _expect(
        self, name: str, fits: bool, precision: Precision, allowed: tuple[object, ...]
    ) -> None:
        if not fits:
            raise ExportError(
                f"expected {name} of a plan for {precision.name} to be "
                f"{' or '.join(map(str, allowed))}, got {getattr(self, name)!r}"
            )

    def applied(self, precision: Precision) -> Precision:
        """The precision, lowered in this way."""
        cells = frozenset(GATES) if self.lowering == "cell" else precision.lowered
        size = self.block_size if precision.name in BLOCKS else None
        return replace(precision, lowered=cells, block_size=size, folded=self.folding)

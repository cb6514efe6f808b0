"""Which precision each weight gets: the bundle's own, but for exceptions by name."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType

from treadle.errors import ExportError
from treadle_export.canonical import CanonicalModel
from treadle_export.passes.products import product_name, products_of, reads_table
from treadle_export.passes.rewriting import constant_array, given

INTEGER_BITS = {
    "int8": 8,
    "int8-block": 8,
    "int8-fast": 8,
    "int8-tensorwise": 8,
    "int4": 4,
    "int4-block": 4,
    "int4-fast": 4,
}
"""The precisions of weights that are integers, and how many bits one of these has."""

WEIGHT_PRECISIONS = ("float32", "float16", *INTEGER_BITS)


@dataclass(frozen=True, slots=True)
class WeightPlan:
    """`default` for every weight but those whose name fits a pattern of `exceptions`.

    Patterns are those of a shell (`decoder.*.recurrent`); the first that fits decides.
    """

    default: str
    exceptions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def precision_of(self, name: str) -> str:
        """The precision of the weight called `name`."""
        for pattern, precision in self.exceptions.items():
            if fnmatchcase(name, pattern):
                return precision
        return self.default

    def resolved(self, names: Iterable[str]) -> dict[str, str]:
        """Those of the weights `names` that get another precision than the default, with it."""
        chosen = {name: self.precision_of(name) for name in names}
        return {name: value for name, value in chosen.items() if value != self.default}

    def chooses(self, *precisions: str) -> Callable[[str], bool]:
        """Whether the weight of a name gets one of `precisions`."""
        return lambda name: self.precision_of(name) in precisions

    def bits_of(self, name: str) -> int | None:
        """Bits of each integer of the weight, None where it stays a float."""
        return INTEGER_BITS.get(self.precision_of(name))

    def table_precision(self, name: str) -> str:
        """The precision of an embedding: tables of integers have 8 bits in every plan."""
        precision = self.precision_of(name)
        return "int8" if precision in INTEGER_BITS else precision

    def check(self, names: Collection[str]) -> None:
        """Raises ExportError unless every exception is a known precision and fits a weight."""
        for pattern, precision in self.exceptions.items():
            if precision not in WEIGHT_PRECISIONS:
                raise ExportError(
                    f"expected a precision of {', '.join(WEIGHT_PRECISIONS)} for the weights "
                    f"{pattern!r} in the plan, got {precision!r}"
                )
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ExportError(
                    f"expected each pattern of the plan to fit a weight, got {pattern!r}; "
                    f"there are {', '.join(sorted(names))}"
                )


def exceptions_of(document: object, path: Path) -> dict[str, str]:
    """The exceptions that a plan file holds as a JSON object, pattern -> precision.

    Raises:
        ExportError: it is not an object of strings; the message names `path`.
    """
    fits = isinstance(document, dict) and all(isinstance(v, str) for v in document.values())
    if not isinstance(document, dict) or not fits:
        raise ExportError(
            f'expected a plan like {{"output": "int8"}} in {path}, from names of weights or '
            f"patterns to precisions, got {document!r}"
        )
    return dict(document)


def weight_sizes(model: CanonicalModel, *, tables: bool = True) -> dict[str, int]:
    """Name -> number of elements of every product's weights and, unless told, every embedding.

    The graphs must be lowered and not quantized yet.
    """
    sizes: dict[str, int] = {}
    for graph in model.graphs.values():
        values = [given(node, 1) for node in products_of(graph.model)]
        if tables:
            values += [given(node, 0) for node in graph.model.graph if reads_table(node)]
        for value in values:
            array = constant_array(value)
            sizes[product_name(value)] = 0 if array is None else array.size
    return dict(sorted(sizes.items()))

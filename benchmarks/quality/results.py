"""results.json: one result a row, in which a new one takes the old one's place."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.errors import DataError
from treadle.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RESULTS = Path(__file__).with_name("results.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was measured of a row, on the test split of its data.

    recipe: the row's name. torch: of the run itself; float32, int8, int4: through the runtime; None
    where `notes` has the reason under the same name. seconds: of the training. bytes_int8, digest,
    predictions_sha256, first_200: of the int8 bundle; the last is its figure on the first 200
    examples, for a quick look whether it is still the same. commit: of the code that measured.
    """

    recipe: str
    metric: str
    higher_is_better: bool
    target: float | None
    torch: float | None
    float32: float | None
    int8: float | None
    int4: float | None
    baseline: float | None
    examples: int
    seconds: float
    bytes_int8: int | None
    seed: int
    digest: str | None
    commit: str
    predictions_sha256: str | None
    first_200: float | None
    command: str
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def reached(self) -> bool | None:
        """Whether the int8 bundle is at least as good as the target; None without either."""
        if self.target is None or self.int8 is None:
            return None
        return self.int8 >= self.target if self.higher_is_better else self.int8 <= self.target


def read_results(path: Path = RESULTS) -> dict[str, Result]:
    """The results by row; none where there is no file. Raises DataError for a malformed one."""
    try:
        documents = json.loads(path.read_text(encoding="utf-8"))
        return {one["recipe"]: Result(**one) for one in documents}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"expected a list of results in {path}, got what cannot be read ({error}); take the "
            "file of the last commit"
        ) from error


def write_results(results: Mapping[str, Result], order: Iterable[str], path: Path) -> None:
    """Write the results, those of the rows in `order` first; the file is whole at any moment."""
    names = list(dict.fromkeys([*order, *results]))
    documents = [asdict(results[name]) for name in names if name in results]
    write_atomically(path, (json.dumps(documents, indent=1) + "\n").encode())

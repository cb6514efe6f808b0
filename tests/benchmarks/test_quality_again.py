"""The int8 bundles behind the table of quality still say what the table says of 200 examples."""

from __future__ import annotations

import pytest

import treadle
from benchmarks.quality.__main__ import FOLDER
from benchmarks.quality.measuring import FEW, in_metric
from benchmarks.quality.results import Result, read_results
from tests.project.repository import ROOT
from treadle.data import open_dataset
from treadle.errors import DataError
from treadle.evaluation import evaluate


@pytest.mark.slow
@pytest.mark.parametrize("result", read_results().values(), ids=lambda result: result.recipe)
def test_a_bundle_reaches_what_the_table_says(result: Result) -> None:
    path = ROOT / FOLDER / "bundles" / f"{result.recipe}-int8.treadle"
    if not path.exists():
        pytest.skip(f"no {path.name} in {FOLDER}: python -m benchmarks.quality {result.recipe}")
    with treadle.load(path, unknown="symbol") as model:
        said = model.manifest.evaluation
        try:
            open_dataset(said["dataset"], said["options"])
        except DataError as error:
            pytest.skip(f"no data to judge by: {error}")
        figure = in_metric(evaluate(model, limit=FEW), result.metric)
        assert model.manifest.digest == result.digest, "another bundle than the table's"
    # To the bit where it was measured; another processor's tanh may change an answer or two.
    assert figure == pytest.approx(result.first_200, rel=0.02)

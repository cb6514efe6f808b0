"""The README's figures come from the report of a demo, and from nowhere else."""

import pytest

from benchmarks.readme_table import BEGIN, END, replaced, table
from tests.project.repository import ROOT

BUNDLE = {
    "path": "build/demo/some-model-int8.treadle",
    "precision": "int8",
    "bytes": 1_234_567,
    "metric": "word_error_rate",
    "unit": "%",
    "value": 12.345,
    "examples": 6789,
    "step_p50_us": 10.0,
    "step_p99_us": 20.04,
    "torch_step_p50_us": 125.0,
}


def test_a_row_holds_the_figures_of_the_report() -> None:
    cells = [cell.strip() for cell in table({"bundles": [BUNDLE]}).splitlines()[-1].split("|")]
    assert cells[1:-1] == [
        *("`some-model-int8`", "int8", "1.23 MB", "12.35 % word error rate, 6,789 examples"),
        *("10.0 µs", "20.0 µs", "125.0 µs", "12.5"),
    ]


def test_a_bundle_that_was_not_timed_in_pytorch_says_so() -> None:
    row = table({"bundles": [BUNDLE | {"torch_step_p50_us": None}]}).splitlines()[-1]
    assert row.count("not timed") == 2


def test_a_missing_figure_is_an_error() -> None:
    with pytest.raises(KeyError, match="step_p99_us"):
        table({"bundles": [{k: v for k, v in BUNDLE.items() if k != "step_p99_us"}]})


def test_only_what_is_between_the_markers_changes() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replaced(text, "new\n") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    with pytest.raises(ValueError, match="markers"):
        replaced("no markers", "new")


def test_the_readme_has_the_markers() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert replaced(readme, "new\n").count("new\n") >= 1

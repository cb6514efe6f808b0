"""Every check on models that have what it looks for, and on their near twins that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.export.lint.cases import axes, file, operators, quantization, state, unrolled, weights
from tests.export.lint.graphs import streaming
from treadle_export.lint import lint
from treadle_export.lint.table import CHECKS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.export.lint.cases.case import Case

MODULES = (axes, file, operators, quantization, state, unrolled, weights)
CASES = [case for module in MODULES for case in module.CASES]
ELSEWHERE = {"external-data"}  # needs more than one file: test_external_data.py


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_check_finds_what_is_there_and_nothing_else(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(case.make().SerializeToString())
    found = [finding for finding in lint(path).findings if finding.check == case.check]
    assert {finding.severity for finding in found} == ({case.severity} if case.severity else set())
    told = "\n".join(finding.message for finding in found)
    for words in case.says:
        assert words in told


def test_every_check_has_both_kinds_of_cases() -> None:
    names = {check.name for check in CHECKS} - ELSEWHERE
    assert {case.check for case in CASES if case.severity is None} == names
    shown = {(case.check, case.severity) for case in CASES if case.severity is not None}
    declared = {(check.name, s) for check in CHECKS for s in check.severities}
    assert shown == {(name, s) for name, s in declared if name in names}


@pytest.mark.parametrize("operator", ["LSTM", "GRU", "RNN"])
def test_nothing_is_said_of_a_layer_that_streams(operator: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(streaming(operator).SerializeToString())
    report = lint(path)
    assert report.findings == ()
    assert report.recurrent_layers == 1
    assert report.passed


def test_names_of_checks_are_unique() -> None:
    names = [check.name for check in CHECKS]
    assert len(names) == len(set(names))

"""What is wrong with an ONNX export of a recurrent model, in words: `lint(path) -> Report`."""

import os
from pathlib import Path

from treadle_export.lint.finding import SEVERITIES, Finding, Report
from treadle_export.lint.opening import open_model
from treadle_export.lint.subject import Subject
from treadle_export.lint.table import CHECKS

__all__ = ["Finding", "Report", "lint"]


def lint(path: str | os.PathLike[str]) -> Report:
    """Examines an ONNX file, the weights beside it included. Nothing of it is run.

    Raises:
        ExportError: there is no such file, or it is no whole ONNX model.
        UnsupportedGraph: its graph contradicts itself, so that it cannot be read.
    """
    subject = Subject.of(open_model(Path(path)))
    findings = [
        Finding(check.name, found.severity, found.node, found.message, check.costs, check.mend)
        for check in CHECKS
        for found in check.find(subject)
    ]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Report(str(path), tuple(findings), len(subject.layers))

"""The emulators' verdict is only worth something if it can be a bad one."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECK = Path(__file__).parent / "check_report.py"
GOOD: dict[str, Any] = {
    "passed": True,
    "rungs": [{"name": "stream", "max_abs": 1e-3, "tolerance": 5e-2, "passed": True}],
    "invariance": {"batch": 0.0, "chunk": 0.0, "promised": True},
}


def verdict(text: str) -> tuple[int, str]:
    command = [sys.executable, str(CHECK), "somewhere"]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    return done.returncode, done.stdout


def test_a_good_report_passes() -> None:
    assert verdict(json.dumps(GOOD)) == (0, "passed somewhere\n")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"invariance": {"batch": 1e-9, "chunk": 0.0, "promised": True}}, "in a batch differs"),
        ({"invariance": {"batch": 0.0, "chunk": 1e-9, "promised": True}}, "in chunks differs"),
        ({"invariance": {"batch": None, "chunk": None, "promised": True}}, "nothing was measured"),
        ({"passed": False}, "did not pass"),
        ({"rungs": [GOOD["rungs"][0] | {"passed": False}]}, "rung 'stream'"),
        ({"error": {"type": "BundleError", "message": "torn"}}, "BundleError: torn"),
    ],
)
def test_a_bad_report_fails(changes: dict[str, Any], complaint: str) -> None:
    code, said = verdict(json.dumps(copy.deepcopy(GOOD) | changes))
    assert code == 1
    assert complaint in said


def test_no_report_fails() -> None:
    code, said = verdict("Segmentation fault")
    assert code == 1
    assert "no JSON document" in said

"""Bundles from a stranger: an error of the tree or an answer, whatever is in them."""

from __future__ import annotations

import sys

import pytest

from tests.runtime.fuzzing.batches import Report, run_cases

EVERY_STAGE = {"open", "session", "run", "answered"}


def check(report: Report, count: int) -> None:
    assert not report.faults, "\n".join(report.faults)
    assert report.outcomes.total() == count
    # That all checks were reached, and that damage may be harmless.
    assert set(report.outcomes) == EVERY_STAGE


def test_200_corrupted_bundles() -> None:
    check(run_cases(0, 200, batch=200), 200)


@pytest.mark.slow
@pytest.mark.parametrize("thousand", range(1, 11))  # apart, so that workers share them
def test_10_000_corrupted_bundles(thousand: int) -> None:
    check(run_cases(1_000 * thousand, 1_000, batch=500), 1_000)


DIES = """
import faulthandler, os, sys, time
first, count = map(int, sys.argv[1:])
for seed in range(first, first + count):
    print("begin", seed, flush=True)
    if seed == 3:
        os.abort()
    if seed == 5:
        faulthandler.dump_traceback_later(0.1, exit=True)
        time.sleep(60)
    print("end", seed, "fault: KeyError" if seed == 6 else "answered", flush=True)
"""


def test_a_case_that_ends_its_process_is_named_and_the_others_are_run() -> None:
    report = run_cases(0, 8, batch=4, command=[sys.executable, "-c", DIES])
    assert report.outcomes == {"answered": 5, "fault": 3}
    died, hung, failed = report.faults
    assert "case 3 ended its process" in died
    assert "case 5 ended its process" in hung
    assert "time.sleep" in hung or "Timeout" in hung
    assert "case 6: fault: KeyError" in failed
    assert "python -m tests.runtime.fuzzing 6 --keep" in failed

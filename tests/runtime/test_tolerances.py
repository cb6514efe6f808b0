"""The table of tolerances: by rung, precision and, where kernels differ, class of processors."""

from __future__ import annotations

import pytest

from treadle.errors import InputError
from treadle.tolerances import ON_PROCESSORS, TOLERANCES, tolerance


@pytest.mark.parametrize("precision", ["int8-block", "int8-fast", "int4-block", "int4-fast"])
def test_what_one_class_of_processors_needs_the_others_do_not_get(precision: str) -> None:
    there = tolerance("stream", precision, "aarch64")
    assert there == tolerance("stream", precision, "arm64")
    for machine in ("x86_64", "AMD64", ""):
        here = tolerance("stream", precision, machine)
        assert here == TOLERANCES["stream", precision]
        assert here.absolute < there.absolute
        assert here.outputs < there.outputs


def test_what_is_promised_exact_is_exact_everywhere() -> None:
    for rung in ("batch", "chunk"):
        for precision in ("int8", "int8-block", "int4"):
            for machine in ("x86_64", "aarch64"):
                assert tolerance(rung, precision, machine).absolute == 0.0


def test_a_class_of_processors_only_changes_rungs_that_there_are() -> None:
    assert all((rung, precision) in TOLERANCES for rung, precision, _ in ON_PROCESSORS)


def test_a_rung_that_there_is_not() -> None:
    with pytest.raises(InputError, match="expected a rung of the parity ladder"):
        tolerance("handrail", "int8")

"""Which answers are wrong: a fast one says nothing then.

An answer of few bits is never exact, so it is wrong only where its precision does not explain it:
where its error is more than `TOLERATED` times the error of PyTorch's own float32 arithmetic over
weights that were rounded to that precision in the plainest way (`references.rounded`). What
activations lose by being rounded too, and what coarser scales lose, fits into the factor; a scale
of the wrong matrix, a lost state or a missing gate does not. A screened head estimates most logits
in 4 bits by design, so its largest error is judged as theirs, and only the agreement of its arg-max
tells how good its choice is. float32 has no such excuse: its logits are within `EXACT` and choose
the same symbols.
"""

from collections.abc import Mapping
from typing import Any

EXACT = 1e-3
"""Of logits with a standard deviation of 2: a thousand times what another order of sums moves."""
TOLERATED = {"int8": 4.0, "int4": 2.0}
"""int8: a bit that is kept free against saturation, and one for activations and coarser scales; an
answer that has lost more is marked. The rounding of int4 moves logits by half of their standard
deviation already, and twice that is near an answer to another question.
"""


def rounding_name(precision: str) -> str:
    """Under which name the reference has the error of rounded weights."""
    return f"rounding_{precision}"


def allowed_error(reference: Mapping[str, Any], precision: str) -> float:
    """How far a logit may be from PyTorch's."""
    if precision == "fp32":
        return EXACT
    return TOLERATED[precision] * float(reference[rounding_name(precision)])


def is_wrong(precision: str, error: float, allowed: float, agreement: float) -> bool:
    """Whether an answer is worse than its precision explains; so is one that is no number."""
    within = error <= allowed
    return not within or (precision == "fp32" and agreement < 1.0)

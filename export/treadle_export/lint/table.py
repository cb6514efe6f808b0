"""The table of checks, in the order in which a report lists findings of one severity."""

from treadle_export.lint.checks_axes import FROZEN_BATCH, FROZEN_TIME, ZERO_SIZE
from treadle_export.lint.checks_file import EXTERNAL_DATA, NO_RECURRENCE, TOO_NEW
from treadle_export.lint.checks_operators import (
    BATCH_FIRST_LAYOUT,
    CUDA_FALLBACK,
    RESET_GATE_SIDE,
)
from treadle_export.lint.checks_quantization import SATURATING_PRODUCT, TENSOR_WISE_SCALE
from treadle_export.lint.checks_state import (
    BAKED_INITIAL_STATE,
    BIDIRECTIONAL,
    IGNORED_LENGTHS,
    LOST_FINAL_STATE,
)
from treadle_export.lint.checks_unrolled import UNROLLED
from treadle_export.lint.checks_weights import (
    COMPUTED_WEIGHTS,
    NOT_FLOAT32,
    UNQUANTIZED_RECURRENCE,
)

CHECKS = (
    EXTERNAL_DATA,
    ZERO_SIZE,
    BATCH_FIRST_LAYOUT,
    NOT_FLOAT32,
    RESET_GATE_SIDE,
    FROZEN_BATCH,
    FROZEN_TIME,
    UNROLLED,
    BAKED_INITIAL_STATE,
    LOST_FINAL_STATE,
    IGNORED_LENGTHS,
    COMPUTED_WEIGHTS,
    UNQUANTIZED_RECURRENCE,
    SATURATING_PRODUCT,
    TENSOR_WISE_SCALE,
    TOO_NEW,
    BIDIRECTIONAL,
    CUDA_FALLBACK,
    NO_RECURRENCE,
)

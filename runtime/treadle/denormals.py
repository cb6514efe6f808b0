"""Whether the calling thread counts denormal numbers as zero, as a model may ask for.

onnxruntime's option `session.set_denormal_as_zero` reaches the threads of its own pool with every
session, but the thread that calls only with the first session of a process (`std::call_once` in
onnxruntime/core/session/inference_session.cc), and on x86 alone; threads that it starts later begin
as it is. A step is computed by both kinds, so where only one of them flushed, a row would depend on
how the engine divided it. So what was asked for is tried, in the thread that is about to compute,
and refused where it is not so.
"""

from __future__ import annotations

import numpy as np

from treadle.errors import DeviceError

_DENORMAL = np.full(8, 1e-40, np.float32)


def flushes_denormals() -> bool:
    """Whether arithmetic of the calling thread counts denormal float32 numbers as zero."""
    return not (_DENORMAL * np.float32(0.5)).any()


def check_flushing() -> None:
    """Raise DeviceError unless the calling thread counts denormal numbers as zero."""
    if not flushes_denormals():
        raise DeviceError(
            "denormals=False was asked for, but this thread keeps denormal numbers: the engine "
            "reaches only the thread that opens a process's first session, and on x86 alone; load "
            "this model and make its first stream before all others, and use it in that thread, or "
            "ask for denormals=True"
        )

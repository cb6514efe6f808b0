"""What every test shares: one thread, and examples that are the same on every run."""

import os
import signal

# Where the tests run in the background, Ctrl-C is ignored and every process they start inherits
# that; the tests of an interruption need it to interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Before torch or onnxruntime is imported: the test processes run side by side, so each has a
# single thread; more would only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import HealthCheck, settings

# A slow machine is not a failed property, so no deadline.
SLOW_IS_FINE = (HealthCheck.too_slow,)
settings.register_profile(
    "repeatable", deadline=None, derandomize=True, suppress_health_check=SLOW_IS_FINE
)
# TREADLE_EXAMPLES=explore looks for new counterexamples instead.
settings.register_profile(
    "explore", deadline=None, max_examples=500, suppress_health_check=SLOW_IS_FINE
)
settings.load_profile(os.environ.get("TREADLE_EXAMPLES", "repeatable"))

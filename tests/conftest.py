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

import pytest
from _pytest import nodes
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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let `--dist loadgroup` see its groups: pytest 9.2 does not read what xdist 3.8 writes."""
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        groups = {str(mark.args[0]) for mark in item.iter_markers("xdist_group")}
        suffix = f"@{'_'.join(sorted(groups))}"
        if groups and not item.nodeid.endswith(suffix):
            item._id = nodes.coerce_node_id(item.nodeid + suffix)  # type: ignore[attr-defined]

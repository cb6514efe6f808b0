"""How a bundle's plan asks to be run: with how many threads, and by which call of the engine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from treadle.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

Call = Literal["prebound", "plain"]
# prebound: every buffer bound once, a step is one raw call. plain: `session.run` with dictionaries.
CALLS: tuple[Call, ...] = get_args(Call)


class Running(NamedTuple):
    """Threads within an operator, and how a step calls the engine."""

    threads: int = 1
    call: Call = "prebound"

    @classmethod
    def of(cls, plan: Mapping[str, Any]) -> Running:
        """What `settings` of a manifest's plan say; one thread and prebound where it has none.

        Threads are never more than the processors that are here: a plan may come from a larger
        machine. Raises BundleError for values that no exporter writes.
        """
        settings = plan.get("settings", {})
        if not isinstance(settings, dict):
            raise BundleError(f"plan.settings should be an object, got {settings!r}")
        threads, call = settings.get("threads", 1), settings.get("call", "prebound")
        if type(threads) is not int or threads < 1:
            raise BundleError(
                f"plan.settings.threads should be an integer of at least 1, got {threads!r}"
            )
        if call not in CALLS:
            raise BundleError(f"plan.settings.call should be one of {CALLS}, got {call!r}")
        return cls(min(threads, cores()), call)


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # on Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

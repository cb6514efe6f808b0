"""What a process holds, and a limit to what it may still ask for, where the system has them."""

from __future__ import annotations

import os
from pathlib import Path

_STATM = Path("/proc/self/statm")


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not say."""
    return _pages(1)


def limit_growth(size: int) -> None:
    """Let no allocation take the process more than `size` bytes beyond what it has now."""
    if not _STATM.exists():
        return
    import resource

    limit = _pages(0) + size
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _pages(place: int) -> int:
    if not _STATM.exists():
        return 0
    return int(_STATM.read_text().split()[place]) * os.sysconf("SC_PAGE_SIZE")

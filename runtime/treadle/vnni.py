"""Whether this is a processor on which products in integers may saturate."""

from __future__ import annotations

import platform
from functools import cache

_X86 = ("x86_64", "amd64", "i386", "i686")
VNNI = ("avx512_vnni", "avx_vnni")
_CPUINFO = "/proc/cpuinfo"
_FIRST = 8192  # bytes of it that hold the flags of the first processor; all others have the same


@cache
def may_saturate() -> bool:
    """Whether this is an x86 processor without VNNI, or one whose features cannot be read.

    Linux says them in a file; elsewhere the products are tried.
    """
    if platform.machine().lower() not in _X86:
        return False
    try:
        with open(_CPUINFO, encoding="utf-8", errors="replace") as file:
            features = file.read(_FIRST).partition("\nflags")[2].partition("\n")[0].split()
    except OSError:
        return True
    return not any(feature in features for feature in VNNI)

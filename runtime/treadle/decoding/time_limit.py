"""A limit of seconds, looked at between steps."""

from __future__ import annotations

import time

from treadle.errors import InputError


class TimeLimit:
    """`seconds` from now, None without end. Raises InputError for less than 0 or NaN."""

    __slots__ = ("_end",)

    def __init__(self, seconds: float | None) -> None:
        if seconds is not None and not seconds >= 0:
            raise InputError(f"time_limit should be 0 seconds or more, got {seconds}")
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float | None:
        """Seconds left, at least 0; None without end."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether none are left."""
        return self.left == 0

"""Who may use a stream: what only one call at a time can hold."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PAUSE = 0.0005
"""Seconds between two looks at a turn that is waited for."""


class Turn:
    """One place, held from `take` to `give`; never waited for but by `wait`.

    take(): hold it. Raises IndexError where another call holds it. give(None): let go of it.

    A list with one entry: `pop` and `append` are as indivisible as a lock's methods and take a
    third of their time, which is a tenth of what a step costs above the engine's own call.
    """

    __slots__ = ("give", "take")

    def __init__(self) -> None:
        place: list[None] = [None]
        self.take: Callable[[], None] = place.pop
        self.give: Callable[[None], None] = place.append

    def wait(self) -> None:
        """Hold it as soon as it is free."""
        while True:
            try:
                self.take()
                return
            except IndexError:
                time.sleep(_PAUSE)

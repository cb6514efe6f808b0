"""Which call of the engine makes the steps of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.bound_step import BoundStep
from treadle.plain_step import PlainStep

if TYPE_CHECKING:
    from treadle.plan import Call


def step_kind(call: Call, *, on_device: bool, captured: bool) -> type[BoundStep]:
    """The class for a plan's call; on a device always one whose state stays there."""
    if not on_device:
        return PlainStep if call == "plain" else BoundStep
    if captured:
        from treadle.captured_step import CapturedStep

        return CapturedStep
    from treadle.device_step import DeviceStep

    return DeviceStep

"""How a camera is doing, in one word and one sentence, since when."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from agent.inspection.frame import Moment

FAILED = frozenset({"offline", "no-frames", "frozen"})
"""The states in which a camera gives no picture and is tried again."""

_HUNG_NS: Final = 15_000_000_000  # longer than OpenCV's own 10 s for a V4L2 camera


@dataclass(frozen=True, slots=True)
class CameraState:
    """What a camera is shown as.

    Attributes:
        state: ``starting``, ``running``, ``offline``, ``no-frames``, ``frozen`` or ``ended``.
        reason: A sentence where it has failed; empty otherwise.
        since: When this state began.
    """

    state: str
    reason: str
    since: Moment


class StateKeeper:
    """Keeps one camera's state, written by its capture thread, read by any; each change is logged once.

    Args:
        name: The camera's name.
        began: When the agent took the camera on; it is ``starting`` then.
        on_state: Told of each change, on the capture thread.
    """

    def __init__(self, name: str, began: Moment, on_state: Callable[[str, CameraState], None]) -> None:
        self._name = name
        self._on_state = on_state
        self._log = structlog.get_logger()
        self.now = CameraState("starting", "", began)
        """The state; replaced whole, so a reader never sees half of one."""

    def become(self, state: str, reason: str, moment: Moment) -> None:
        """Take on a state; nothing happens when neither it nor its reason is new."""
        was = self.now
        if (was.state, was.reason) == (state, reason):
            return
        since = was.since if was.state == state else moment
        self.now = CameraState(state, reason, since)
        say = self._log.warning if state in FAILED else self._log.info
        say("camera.state", camera=self._name, state=state, was=was.state, reason=reason)
        self._on_state(self._name, self.now)


def as_seen(kept: CameraState, now: Moment, last_read_ns: int) -> CameraState:
    """A live camera's state for whoever asks now: its own thread cannot say that it hangs in a read.

    Args:
        kept: What the camera's thread said last.
        now: This moment.
        last_read_ns: Monotonic time at which its last frame came.
    """
    silent_ns = now.monotonic_ns - last_read_ns
    if kept.state != "running" or silent_ns < _HUNG_NS:
        return kept
    since = Moment(now.wall - timedelta(microseconds=silent_ns // 1000), last_read_ns, now.state)
    return CameraState("no-frames", f"no frame for {silent_ns // 10**9} s, the camera hangs", since)

"""How things stand with the broker: one state, its reason, and one log line when it changes."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

log = structlog.get_logger(__name__)

STATES: Final[Mapping[str, str]] = {
    "connecting": "The first attempt since the start is under way.",
    "connected": "Messages are sent and acknowledged.",
    "offline": "There is no connection; attempts go on.",
    "refused": "The broker answers and refuses the connection; attempts go on, rarely.",
    "nobody-listens": "The broker takes messages and says that nobody subscribes to them; they are held.",
    "backing-off": "The broker cannot take messages now; sending pauses.",
    "forbidden": "The broker does not let this device publish its ledger; sending pauses.",
    "disk": "The database cannot be read, so nothing is sent.",
    "stopped": "The agent has said goodbye.",
}
"""States of the uplink, as ``status`` shows them."""

_ALERTS: Final[Mapping[str, str]] = {"forbidden": "broker-forbids", "nobody-listens": "nobody-listens"}

_FINE: Final = frozenset({"connected", "stopped", "connecting"})


class Standing:
    """The uplink's state. Written by the uplink's thread, read by any.

    Args:
        now_ns: Monotonic nanoseconds.
        raised: Raises an alert.
        cleared: Clears one.
    """

    def __init__(self, now_ns: Callable[[], int], *, raised: Callable[..., None], cleared: Callable[..., None]) -> None:
        self._now_ns = now_ns
        self._raised = raised
        self._cleared = cleared
        self._alerts: set[str] = set()
        self._shown: tuple[str, dict[str, str] | None, int] = ("connecting", None, now_ns())

    @property
    def state(self) -> str:
        """One of ``STATES``."""
        return self._shown[0]

    def settled(self) -> None:
        """The broker has taken a message for good: whatever stood in the way does not any more."""
        self.become("connected")
        while self._alerts:
            self._cleared(self._alerts.pop(), about="broker", text="the broker takes messages again")

    def become(self, state: str, code: str | None = None, text: str = "") -> None:
        """Note the state and its reason; logs only what is new, so that retries are quiet."""
        old_state, old_reason, since_ns = self._shown
        reason = None if code is None else {"code": code, "text": text}
        old_code = None if old_reason is None else old_reason["code"]
        if (state, code) == (old_state, old_code):
            self._shown = (state, reason, since_ns)
            return
        self._shown = (state, reason, self._now_ns())
        alert = _ALERTS.get(state)
        if alert is not None:
            self._alerts.add(alert)
            self._raised(alert, about="broker", text=text)
        say = log.info if state in _FINE else log.warning
        say("uplink", state=state, was=old_state, code=code, reason=text or None)

    def to_json(self) -> dict[str, Any]:
        """``state``, ``reason`` and for how many seconds."""
        state, reason, since_ns = self._shown
        return {"state": state, "reason": reason, "for_s": round((self._now_ns() - since_ns) / 1e9, 1)}

"""When the uplink may try again: to connect, and to send after the broker has said "not now". No clock, no I/O."""

from collections.abc import Callable
from typing import Final

from agent.sync.retry import delay_s

SECOND_NS: Final = 10**9
STABLE_NS: Final = 60 * SECOND_NS

_FIRST_S: Final = 1.0


class Pace:
    """Two backoffs with full jitter, and the rule of at most one attempt to connect per second.

    The first starts again when a connection has lasted a minute. A broker that accepts connections, takes a message
    and drops them is thus not tried ever faster.

    Args:
        draw: Uniform random number in [0, 1).
        longest_s: Longest pause, seconds.
        now_ns: Monotonic time of the start; the first attempt is due at once.
    """

    def __init__(self, *, draw: Callable[[], float], longest_s: float, now_ns: int) -> None:
        self._draw = draw
        self._longest_s = longest_s
        self._failures = 0
        self._pauses = 0
        self._attempt_ns = 0
        self._connected_ns: int | None = None
        self.connect_at_ns = now_ns
        self.send_at_ns = 0

    def attempted(self, now_ns: int) -> None:
        """An attempt to connect begins."""
        self._attempt_ns = now_ns

    def connected(self, now_ns: int) -> None:
        """It succeeded; pauses of the connection before are over."""
        self._connected_ns = now_ns
        self._pauses = self.send_at_ns = 0

    def settled(self) -> None:
        """The broker has acknowledged something for good."""
        self._pauses = 0

    def lost(self, now_ns: int) -> None:
        """The attempt failed, or the connection ended: plan the next."""
        if self._connected_ns is not None and now_ns - self._connected_ns >= STABLE_NS:
            self._failures = 0
        self._connected_ns = None
        wait_ns = self._wait_ns(self._failures)
        self._failures += 1
        self.connect_at_ns = max(self._attempt_ns + SECOND_NS, now_ns + wait_ns)

    def pause(self, now_ns: int) -> None:
        """The broker cannot take messages now; many answers of one pause count once."""
        if now_ns >= self.send_at_ns:
            self.send_at_ns = now_ns + max(SECOND_NS, self._wait_ns(self._pauses))
            self._pauses += 1

    def pause_long(self, now_ns: int) -> None:
        """The broker will not take messages until a person has changed something."""
        self.send_at_ns = now_ns + round(self._longest_s * SECOND_NS)

    def _wait_ns(self, failures: int) -> int:
        return round(delay_s(failures, self._draw(), first=_FIRST_S, longest=self._longest_s) * SECOND_NS)

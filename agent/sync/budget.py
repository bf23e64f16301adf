"""How much may leave: per second, per day, and at which hours. No network; the clock and the disk are handed in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from agent.config.hours import within
from agent.sync.lanes import ORDER, PATIENT
from agent.sync.limits import Limits

PICTURES: Final = "pictures"
"""The lane behind all others."""

_ALL: Final = frozenset({*ORDER, PICTURES})
_NOT_URGENT: Final = _ALL - {"urgent"}
_NONE: Final[frozenset[str]] = frozenset()
_SECOND_NS: Final = 10**9


@dataclass(frozen=True, slots=True)
class LocalTime:
    """The device's own time, as people there read it.

    Attributes:
        day: Such as ``2026-11-24``.
        minute: Of the day, 0 to 1,439.
    """

    day: str
    minute: int


class Bucket:
    """A token bucket that may be overdrawn: what is too large for one second is paid for afterwards.

    Args:
        rate: Tokens per second, which is also what it holds; 0: no bound.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._tokens = rate
        self._at_ns = 0

    def left(self, now_ns: int) -> float:
        """How many tokens are there; negative while it is overdrawn."""
        if self._at_ns:
            self._tokens = min(self._rate, self._tokens + (now_ns - self._at_ns) * self._rate / _SECOND_NS)
        self._at_ns = now_ns
        return self._tokens

    def take(self, tokens: float) -> None:
        """Take so many, there or not."""
        self._tokens -= tokens

    def due_ns(self, now_ns: int) -> int | None:
        """When there is one again; None where there is one now, or no bound."""
        if not self._rate or self._tokens > 0:
            return None
        return now_ns + 1 + round(-self._tokens / self._rate * _SECOND_NS)


class Budget:
    """What may be sent now. For the uplink's thread; ``snapshot`` for any.

    Urgent messages leave when the others may not, and are counted all the same. Only the number of messages per second
    binds them too, once it is overdrawn by a second's worth: some brokers throw away what is above it.

    Args:
        limits: What is allowed.
        local: The device's own time; None while the clock is unset, and then every hour is open.
        sent_on: Bytes that were sent on a day, by earlier processes too. Raises ``StoreError``.
        count: Notes bytes of a day; never waits.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        local: Callable[[], LocalTime | None],
        sent_on: Callable[[str], int],
        count: Callable[[str, int], None],
    ) -> None:
        self._limits = limits
        self._local = local
        self._sent_on = sent_on
        self._count = count
        self._messages = Bucket(limits.messages_per_s)
        self._bytes = Bucket(limits.bytes_per_s)
        self._day = ""
        self._today = 0
        self._uncounted = 0
        self._free = not (limits.messages_per_s or limits.bytes_per_s or limits.bytes_per_day or limits.backlog_hours)

    def closed(self, now_ns: int) -> frozenset[str]:
        """Lanes that may not be sent now.

        Raises:
            StoreError: What was sent today cannot be read.
        """
        if self._free:
            return _NONE
        seconds = self._closed_by_second(now_ns)
        return seconds if seconds == _ALL else seconds | self._closed_by_day()

    def took(self, size: int) -> None:
        """A publication of so many bytes was sent."""
        if not self._free:
            self._messages.take(1)
            self._bytes.take(size)
            self._today += size
            self._uncounted += size

    def flush(self) -> None:
        """Note on the disk what was sent since the last call."""
        if self._uncounted and self._day and self._limits.bytes_per_day:
            self._count(self._day, self._uncounted)
        self._uncounted = 0

    def due_ns(self, now_ns: int) -> int | None:
        """When the second's budget has something again; hours and days are looked at every second anyway."""
        times = (self._messages.due_ns(now_ns), self._bytes.due_ns(now_ns))
        return max((moment for moment in times if moment is not None), default=None)

    def snapshot(self) -> dict[str, Any]:
        """The day, what was sent on it, and what may be; None where there is no bound."""
        return {"day": self._day or None, "bytes": self._today, "limit": self._limits.bytes_per_day or None}

    def _closed_by_second(self, now_ns: int) -> frozenset[str]:
        messages, size = self._messages.left(now_ns), self._bytes.left(now_ns)
        rate = self._limits.messages_per_s
        if rate and messages <= -rate:
            return _ALL
        return _NOT_URGENT if (rate and messages <= 0) or (self._limits.bytes_per_s and size <= 0) else _NONE

    def _closed_by_day(self) -> frozenset[str]:
        local = self._local()
        if local is None:
            return _NONE
        if self._limits.bytes_per_day:
            if local.day != self._day:
                self.flush()
                self._today = self._sent_on(local.day)
                self._day = local.day
            if self._today >= self._limits.bytes_per_day:
                return _NOT_URGENT
        return _NONE if within(self._limits.backlog_hours, local.minute) else PATIENT

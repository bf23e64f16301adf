"""What time it is, how far that can be trusted, and names that follow from it.

A device without a battery-backed clock boots in the past and jumps when it finds a time server. So a
moment is written down twice: wall time for people, and the kernel's monotonic time, which never jumps,
together with the id of the boot in which it counts.
"""

import ctypes
import functools
import secrets
import threading
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Final, Literal

from agent.inspection.frame import Moment

ClockState = Literal["synced", "holdover", "unset"]

FLOOR: Final = datetime(2025, 1, 1, tzinfo=timezone.utc)
"""A wall clock before this date was never set: the agent is younger than that."""

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

_STA_UNSYNC: Final = 0x0040  # linux/timex.h
_STATE_KEPT_NS: Final = 1_000_000_000


class _Timex(ctypes.Structure):
    """The head of `struct timex` (linux/timex.h); what follows is only room for the kernel."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )


def kernel_disciplined() -> bool | None:
    """Ask the kernel whether a time source steers its clock.

    Calls adjtimex(2) with `modes = 0`, which reads and needs no privilege, and looks at STA_UNSYNC.

    Returns:
        True or False as the kernel says, None where it may not be asked (systemd's `ProtectClock=yes`
        refuses the reading call too) or has no such call.
    """
    asked = _Timex()
    try:
        answer = ctypes.CDLL(None).adjtimex(ctypes.byref(asked))
    except (OSError, AttributeError):
        return None
    return None if answer < 0 else not asked.status & _STA_UNSYNC


def judge_clock(wall: datetime, *, disciplined: bool | None) -> ClockState:
    """Say how far a wall clock can be trusted.

    Args:
        wall: What the clock shows, with its timezone.
        disciplined: What the kernel says of it; None if it did not say.

    Returns:
        `unset` before 2025-01-01 whatever the kernel says, `synced` where a time source steers the
        clock, else `holdover`: it was set once, or by hand, and drifts.
    """
    if wall < FLOOR:
        return "unset"
    return "synced" if disciplined else "holdover"


def clock_state() -> ClockState:
    """Judge this device's wall clock now, from the kernel's own word. There is no time client here."""
    return judge_clock(datetime.now(timezone.utc), disciplined=kernel_disciplined())


@functools.cache
def kernel_boot_id(path: Path = BOOT_ID) -> str:
    """Name this boot of the kernel, so that monotonic times of one boot can be compared.

    Args:
        path: Where the kernel tells it.

    Returns:
        The kernel's UUID, the same in all processes until the next boot. Where the kernel does not
        tell, a UUID of this process alone: then nobody compares times that may not be compared.
    """
    try:
        return path.read_text(encoding="ascii").strip() or str(uuid.uuid4())
    except (OSError, UnicodeError):
        return str(uuid.uuid4())


class Clock:
    """Stamps moments. Any thread may call `now` at any time; it never blocks.

    The state is asked for at most once a second, since a camera stamps every frame.
    """

    def __init__(
        self,
        *,
        read_state: Callable[[], ClockState] = clock_state,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._read_state = read_state
        self._monotonic_ns = monotonic_ns
        self._kept: tuple[int, ClockState] | None = None

    def now(self) -> Moment:
        """Return this moment."""
        monotonic_ns = self._monotonic_ns()
        wall = datetime.now(timezone.utc)
        # One tuple, replaced whole: two threads may both ask the kernel, neither sees half an answer.
        kept = self._kept
        if kept is None or monotonic_ns - kept[0] >= _STATE_KEPT_NS:
            kept = self._kept = (monotonic_ns, self._read_state())
        return Moment(wall, monotonic_ns, kept[1])


class Uuid7Source:
    """Makes UUIDs of version 7 (RFC 9562, section 5.7) that rise strictly, from any thread.

    The 74 bits below the millisecond are random at the first id of each millisecond and grow by a
    random step within it (section 6.2, method 2). When the wall clock jumps back, ids go on from the
    last millisecond: an id orders and identifies, it does not tell the time.
    """

    def __init__(self, wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._wall_ms = wall_ms
        self._lock = threading.Lock()
        self._last = 0

    def new(self) -> str:
        """Return the next id, 36 characters, lower case."""
        with self._lock:
            now = self._wall_ms()
            if now > self._last >> 74:
                # The top bit stays 0 so that the steps of one millisecond do not run out of room.
                self._last = now << 74 | secrets.randbits(73)
            else:
                self._last += 1 + secrets.randbits(32)
            last = self._last
        milliseconds, rand_a, rand_b = last >> 74, last >> 62 & 0xFFF, last & (1 << 62) - 1
        value = milliseconds << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b
        return str(uuid.UUID(int=value))


_SOURCE: Final = Uuid7Source()


def new_uuid7() -> str:
    """Return a UUID of version 7 that is greater than every one this process was given before."""
    return _SOURCE.new()

"""How one thread hands something to another: three ways, and what each does when nobody takes it.

==============  ==================================================  =====================
class           a full place means                                  used for
==============  ==================================================  =====================
``Latest``      the newest replaces the one waiting, and counts it  live cameras
``Bounded``     the giver is told no, and says so in a record       triggered frames
``Blocking``    the giver waits; nothing is dropped                 files
==============  ==================================================  =====================

All three ring a ``Bell``, so that one thread can sleep over many of them.
"""

import threading
import time
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Bell:
    """Wakes one sleeper when anything has arrived anywhere; a ring while awake is kept."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def ring(self) -> None:
        """Wake the sleeper, or let its next wait return at once."""
        self._event.set()

    def wait(self, timeout_s: float) -> bool:
        """Sleep until a ring or ``timeout_s`` seconds; True when it rang."""
        rang = self._event.wait(timeout_s)
        self._event.clear()
        return rang


class Latest(Generic[T]):
    """One slot: a newer item replaces the one that waits, and the replacement is counted."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._lock = threading.Lock()
        self._item: T | None = None
        self._replaced = 0

    def put(self, item: T) -> None:
        """Leave ``item`` for the taker; never waits."""
        with self._lock:
            if self._item is not None:
                self._replaced += 1
            self._item = item
        self._bell.ring()

    def take(self) -> tuple[T | None, int]:
        """The waiting item or None, and how many were replaced since the last take of an item."""
        with self._lock:
            item, self._item = self._item, None
            if item is None:
                return None, 0
            replaced, self._replaced = self._replaced, 0
            return item, replaced

    def __len__(self) -> int:
        return int(self._item is not None)


class Bounded(Generic[T]):
    """A queue of at most ``size`` items that refuses the next one instead of waiting."""

    def __init__(self, bell: Bell, *, size: int) -> None:
        self._bell = bell
        self._size = size
        self._items: deque[T] = deque()

    def offer(self, item: T) -> bool:
        """Append ``item``; False when the queue is full and ``item`` was not taken."""
        if len(self._items) >= self._size:
            return False
        self._items.append(item)
        self._bell.ring()
        return True

    def take(self) -> T | None:
        """The oldest item, or None."""
        try:
            return self._items.popleft()
        except IndexError:
            return None

    def peek(self) -> T | None:
        """The oldest item without taking it, or None; only the taker's thread may ask."""
        return self._items[0] if self._items else None

    def __len__(self) -> int:
        return len(self._items)


class Blocking(Generic[T]):
    """A queue of at most ``size`` items whose giver waits for room; nothing is dropped."""

    def __init__(self, bell: Bell, *, size: int) -> None:
        self._bell = bell
        self._size = size
        self._items: deque[T] = deque()
        self._room = threading.Condition()
        self._closed = False

    def put(self, item: T) -> bool:
        """Wait for room and append ``item``; False when the queue was closed meanwhile."""
        with self._room:
            while len(self._items) >= self._size and not self._closed:
                self._room.wait()
            if self._closed:
                return False
            self._items.append(item)
        self._bell.ring()
        return True

    def take(self) -> T | None:
        """The oldest item, or None."""
        with self._room:
            if not self._items:
                return None
            item = self._items.popleft()
            self._room.notify()
            return item

    def close(self) -> None:
        """Let every waiting giver go; later puts are refused."""
        with self._room:
            self._closed = True
            self._room.notify_all()

    def __len__(self) -> int:
        return len(self._items)


class Heartbeat:
    """When a thread last made progress, for whoever watches it."""

    def __init__(self) -> None:
        self._beat_ns = time.monotonic_ns()

    def beat(self) -> None:
        """Say that the thread has just made progress."""
        self._beat_ns = time.monotonic_ns()

    def age_s(self) -> float:
        """Seconds since the last beat."""
        return (time.monotonic_ns() - self._beat_ns) / 1e9

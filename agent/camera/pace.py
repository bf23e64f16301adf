"""When the next frame of an interval camera is due."""


class Pace:
    """A schedule without drift: due times lie one interval apart, however long a frame takes.

    Whoever falls behind by more than one interval does not get a burst to catch up: the schedule starts
    anew at that moment.

    Args:
        interval_ns: Nanoseconds from one frame to the next.
    """

    def __init__(self, interval_ns: int) -> None:
        self._interval_ns = interval_ns
        self._due_ns: int | None = None

    def due_ns(self, now_ns: int) -> int:
        """Monotonic time at which the next frame is due; at the first call that is now."""
        if self._due_ns is None or now_ns - self._due_ns > self._interval_ns:
            self._due_ns = now_ns
        return self._due_ns

    def taken(self) -> None:
        """Say that the frame that was due has been taken."""
        if self._due_ns is not None:
            self._due_ns += self._interval_ns

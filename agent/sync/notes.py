"""What the agent says beside its ledger and wants acknowledged: online, status, replies. No network, no clock."""

from collections import deque
from typing import Final

from agent.sync.wire import Note

MOST_WAITING: Final = 256


class Notes:
    """Notes that wait for room in the window, and those that wait for their acknowledgement.

    About 256 wait; of a flood the oldest replies are forgotten, since a command may be asked about again.
    """

    def __init__(self) -> None:
        self._waiting: deque[Note] = deque()
        self._sent: dict[int, tuple[Note, int]] = {}

    @property
    def in_flight(self) -> int:
        """How many are sent and not acknowledged."""
        return len(self._sent)

    def add(self, note: Note) -> None:
        """Say this after the others."""
        self._waiting.append(note)
        if len(self._waiting) > MOST_WAITING:
            oldest = next(index for index, one in enumerate(self._waiting) if one.again or one is note)
            del self._waiting[oldest]

    def add_first(self, note: Note) -> None:
        """Say this before the others."""
        self._waiting.appendleft(note)

    def next(self) -> Note | None:
        """The note to send now."""
        return self._waiting.popleft() if self._waiting else None

    def sent(self, mid: int, note: Note, now_ns: int) -> None:
        """A note has been handed to the wire under this number."""
        self._sent[mid] = (note, now_ns)

    def acknowledged(self, mid: int) -> Note | None:
        """The note that the broker has answered; None if it was none."""
        note, _ = self._sent.pop(mid, (None, 0))
        return note

    def flying(self, topic: str) -> bool:
        """Whether a note to this topic waits for its acknowledgement."""
        return any(note.topic == topic for note, _ in self._sent.values())

    def oldest_sent_ns(self) -> int | None:
        """When the note was sent that waits longest for its acknowledgement."""
        return min((at_ns for _, at_ns in self._sent.values()), default=None)

    def cut(self) -> None:
        """The connection ended: what is worth it is said again on the next, in the old order."""
        for note, _ in reversed(self._sent.values()):
            if note.again:
                self._waiting.appendleft(note)
        self._sent.clear()

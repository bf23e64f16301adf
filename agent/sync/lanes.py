"""The order in which unsettled messages leave: urgent, live, rollups, then what waited before the connection stood.

The disk is the queue; here are only where each lane has been read to, and one page of each. No clock, no network.
"""

from collections import deque
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from typing import Final

from agent.ledger.lanes import AGAIN, LIVE, ROLLUPS, URGENT
from agent.store.outbox import LAST, Outgoing
from agent.sync.disk import Disk

PAGE: Final = 1_000

ORDER: Final = ("urgent", "live", "rollups", "backlog", "again")
"""Lanes as the uplink sees them, first to last. Pictures, which are no ledger messages, come after all of them."""

PATIENT: Final = frozenset({"backlog", "again"})
"""Lanes that may wait for the night."""


@dataclass(slots=True)
class Lane:
    """One lane, as far as it has been read.

    Attributes:
        name: One of ``ORDER``.
        stored: The lane's number in the outbox.
        upto: The last place that belongs to it.
        cursor: Read up to here.
        dry: Whether nothing was found beyond the cursor when it was last read.
        waiting: Read and not yet taken, in order.
        bulk: Whether so much waits, or has waited since it was last empty, that it goes out in batches.
    """

    name: str
    stored: int
    upto: int = LAST
    cursor: int = 0
    dry: bool = False
    waiting: deque[Outgoing] = field(default_factory=deque)
    bulk: bool = False


class Lanes:
    """All lanes of the outbox. For the uplink's thread alone.

    Args:
        disk: The outbox.
        busy: Whether a message that is still unsettled on the disk is in hand already.
        bulk_from: A lane in which so many wait becomes ``bulk``.
    """

    def __init__(self, disk: Disk, *, busy: Callable[[int], bool], bulk_from: int) -> None:
        self._disk = disk
        self._busy = busy
        self._bulk_from = bulk_from
        self._horizon: int | None = None
        self._lanes: tuple[Lane, ...] = ()

    @property
    def dry(self) -> bool:
        """Whether nothing was left on the disk when it was last read."""
        return bool(self._lanes) and all(lane.dry and not lane.waiting for lane in self._lanes)

    def begin(self) -> None:
        """A connection begins: what waits now is backlog, what comes from now on is live."""
        self._horizon = None
        self.rewind()

    def rewind(self) -> None:
        """Read everything again from its start."""
        self._lanes = ()

    def look(self) -> None:
        """There may be something new on the disk; never in the backlog, which ends at the horizon."""
        for lane in self._lanes:
            if lane.name == "again" and lane.dry:
                lane.cursor = 0  # what is wanted again has old places
            if lane.name != "backlog":
                lane.dry = False

    def first(self, closed: Set[str] = frozenset()) -> Lane | None:
        """The first lane in which a message waits.

        Args:
            closed: Lanes that may not be sent now.

        Raises:
            StoreError: The disk cannot be read.
        """
        if not self._lanes:
            self._lanes = self._opened()
        for lane in self._lanes:
            if lane.name in closed:
                continue
            self._fill(lane)
            if lane.waiting:
                return lane
        return None

    def _opened(self) -> tuple[Lane, ...]:
        if self._horizon is None:
            self._horizon = self._disk.newest()
        return (
            Lane("urgent", URGENT),
            Lane("live", LIVE, cursor=self._horizon),
            Lane("rollups", ROLLUPS),
            Lane("backlog", LIVE, upto=self._horizon),
            Lane("again", AGAIN),
        )

    def _fill(self, lane: Lane) -> None:
        while len(lane.waiting) < self._bulk_from and not lane.dry:
            rows = self._disk.unsettled(lane.stored, lane.cursor, lane.upto, PAGE)
            if rows:
                lane.cursor = rows[-1].n
                lane.waiting.extend(row for row in rows if not self._busy(row.n))
            lane.dry = len(rows) < PAGE
        lane.bulk = len(lane.waiting) >= self._bulk_from or (lane.bulk and bool(lane.waiting))

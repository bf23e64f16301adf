"""The body of the thread ``retention``: keeps the store within its budget, and makes room where there is none."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from agent.config.sections import StoreSection
from agent.errors import StoreError
from agent.handoff import Bell, Heartbeat
from agent.store.ballast import Ballast
from agent.store.budget import (
    MB,
    Quotas,
    Usage,
    is_full,
    is_low,
    messages_to_free,
    pictures_to_free,
    room_for_pictures,
    to_json,
)
from agent.store.disk_alerts import DiskAlerts, Tell
from agent.store.eviction import (
    Evicted,
    EvictMessages,
    EvictPictures,
    ExpireMessages,
    ExpirePictures,
    ForgetPictures,
    LimitFile,
)
from agent.store.reader import Reader
from agent.store.sweep import Sweep
from agent.store.transaction import Entry
from agent.store.usage import folder_bytes, measure

ROUND_S: Final = 1.0
ROUTINE_S: Final = 60.0
"""Seconds between two looks for what has reached its age, and at the engine packs."""

RELIEF: Final = 1 * MB
"""At least so much is let go when a commit found no room."""

WENT: Final = ("evidence-evicted", "evidence-expired", "evidence-missing", "ledger-evicted", "ledger-expired")
"""What had to go since the start is counted under these headings."""

_AS_IT_IS: Final = 1
"""A limit below every size: the database's file does not grow. Else it would grow in its log, which a full disk does
not let it write back."""

_log = structlog.get_logger()


class Retention:
    """Watches the disk, asks the journal to let go what is worth least, and removes the files after the commit.

    ``run`` belongs to its thread; ``relief`` is called by the journal's; ``room`` and ``snapshot`` by any.

    Args:
        folder: The store's folder; the database exists.
        quotas: What may be used.
        days: How long pictures are kept, by why they were kept; 0: no end.
        hold_days: How long settled messages are kept.
        packs: Folders of engine packs.
        reader: The database.
        put: Hands an entry to the journal.
        failing: Whether the journal cannot write now.
        alerts: Told what the disk is short of.
    """

    def __init__(
        self,
        *,
        folder: Path,
        quotas: Quotas,
        days: Mapping[str, float],
        hold_days: float,
        packs: Sequence[Path],
        reader: Reader,
        put: Callable[[Entry], None],
        failing: Callable[[], bool],
        alerts: DiskAlerts,
    ) -> None:
        self._folder = folder
        self._quotas = quotas
        self._days = days
        self._hold_days = hold_days
        self._packs = packs
        self._reader = reader
        self._put = put
        self._failing = failing
        self._alerts = alerts
        self._stopping = False
        self._ballast = Ballast(folder, quotas.ballast)
        self._sweep = Sweep(folder / "evidence", reader=reader, put=put, missing=self._forget)
        self._bell = Bell()
        self._lock = threading.Lock()
        self._doomed: deque[str] = deque()
        self._asked = 0
        self._went = dict.fromkeys(WENT, 0)
        self._pack_bytes = 0
        self._usage: Usage | None = None
        self._low = self._full = self._stuck = self._capped = False
        self._routine_s = -ROUTINE_S
        self.heartbeat = Heartbeat()

    @classmethod
    def of(
        cls,
        store: StoreSection,
        *,
        packs: Sequence[Path],
        reader: Reader,
        put: Callable[[Entry], None],
        failing: Callable[[], bool],
        raised: Tell,
        cleared: Tell,
    ) -> "Retention":
        """As the settings want it."""
        quotas = Quotas(
            database=store.database_mb * MB,
            evidence=store.evidence_mb * MB,
            packs=store.packs_mb * MB,
            free=store.free_mb * MB,
            ballast=store.ballast_mb * MB,
        )
        days = {
            "audit": store.audit_days,
            "all": store.cleared_days,
            "archive": store.archive_days,
            "inconclusive": store.inconclusive_days,
            "fail": store.fail_days,
        }
        return cls(
            folder=store.dir,
            quotas=quotas,
            days=days,
            hold_days=store.hold_days,
            packs=packs,
            reader=reader,
            put=put,
            failing=failing,
            alerts=DiskAlerts(quotas, raised=raised, cleared=cleared),
        )

    def run(self) -> None:
        """The thread's body: until ``stop``."""
        while not self._stopping:
            self.step()
            self._bell.wait(ROUND_S)
        self._remove_files()

    def stop(self) -> None:
        """Ask the thread to end; files of what went before are still removed."""
        self._stopping = True
        self._bell.ring()

    def step(self) -> None:
        """Look once, and do what follows from it."""
        self.heartbeat.beat()
        self._remove_files()
        now_s = time.monotonic()
        routine = now_s - self._routine_s >= ROUTINE_S
        if routine:
            self._routine_s = now_s
            self._pack_bytes = folder_bytes(self._packs)
        usage = self._usage = self._measured()
        if usage is None:
            return
        self._low = is_low(usage, self._quotas, before=self._low)
        self._ballast.keep(usage.free)
        self._tell(usage, now_s)
        self._sweep.step(now_s)
        if self._asked == 0:
            self._ask(self._due(usage, routine=routine))

    def _measured(self) -> Usage | None:
        try:
            return measure(self._folder, self._reader, packs=self._pack_bytes)
        except (StoreError, OSError) as error:
            _log.warning("retention.cannot-look", reason=str(error))
            return None

    def _due(self, usage: Usage, *, routine: bool) -> list[Entry]:
        """What should go now."""
        due: list[Entry] = []
        if pictures := pictures_to_free(usage, self._quotas, low=self._low):
            due.append(EvictPictures(partial(self._heard, "evidence-evicted"), pictures))
        if messages := messages_to_free(usage, self._quotas, stuck=self._stuck):
            due.append(EvictMessages(partial(self._heard, "ledger-evicted"), messages))
        if routine:
            due.append(ExpirePictures(partial(self._heard, "evidence-expired"), self._days))
            due.append(ExpireMessages(partial(self._heard, "ledger-expired"), self._hold_days))
        return due

    def _ask(self, due: Sequence[Entry]) -> None:
        with self._lock:
            self._asked += len(due)
        for entry in due:
            self._put(entry)

    def _heard(self, what: str, went: Evicted) -> None:
        """An entry that a round asked for is committed; on the journal's thread."""
        with self._lock:
            self._asked -= 1
        self._gone(what, went)

    def _gone(self, what: str, went: Evicted) -> None:
        if not went.settled and not went.unsettled:
            return
        with self._lock:
            self._went[what] += went.settled + went.unsettled
        self._doomed.extend(went.paths)
        if what.endswith("evicted") and went.unsettled:
            self._alerts.evicted(what, went.unsettled, time.monotonic())
        if what.endswith("expired"):
            self._routine_s = -ROUTINE_S  # there may be more of it
        self._bell.ring()

    def tell_gone(self, records: Sequence[str]) -> None:
        """Pictures went before the database was open: tell them now."""
        if records:
            self._put(ForgetPictures(partial(self._gone, "evidence-evicted"), records, "evidence-evicted"))

    def _forget(self, records: Sequence[str]) -> None:
        """Files of these records' pictures are gone, and it was not us."""
        self._put(ForgetPictures(partial(self._gone, "evidence-missing"), records))

    def _remove_files(self) -> None:
        while self._doomed:
            path = self._folder / "evidence" / self._doomed.popleft()
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                _log.warning("evidence cannot be removed", path=str(path), reason=str(error))

    def _tell(self, usage: Usage, now_s: float) -> None:
        self._alerts.low(usage, low=self._low)
        self._alerts.packs(usage)
        self._alerts.calm(now_s)
        if is_full(usage) or self._ballast.state == "released":
            return
        if self._stuck:
            self._stuck = False
            self._put(self._limit())
        if self._full and not self._failing():
            self._full = False
            self._alerts.writable()

    def relief(self) -> list[Entry]:
        """A commit found no room: what the journal should write first."""
        usage = self._measured()
        if usage is None:
            return []
        self._full = True
        self._alerts.full(usage)
        gives_way = is_full(usage) and self._ballast.state == "held"
        if is_full(usage):
            self._ballast.release()
        if (is_full(usage) or self._stuck) and usage.pictures_help:
            wanted = max(RELIEF, max(self._quotas.free, 3 * self._quotas.ballast) - usage.evidence_free)
            return [EvictPictures(partial(self._gone, "evidence-evicted"), wanted)]
        if is_full(usage):
            self._stuck = True
        if self._capped and not self._stuck:
            return [self._limit()]
        wanted = messages_to_free(usage, self._quotas, stuck=self._stuck)
        if not self._stuck:  # more than its quota has room for
            return [self._messages(max(RELIEF, wanted))]
        # Pages that hold nothing do not help a log that has no room.
        return [self._limit(), *([self._messages(wanted)] if wanted and not gives_way else [])]

    def _limit(self) -> Entry:
        """The file may grow to its quota, or not at all while the disk is full."""
        capped = self._stuck
        return LimitFile(_AS_IT_IS if capped else self._quotas.database, partial(setattr, self, "_capped", capped))

    def _messages(self, wanted: int) -> Entry:
        return EvictMessages(partial(self._gone, "ledger-evicted"), wanted)

    def room(self) -> bool:
        """Whether another picture may be written."""
        return self._usage is None or room_for_pictures(self._usage, self._quotas)

    def snapshot(self) -> dict[str, Any] | None:
        """Use and limit of each class, and what went since the start; None where that is not known now."""
        if self._usage is None:
            return None
        with self._lock:
            went = {code.replace("-", "_"): count for code, count in self._went.items()}
        return {**to_json(self._usage, self._quotas), "ballast": self._ballast.state, "went": went}

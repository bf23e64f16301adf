"""The one writer: gathers what waits into a transaction, commits it, tells whoever waits for it."""

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from agent.errors import StoreError
from agent.handoff import Heartbeat
from agent.inspection.frame import Frame, Moment
from agent.ledger.gaps import FrameGap, FrameGaps, frame_gap_body
from agent.ledger.sealing import Origin
from agent.store.beginning import Beginning
from agent.store.connection import Connection
from agent.store.cursors import Cursors
from agent.store.open_rollups import OpenRollups
from agent.store.opening import Opening
from agent.store.schema import damaging
from agent.store.transaction import Barrier, Entry, Transaction, VerdictEntry

TOGETHER = 500
"""At most so many entries in one transaction."""

_TICK_S = 0.5
RETRY_S = 1.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Head:
    """The ledger's end: which epoch, which number, how many messages are not settled."""

    epoch: str
    seq: int


class Journal:
    """The thread ``journal``. It owns the read-write connection.

    ``submit`` and ``put`` may be called from any thread and never wait for the disk. When the disk refuses, the
    batch is kept and tried again every second; what no longer fits in the queue meanwhile is counted, and
    announced as a gap once the disk is back.

    Args:
        opening: The database, opened; the journal closes it.
        origin: This device and process.
        now: The clock.
        new_id: Makes a UUIDv7.
        commit_ms: How long entries may gather.
        size: Verdicts that may wait.
        on_commit: Called after each commit that appended messages; must not wait.
        relief: Called on this thread when the disk has refused a commit; gives what to write first, to make room.
        recorded: Called after each commit with the ids of its records, before anybody else hears of them.
        troubled: Called with a sentence when the disk begins to refuse, with None when it takes everything again.
        began: Called when a repair while in use began a new epoch. Both on the journal's thread; must not wait.
        retry_s: Pause before a refused batch is tried again.

    Raises:
        StoreError: What an earlier process left open cannot be written.
    """

    def __init__(
        self,
        opening: Opening,
        *,
        origin: Origin,
        now: Callable[[], Moment],
        new_id: Callable[[], str],
        commit_ms: int,
        size: int,
        on_commit: Callable[[], None],
        relief: Callable[[], Sequence[Entry]] = lambda: (),
        recorded: Callable[[Sequence[str]], None] = lambda _ids: None,
        troubled: Callable[[str | None], None] = lambda _text: None,
        began: Callable[[Beginning], None] = lambda _beginning: None,
        retry_s: float = RETRY_S,
    ) -> None:
        self._opening = opening
        self._connection = Connection(opening)
        self._origin = origin
        self._now = now
        self._new_id = new_id
        self._commit_s = commit_ms / 1000
        self._size = size
        self._on_commit = on_commit
        self._relief = relief
        self._recorded = recorded
        self._troubled = troubled
        self._began = began
        self._retry_s = retry_s
        self._waiting: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._hurry = threading.Event()
        self._stop = threading.Event()
        self._rollups = OpenRollups(origin, new_id)
        self._cursors = Cursors()
        self._gaps = FrameGaps(origin.boot)
        self._gaps_lock = threading.Lock()
        self._trouble: str | None = None
        self._no_room = False
        self._stale = False
        self._told: list[FrameGap] = []
        self._commits = 0
        self.heartbeat = Heartbeat()
        self.head = self._open()

    def _open(self) -> Head:
        """Seal what an earlier process left open."""
        try:
            transaction = self._sealed_left_open()
        except sqlite3.Error as error:
            raise StoreError(f"the database cannot be written: {error}. Check the disk that store.dir is on.") from None
        self._opening.committed(transaction)
        return Head(transaction.epoch, transaction.seq)

    def _sealed_left_open(self) -> Transaction:
        try:
            transaction = self._begin()
            transaction.seal_left_open()
            transaction.commit()
        except sqlite3.DatabaseError as error:
            if not damaging(error):
                raise
            self._opening.reopen(str(error))
            return self._sealed_left_open()
        return transaction

    @property
    def failing(self) -> bool:
        """Whether the disk refused the last attempt to write."""
        return self._trouble is not None

    def room(self) -> bool:
        """Whether a file may be inspected: its verdict would find a place and the disk takes it."""
        return self._trouble is None and self._waiting.qsize() < self._size

    def accepts(self, frame: Frame) -> bool:
        """Whether the verdict of a frame that cannot wait finds room; where not, it is lost and becomes a gap.

        Whoever is told True must ``put`` the verdict, now or when its picture is written.
        """
        if self._waiting.qsize() < self._size:
            if self._gaps.growing:
                with self._gaps_lock:
                    self._gaps.accept(frame.camera)
            return True
        with self._gaps_lock:
            self._gaps.lose(frame.camera, frame.number)
        return False

    def submit(self, entry: VerdictEntry) -> bool:
        """Hand over the verdict of a frame that cannot wait; False when there is no room and it becomes a gap."""
        accepted = self.accepts(entry.record.frame)
        if accepted:
            self.put(entry)
        return accepted

    def put(self, entry: Entry) -> None:
        """Hand over something that must not be refused: few, or already limited elsewhere."""
        self._waiting.put(entry)
        if entry.urgent:
            self._hurry.set()

    def suspect(self, fault: str) -> None:
        """The database turned out to be damaged: have it repaired, before anything else is written; any thread."""
        _log.error("damage was found in the database", reason=fault)
        self._connection.suspect(fault)
        self._hurry.set()
        self._waiting.put(None)

    def stop(self) -> None:
        """Ask the thread to write what waits, seal the rollups and end."""
        self._stop.set()
        self._hurry.set()
        self._waiting.put(None)

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything handed over before this call is committed; False when time ran out."""
        written = threading.Event()
        self.put(Barrier(written.set))
        return written.wait(timeout_s)

    def run(self) -> None:
        """The thread's body: until ``stop``, then the final commit."""
        while not self._stop.is_set():
            self.step(_TICK_S)
        self._finish()

    def step(self, timeout_s: float) -> int:
        """Wait for something to write, gather, commit; how many entries were written."""
        self.heartbeat.beat()
        try:
            first = self._waiting.get(timeout=timeout_s)
        except queue.Empty:
            first = None
        if first is not None:
            self._hurry.wait(self._commit_s)
        self._hurry.clear()
        batch = self._gathered(first)
        if batch or self._gaps.pending or self._connection.suspected or self._rollups.ended(self._now()):
            self._until_written(batch)
        return len(batch)

    def _gathered(self, first: Entry | None) -> list[Entry]:
        batch = [] if first is None else [first]
        while len(batch) < TOGETHER:
            try:
                entry = self._waiting.get_nowait()
            except queue.Empty:
                break
            if entry is not None:
                batch.append(entry)
        return batch

    def _until_written(self, batch: list[Entry]) -> None:
        """Write a batch, however long the disk refuses; only a stop ends the attempts."""
        while not self._write(batch, closed="minute"):
            self.heartbeat.beat()  # it is alive; what is ill is the disk
            if self._no_room:
                self._make_room()
            if self._stop.wait(self._retry_s):
                self._give_up(batch)
                return
            if self._no_room and len(batch) > 1:  # it may be more than there will ever be room for
                half = len(batch) // 2
                self._until_written(batch[:half])
                self._until_written(batch[half:])
                return

    def _make_room(self) -> None:
        """Let go what is worth least, each in a transaction of its own, until the disk refuses even that."""
        entries = self._relief()
        with contextlib.suppress(sqlite3.Error):
            self._connection.db.execute("PRAGMA wal_checkpoint")  # the log may not grow; written back, it begins anew
        for entry in entries:
            if not self._write([entry], closed="minute"):
                return

    def _write(self, batch: list[Entry], *, closed: str) -> bool:
        """One attempt; False when the disk refused and nothing was written."""
        try:
            transaction = self._settled(batch) or self._attempted(batch, closed)
        except sqlite3.IntegrityError:
            raise  # a fault of the agent, not of the disk: trying again would never help
        except (sqlite3.Error, StoreError) as error:
            self._failed(error)
            return False
        self._succeeded(transaction)
        self._recorded(transaction.recorded)
        for entry in batch:
            entry.committed()
        if transaction.appended:
            self._on_commit()
        return True

    def _attempted(self, batch: list[Entry], closed: str) -> Transaction:
        self._told = self._gaps_to_announce(batch)
        self._stale = True
        transaction = self._begin()
        for entry in batch:
            entry.write(transaction)
        for gap in self._told:
            body = frame_gap_body(transaction.moment, gap, code="journal-full", text="the disk did not keep up")
            transaction.message("gaps", body)
        transaction.seal_rollups(closed=closed)
        self._connection.commits(transaction, batch)
        transaction.commit()
        return transaction

    def _settled(self, batch: list[Entry]) -> Transaction | None:
        """Clear away what a failed attempt left, before the next one.

        Where the connection cannot be trusted any more, a new one takes its place. Then it shows whether the attempt
        that failed was committed after all: its transaction is returned, and the batch must not be written again.
        """
        if self._connection.trusted:
            if self._stale:
                self._roll_back()
            self._put_back()
            return None
        committed = self._connection.renew(batch)
        self._forget()
        if self._opening.beginning is not None:
            self._began(self._opening.beginning)
        if committed is None:
            self._put_back()
        return committed

    def _gaps_to_announce(self, batch: list[Entry]) -> list[FrameGap]:
        """What to announce with a batch; a batch that was refused goes first, while its gaps grow on as one each."""
        if batch and self._trouble is not None:
            return []
        with self._gaps_lock:
            return self._gaps.take()

    def _begin(self) -> Transaction:
        return Transaction(
            self._connection.db,
            origin=self._origin,
            moment=self._now(),
            rollups=self._rollups,
            cursors=self._cursors,
            new_id=self._new_id,
        )

    def _roll_back(self) -> None:
        """Undo everything, in memory too.

        Raises:
            sqlite3.Error: Not even that is possible now; it must be done before the next transaction.
        """
        if self._connection.db.conn.in_transaction:
            self._connection.db.execute("ROLLBACK")
        self._forget()

    def _forget(self) -> None:
        """The rows are the truth."""
        self._cursors.forget()
        self._rollups.forget(self._connection.db)
        self._stale = False

    def _put_back(self) -> None:
        """The gaps of an attempt that was not committed wait again."""
        with self._gaps_lock:
            self._gaps.put_back(self._told)
        self._told = []

    def _failed(self, error: Exception) -> None:
        self._connection.failed(error)
        if self._connection.trusted:
            with contextlib.suppress(sqlite3.Error):
                self._roll_back()
            self._put_back()
        text = f"the database cannot be written: {error}"
        if self._trouble is None:
            _log.error("journal cannot write; it tries again every second", reason=str(error))
            self._troubled(text)
        self._trouble = text
        self._no_room = "full" in str(error)  # its code is known to Python 3.11 only

    def _succeeded(self, transaction: Transaction) -> None:
        self._stale, self._told = False, []
        self._connection.forget_attempt()
        if self._trouble is not None:
            _log.info("journal writes again")
            self._troubled(None)
        self._trouble = None
        self._commits += 1
        self.head = Head(transaction.epoch, transaction.seq)
        self._opening.committed(transaction)

    def _finish(self) -> None:
        """The final commit: everything that waits, and all rollups sealed."""
        while batch := self._gathered(None):
            if not self._write(batch, closed="minute"):
                self._give_up(batch)
        if not self._write([], closed="stop"):
            self._give_up([])
        self._opening.close(sound=self._trouble is None)

    def _give_up(self, batch: list[Entry]) -> None:
        """Let a batch go at the end. Files will be read again; the other frames are announced if that still works."""
        verdicts = [entry for entry in batch if isinstance(entry, VerdictEntry)]
        frames = [entry.record.frame for entry in verdicts if entry.record.frame.mark is None]
        with self._gaps_lock:
            for camera in {frame.camera for frame in frames}:
                self._gaps.accept(camera)  # what was refused meanwhile came later: it is a gap of its own
            for frame in frames:
                self._gaps.lose(frame.camera, frame.number)
        _log.error("journal ends without writing", verdicts=len(verdicts), reason=self._trouble)

    def snapshot(self) -> dict[str, Any]:
        """Figures for ``status``; any thread."""
        return {
            "state": "failing" if self._trouble else "writing",
            "reason": self._trouble,
            "waiting": self._waiting.qsize(),
            "commits": self._commits,
            "frames_lost": self._gaps.lost,
            "epoch": self.head.epoch,
            "head": self.head.seq,
        }

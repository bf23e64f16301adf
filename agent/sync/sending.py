"""What goes out on a connection, in which order, and within which bounds.

Notes first (online, status, replies), then ledger messages by lane, then pictures. For the uplink's thread alone.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from agent.errors import StoreError
from agent.ledger.sealing import canonical
from agent.sync.backlog import Backlog, Publication
from agent.sync.budget import PICTURES, Budget, LocalTime
from agent.sync.bulk import USER_PROPERTIES
from agent.sync.disk import Disk
from agent.sync.limits import Limits
from agent.sync.notes import Notes
from agent.sync.pace import SECOND_NS, Pace
from agent.sync.retry import Settlement, puback_text
from agent.sync.session import Session
from agent.sync.standing import Standing
from agent.sync.topics import Topics
from agent.sync.wire import Broker, Note, Pictures

MOST_PICTURES: Final = 2
"""Pictures in flight at once: what an alert may have to wait for behind them."""


class Sending:
    """The window, and what takes its places.

    Args:
        broker: The wire.
        topics: The device's topics.
        limits: What the broker is asked to bear.
        disk: The outbox.
        pictures: Pictures that wait; None where none are sent this way.
        status: The body of ``up/status``; never waits.
        session: The present connection.
        pace: When sending may go on.
        standing: How things stand.
        local: The device's own time of day; None while the clock is unset.
        draw: Uniform random number in [0, 1), for the jitter.
        now_ns: Monotonic nanoseconds.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        topics: Topics,
        limits: Limits,
        disk: Disk,
        pictures: Pictures | None,
        status: Callable[[], Mapping[str, Any]],
        session: Session,
        pace: Pace,
        standing: Standing,
        local: Callable[[], LocalTime | None],
        draw: Callable[[], float],
        now_ns: Callable[[], int],
    ) -> None:
        self._broker = broker
        self._topics = topics
        self._status = status
        self._session = session
        self._pace = pace
        self._standing = standing
        self._now_ns = now_ns
        self._disk = disk
        self._backlog = Backlog(disk=disk, topics=topics, limits=limits)
        self._budget = Budget(limits=limits, local=local, sent_on=disk.sent_on, count=disk.count)
        self._jitter_ns = round(limits.backlog_jitter_s * SECOND_NS)
        self._draw = draw
        self._notes = Notes()
        self._pictures = pictures
        self._pictures_sent: dict[int, int] = {}
        self._woken = 0
        self._read_upto = -1
        self._reread = False
        self.status_due = False

    # From any thread.

    def wake(self) -> None:
        """Something was committed."""
        self._woken += 1

    def reread(self) -> None:
        """Something old is to be sent after all; a wake follows."""
        self._reread = True

    def snapshot(self) -> dict[str, Any]:
        """Counts, for ``status``."""
        return {**self._backlog.snapshot(), "sent_today": self._budget.snapshot()}

    @property
    def drained(self) -> bool:
        """Whether all that is on the disk is acknowledged, as far as there was a wake for it."""
        backlog = self._backlog
        done = backlog.dry and not (backlog.in_flight or backlog.holding)
        return done and self._read_upto == self._woken

    # On the uplink's thread.

    def linked(self) -> None:
        """A connection begins."""
        self._disk.connected()
        # A plant's devices come back together: their backlogs do not.
        wait_ns = round(self._draw() * self._jitter_ns) if self._session.connects > 1 else 0
        self._backlog.linked(self._session.largest_packet, bulk_at_ns=self._now_ns() + wait_ns)
        self._notes.add_first(self._session.online())
        self.status_due = True

    def cut(self) -> None:
        """The attempt or the connection has ended."""
        self._backlog.cut()
        self._backlog.flush()
        self._notes.cut()
        self._pictures_sent.clear()
        if self._pictures is not None:
            self._pictures.cut()

    def say(self, note: Note) -> None:
        """Say this when there is room."""
        self._notes.add(note)

    def say_now(self, note: Note) -> None:
        """Say this at once, whatever the window."""
        self._notes.sent(self._publish(note), note, self._now_ns())

    def look(self) -> None:
        """There may be something new, without a wake."""
        self._backlog.look()

    def send(self) -> None:
        """Fill the window."""
        self._send_notes()
        if self._now_ns() < self._pace.send_at_ns:
            return
        try:
            self._send_backlog()
        except StoreError as fault:
            self._pace.pause(self._now_ns())
            self._standing.become("disk", "store", str(fault))
            return
        if self._standing.state == "disk":
            self._standing.become("connected")
        if self._backlog.dry and PICTURES not in self._budget.closed(self._now_ns()):
            self._send_pictures()

    def settle(self) -> None:
        """Tell the journal what has been acknowledged."""
        self._backlog.flush()
        self._budget.flush()

    def hear(self, mid: int, code: int) -> None:
        """The broker acknowledged a publication."""
        note = self._notes.acknowledged(mid)
        if note is not None:
            self._session.answered(note.topic, code)
        elif self._pictures_sent.pop(mid, None) is not None:
            if self._pictures is not None:
                self._pictures.acknowledged(mid, code)
        else:
            self._hear_of_ledger(mid, code)

    def oldest_sent_ns(self) -> int | None:
        """When the publication was sent that waits longest for its acknowledgement."""
        picture = next(iter(self._pictures_sent.values()), None)
        times = (self._backlog.oldest_sent_ns(), self._notes.oldest_sent_ns(), picture)
        return min((moment for moment in times if moment is not None), default=None)

    def due_ns(self) -> int | None:
        """When to send again without an event."""
        now_ns, send_at_ns = self._now_ns(), self._pace.send_at_ns
        times = [moment for moment in (self._backlog.due_ns(), self._budget_due_ns(now_ns)) if moment is not None]
        if not times:
            return send_at_ns if send_at_ns > now_ns else None
        return max(min(times), send_at_ns)

    def _budget_due_ns(self, now_ns: int) -> int | None:
        return None if self._backlog.dry and not self._backlog.in_flight else self._budget.due_ns(now_ns)

    def _room(self) -> int:
        return self._session.window - self._backlog.in_flight - self._notes.in_flight - len(self._pictures_sent)

    def _send_notes(self) -> None:
        while self._room() > 0:
            note = self._notes.next() or self._next_status()
            if note is None:
                return
            if self._session.takes(note):
                self.say_now(note)

    def _publish(self, note: Note) -> int:
        retain = self._session.retain(note)
        return self._broker.publish(note.topic, note.body, retain=retain, correlation=note.correlation)

    def _next_status(self) -> Note | None:
        if not self.status_due or self._notes.flying(self._topics.status):
            return None
        self.status_due = False
        return Note(self._topics.status, canonical(self._status()), retain=True)

    def _send_backlog(self) -> None:
        now_ns = self._now_ns()
        if self._reread:
            self._reread = False
            self._backlog.reread()
        while True:
            woken = self._woken  # read before the disk: what is committed later will wake us again
            if woken != self._read_upto:
                self._backlog.look()  # before each: an alert does not wait for the rest of a window
            publication = self._backlog.next(self._room(), now_ns, self._budget.closed(now_ns))
            if self._backlog.dry:
                self._read_upto = woken
            if publication is None:
                return
            self._backlog.sent(self._put(publication), publication, now_ns)

    def _put(self, publication: Publication) -> int:
        self._budget.took(len(publication.topic) + len(publication.body))
        properties = USER_PROPERTIES if publication.batch else ()
        return self._broker.publish(publication.topic, publication.body, user_properties=properties)

    def _send_pictures(self) -> None:
        if self._pictures is None:
            return
        while len(self._pictures_sent) < MOST_PICTURES and self._room() > 0:
            picture = self._pictures.next(self._session.room_for(self._topics.root))
            if picture is None:
                return
            mid = self._broker.publish(picture.topic, picture.body, user_properties=picture.user_properties)
            self._budget.took(len(picture.topic) + len(picture.body))
            self._pictures_sent[mid] = self._now_ns()
            self._pictures.sent(mid)

    def _hear_of_ledger(self, mid: int, code: int) -> None:
        now_ns = self._now_ns()
        meaning = self._backlog.acknowledged(mid, code, now_ns)
        if meaning is Settlement.SETTLE:
            self._pace.settled()
            self._standing.settled()
        elif meaning is Settlement.HOLD:
            self._standing.become("nobody-listens", "no-subscriber", "nobody subscribes to this device's ledger")
        elif meaning is Settlement.BACK_OFF:
            self._pace.pause(now_ns)
            self._standing.become("backing-off", f"0x{code:02X}", puback_text(code))
        elif meaning is Settlement.FORBIDDEN:
            self._pace.pause_long(now_ns)
            text = "the broker's rules do not let this device publish there"
            self._standing.become("forbidden", f"0x{code:02X}", text)

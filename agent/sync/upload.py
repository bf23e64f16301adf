"""Pictures on their way to the centre, after their records: the thread ``upload``.

::

    evidence (rows, files) --next--> read, check the hash --> HTTPS or MQTT --> fate --> journal
                                                                        +--> pause, another picture, alert

Each picture's fate is a ledger message, committed before the next one is looked for: so one that is stored is not
sent again, and a restart goes on where it was. What has left this device in vain is counted too.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from agent.errors import StoreError, in_words
from agent.handoff import Bell, Heartbeat
from agent.inspection.frame import Moment
from agent.ledger.messages import PICTURE_REASONS
from agent.ledger.sealing import sha256_hex
from agent.store.pictures import FateEntry, KeptPicture, TriedEntry, next_to_send, to_erase, uploaded_on
from agent.store.reader import Reader
from agent.store.statefile import fsync_folder
from agent.store.transaction import Entry
from agent.sync.delivery import Blame, Meaning, Outcome
from agent.sync.retry import delay_s

IDLE_S: Final = 1.0
_FIRST_PAUSE_S: Final = 1.0
_PASSED_OVER: Final = 50
_ALERT: Final = "upload-refused"
_ERASED: Final = ("erased-on-request", PICTURE_REASONS["erased-on-request"])

log = structlog.get_logger(__name__)


class Way(Protocol):
    """One way for pictures to the centre; called from the thread ``upload`` alone."""

    name: str

    def send(self, picture: KeptPicture, body: bytes) -> Outcome:
        """Send one picture and wait for what it comes to."""
        ...

    def close(self) -> None:
        """Give up what is open."""
        ...


class Alerts(Protocol):
    """Where trouble is told, each once."""

    def raised(self, code: str, *, about: str, text: str) -> None:
        """It begins, or goes on."""
        ...

    def cleared(self, code: str, *, about: str, text: str) -> None:
        """It is over, if it stood."""
        ...


class Upload:
    """Sends pictures, and erases those whose erasure was ordered.

    Args:
        way: How they go.
        classes: What goes without being asked for, the most urgent first; empty where nothing does.
        folder: Where the files are.
        attempts: So many failures by its own fault, and a picture is given up.
        bytes_per_day: 0: no limit. A picture that somebody asked for goes all the same.
        longest_s: Longest pause.
        reader: The database.
        put: Hands an entry to the journal; never refuses.
        erased: Hears which record's picture is gone for good; must not wait.
        now: The clock.
        draw: Uniform random number in [0, 1).
        alerts: Hears of trouble.
        stop: Set by ``stop``; the way knows it too.
    """

    def __init__(
        self,
        *,
        way: Way,
        classes: Sequence[str],
        folder: Path,
        attempts: int,
        bytes_per_day: int,
        longest_s: float,
        reader: Reader,
        put: Callable[[Entry], None],
        erased: Callable[[str], None],
        now: Callable[[], Moment],
        draw: Callable[[], float],
        alerts: Alerts,
        stop: threading.Event,
    ) -> None:
        self._way = way
        self._classes = classes
        self._folder = folder
        self._attempts = attempts
        self._bytes_per_day = bytes_per_day
        self._longest_s = longest_s
        self._reader = reader
        self._put = put
        self._erased = erased
        self._now = now
        self._draw = draw
        self._alerts = alerts
        self._stop = stop
        self._bell = Bell()
        self._blame = Blame()
        self._passed_over: deque[str] = deque(maxlen=_PASSED_OVER)
        self._failures = 0
        self._again_ns = 0
        self._told: tuple[str, dict[str, str] | None] = ("idle", None)
        self._counts = {"stored": 0, "failed": 0, "erased": 0, "bytes": 0}
        self.heartbeat = Heartbeat()

    # From any thread.

    def wake(self) -> None:
        """Somebody asked for something."""
        self._bell.ring()

    def stop(self) -> None:
        """Ask the thread to end, also in the middle of a picture."""
        self._stop.set()
        self._bell.ring()

    def snapshot(self) -> dict[str, Any]:
        """Figures for ``status``: the way, whether unasked too, the state and its reason, counts since the start."""
        state, reason = self._told
        sends = "all" if self._classes else "asked"
        return {"way": self._way.name, "sends": sends, "state": state, "reason": reason, **self._counts}

    # On the thread ``upload``.

    def run(self) -> None:
        """The thread's body: until ``stop``."""
        while not self._stop.is_set():
            self._bell.wait(self.step())
        self._way.close()

    def step(self) -> float:
        """Erase what is to be erased, send one picture; seconds until there may be something to do again."""
        self.heartbeat.beat()
        try:
            self._erase_ordered()
            pause_ns = self._again_ns - self._now().monotonic_ns
            if pause_ns > 0:
                return min(IDLE_S, pause_ns / 1e9)
            picture = self._next()
            if picture is None:
                return IDLE_S
            self._serve(picture)
        except StoreError as fault:
            self._become("failing", "store", str(fault))
            return IDLE_S
        return 0.0

    def _next(self) -> KeptPicture | None:
        passed_over = frozenset(self._passed_over)
        picture = self._reader.ask(lambda db: next_to_send(db, self._classes, passed_over))
        if picture is None:
            self._passed_over.clear()  # they had their pause
            self._become("idle")
        elif not picture.asked and self._over_budget(picture):
            self._become("budget", "mb-per-day", "the day's megabytes are used up (upload.mb_per_day)")
            return None
        return picture

    def _over_budget(self, picture: KeptPicture) -> bool:
        if not self._bytes_per_day:
            return False
        day = self._now().wall.date().isoformat()
        return self._reader.ask(lambda db: uploaded_on(db, day)) + picture.bytes > self._bytes_per_day

    def _serve(self, picture: KeptPicture) -> None:
        try:
            body = (self._folder / picture.path).read_bytes()
        except OSError as fault:
            self._fail(picture, "file-missing", f"{picture.path}: {in_words(fault)}")
            return
        if sha256_hex(body) != picture.sha256:
            self._fail(picture, "file-damaged", f"{picture.path}: the hash of its bytes is not that of the record")
            return
        self._become("sending")
        self._act(picture, self._way.send(picture, body))

    def _act(self, picture: KeptPicture, outcome: Outcome) -> None:
        self._counts["bytes"] += outcome.sent
        meaning = outcome.meaning
        if meaning is Meaning.STORED:
            self._stored(picture, outcome)
        elif meaning is Meaning.NEVER:
            self._fail(picture, outcome.code, outcome.text, outcome.sent)
        else:
            counted = meaning is Meaning.REFUSED or (meaning is Meaning.LATER and self._blame.failed(picture.record))
            if counted and picture.attempts + 1 >= self._attempts:
                self._fail(picture, "refused", f"{PICTURE_REASONS['refused']} Last: {outcome.text}", outcome.sent)
            else:
                self._write(TriedEntry(picture.record, outcome.code, counted, outcome.sent))
            self._passed_over.append(picture.record)
            self._pause(outcome)

    def _stored(self, picture: KeptPicture, outcome: Outcome) -> None:
        self._failures = 0
        self._blame.stored(picture.record)
        self._write(FateEntry(picture, "stored", url=outcome.url, sent=outcome.sent))
        self._counts["stored"] += 1
        self._alerts.cleared(_ALERT, about=self._way.name, text="pictures are taken again")

    def _fail(self, picture: KeptPicture, code: str, text: str, sent: int = 0) -> None:
        log.warning("picture-failed", record=picture.record, code=code, reason=text)
        self._write(FateEntry(picture, "failed", reason=(code, text), sent=sent))
        self._counts["failed"] += 1

    def _pause(self, outcome: Outcome) -> None:
        if outcome.meaning is Meaning.REFUSED:
            return  # the server is well
        if outcome.meaning is Meaning.FORBIDDEN:
            pause_s = self._longest_s
        else:
            pause_s = max(
                _FIRST_PAUSE_S, delay_s(self._failures, self._draw(), first=_FIRST_PAUSE_S, longest=self._longest_s)
            )
            self._failures += 1
        self._again_ns = self._now().monotonic_ns + round(pause_s * 1e9)
        self._become("waiting", outcome.code, outcome.text)
        if outcome.alarming or outcome.meaning is Meaning.FORBIDDEN:
            self._alerts.raised(_ALERT, about=self._way.name, text=outcome.text)

    def _erase_ordered(self) -> None:
        """Remove the files whose erasure is committed; only then is it told."""
        for picture in self._reader.ask(to_erase):
            file = self._folder / picture.path
            try:
                file.unlink(missing_ok=True)
                if file.parent.is_dir():
                    fsync_folder(file.parent)
            except OSError as fault:
                raise StoreError(f"{file}: the picture cannot be erased: {in_words(fault)}") from None
            if self._write(FateEntry(picture, "erased", reason=_ERASED)):
                self._counts["erased"] += 1
                self._erased(picture.record)

    def _write(self, entry: FateEntry | TriedEntry) -> bool:
        """Hand an entry to the journal and wait for its commit, or for the stop; True once it is committed."""
        written = threading.Event()
        self._put(replace(entry, done=written.set))
        while not written.wait(0.1) and not self._stop.is_set():
            self.heartbeat.beat()
        return written.is_set()

    def _become(self, state: str, code: str | None = None, text: str = "") -> None:
        reason = None if code is None else {"code": code, "text": text}
        old = self._told
        self._told = (state, reason)
        if state == "waiting" and (old[0] != state or (old[1] or {}).get("code") != code):
            log.warning("upload", state=state, code=code, reason=text)

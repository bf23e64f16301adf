"""A store with pictures, and an upload steered by hand."""

import threading
from collections import deque
from pathlib import Path
from typing import Any

from agent.inspection.record import Evidence, evidence_name
from agent.ledger.sealing import sha256_hex
from agent.store.pictures import KeptPicture, picture_of
from agent.store.reader import Reader
from agent.store.settlements import SettleEntry
from agent.store.transaction import Entry
from agent.sync.delivery import Meaning, Outcome
from agent.sync.upload import Upload
from store_rig import Store, an_entry, ledger, of_kind, rows

STORED = Outcome(Meaning.STORED, sent=10, url="https://server/x")
LATER = Outcome(Meaning.LATER, "http-503", "the server has trouble", sent=4)
REFUSED = Outcome(Meaning.REFUSED, "http-413", "the server does not want it", sent=3)
FORBIDDEN = Outcome(Meaning.FORBIDDEN, "http-401", "the server does not know this device")


class ScriptedWay:
    """A way whose every outcome the test decides: by record, then in order, else stored."""

    name = "scripted"

    def __init__(self) -> None:
        self.outcomes: deque[Outcome] = deque()
        self.always: dict[str, Outcome] = {}
        self.sent: list[str] = []
        self.closed = False

    def send(self, picture: KeptPicture, body: bytes) -> Outcome:
        assert sha256_hex(body) == picture.sha256
        self.sent.append(picture.record)
        if picture.record in self.always:
            return self.always[picture.record]
        return self.outcomes.popleft() if self.outcomes else STORED

    def close(self) -> None:
        self.closed = True


class Bulletin:
    """Which alerts stand."""

    def __init__(self) -> None:
        self.standing: dict[str, str] = {}

    def raised(self, code: str, *, about: str, text: str) -> None:
        self.standing[code] = f"{about}: {text}"

    def cleared(self, code: str, *, about: str, text: str) -> None:
        assert about
        assert text
        self.standing.pop(code, None)


class Pictures:
    """A store, its files, and an upload whose thread is the test's own."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.store = Store(folder)
        self.folder = folder / "evidence"
        self.way = ScriptedWay()
        self.bulletin = Bulletin()
        self.erased: list[str] = []
        self.reader = Reader(folder)
        self._settings = settings
        self.upload = self.made()

    def made(self) -> Upload:
        """An upload, as a start of the daemon makes it."""
        known: dict[str, Any] = {
            "way": self.way,
            "classes": ("fail", "inconclusive", "archive", "audit"),
            "folder": self.folder,
            "attempts": 3,
            "bytes_per_day": 0,
            "longest_s": 60.0,
            "reader": self.reader,
            "put": self.put,
            "erased": self.erased.append,
            "now": self.store.clock,
            "draw": lambda: 1.0,
            "alerts": self.bulletin,
            "stop": threading.Event(),
        }
        return Upload(**{**known, **self._settings})

    def put(self, entry: Entry) -> None:
        """Hand an entry to the journal, which writes it at once."""
        self.store.journal.put(entry)
        self.store.write()

    def keep(self, number: int, *, body: bytes = b"", settled: bool = True, kept: str = "fail") -> str:
        """A record with a picture, settled unless told otherwise; its id."""
        body = body or f"picture {number}".encode()
        plain = an_entry(number, captured=self.store.clock())
        entry = plain.with_evidence(Evidence(sha256_hex(body), len(body), 64, 48))
        path = self.folder / evidence_name(entry.id, entry.record.frame.captured)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        self.put(entry)
        self.store.db.execute("UPDATE evidence SET kept = ? WHERE record = ?", (kept, entry.id))
        if settled:
            self.settle()
        return entry.id

    def settle(self) -> None:
        """Everything that waits is acknowledged."""
        self.put(SettleEntry([row[0] for row in rows(self.store.folder, "SELECT n FROM outbox")]))

    def steps(self, count: int = 20) -> None:
        """Let the upload look around so often; nobody waits for a pause."""
        for _ in range(count):
            self.upload.step()

    def row(self, record: str) -> KeptPicture:
        """A picture's row."""
        found = self.reader.ask(lambda db: picture_of(db, record))
        assert found is not None
        return found

    def file(self, record: str) -> Path:
        """A picture's file."""
        return self.folder / self.row(record).path

    def fates(self) -> list[tuple[str, str, str | None]]:
        """Record, fate and reason code of each message about a picture."""
        told = of_kind("evidence", ledger(self.store.folder))
        return [(one["record"], one["fate"], one["reason"] and one["reason"]["code"]) for one in told]

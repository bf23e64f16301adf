"""The JPEG of a record: encoded and written before the record that names it is submitted."""

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import structlog

from agent.handoff import Heartbeat
from agent.inspection.frame import Image
from agent.inspection.record import Evidence, evidence_name
from agent.ledger.sealing import sha256_hex
from agent.store.statefile import fsync_folder, write_atomically
from agent.store.transaction import Entry, VerdictEntry

_NO_ROOM = "the disk's budget has no room for pictures: free some space, or see store.evidence_mb and store.free_mb"

_log = structlog.get_logger()


class EvidenceWriter:
    """The thread ``evidence``. A picture that cannot be kept never holds its record back.

    Args:
        folder: Where pictures go, a folder for each day.
        quality: JPEG quality, 10 to 100.
        size: Pictures that may wait.
        put: Hands a verdict to the journal; must not refuse.
        room: Whether the disk's budget has room for another picture.
    """

    def __init__(
        self,
        folder: Path,
        *,
        quality: int,
        size: int,
        put: Callable[[Entry], None],
        room: Callable[[], bool] = lambda: True,
    ) -> None:
        self._folder = folder
        self._quality = quality
        self._size = size
        self._put = put
        self._room = room
        self._waiting: queue.SimpleQueue[tuple[VerdictEntry, Image] | None] = queue.SimpleQueue()
        self._trouble: str | None = None
        self._stored = 0
        self._failed = 0
        self._refused = 0
        self._no_room = 0
        self._crowded = False
        self.heartbeat = Heartbeat()

    def offer(self, entry: VerdictEntry, image: Image) -> None:
        """Keep ``image`` for the entry's record; when there is no room the record goes at once without it."""
        room = self._room()
        if self._crowded == room:
            self._crowded = not room
            if self._crowded:
                _log.warning("evidence has no room; records go without it", reason=_NO_ROOM)
        if not room:
            self._no_room += 1
            self._put(entry.without_evidence("no-room"))
            return
        if self._waiting.qsize() >= self._size:
            self._refused += 1
            self._put(entry.without_evidence("queue-full"))
            return
        self._waiting.put((entry, image))

    def stop(self) -> None:
        """Ask the thread to end when all that waits is written."""
        self._waiting.put(None)

    def run(self) -> None:
        """The thread's body: until ``stop``."""
        while self.step(timeout_s=1.0):
            pass

    def step(self, timeout_s: float) -> bool:
        """Write one picture; False after ``stop``."""
        self.heartbeat.beat()
        try:
            job = self._waiting.get(timeout=timeout_s)
        except queue.Empty:
            return True
        if job is None:
            return False
        entry, image = job
        try:
            evidence = self._write(entry, image)
        except OSError as error:
            self._put(entry.without_evidence("failed"))
            self._failed += 1
            if self._trouble is None:
                _log.error("evidence cannot be written; records go without it", reason=str(error))
            self._trouble = f"{self._folder}: pictures cannot be written: {error.strerror or error}"
            return True
        if self._trouble is not None:
            _log.info("evidence is written again")
        self._trouble = None
        self._stored += 1
        self._put(entry.with_evidence(evidence))
        return True

    def _write(self, entry: VerdictEntry, image: Image) -> Evidence:
        """Encode and store one picture.

        Raises:
            OSError: The encoder or the disk refused.
        """
        try:
            fine, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self._quality])
        except cv2.error as error:
            raise OSError(f"the picture cannot be encoded as JPEG: {error}") from None
        if not fine:  # OpenCV 5 says so, OpenCV 4 raises; both refuse a side of more than 65500 pixels
            raise OSError("the picture cannot be encoded as JPEG")
        body = encoded.tobytes()
        path = self._folder / evidence_name(entry.id, entry.record.frame.captured)
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
            fsync_folder(self._folder)
        write_atomically(path, body)
        return Evidence(sha256_hex(body), len(body), image.shape[1], image.shape[0])

    def snapshot(self) -> dict[str, Any]:
        """Figures for ``status``; any thread."""
        return {
            "state": "failing" if self._trouble or self._crowded else "writing",
            "reason": self._trouble or (_NO_ROOM if self._crowded else None),
            "waiting": self._waiting.qsize(),
            "stored": self._stored,
            "failed": self._failed,
            "refused": self._refused,
            "no_room": self._no_room,
        }

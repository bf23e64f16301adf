"""How the whole agent is doing, as ``up/status``, ``up/health`` and ``fieldgate status`` say it."""

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2

from agent import __version__
from agent.camera.capture import Capture
from agent.errors import CameraError, StoreError
from agent.inspection.frame import Moment, utc_text
from agent.inspection.record import EngineFacts
from agent.ledger.rollups import LATENCY_BOUNDS_MS
from agent.ledger.sealing import Origin
from agent.line import Line
from agent.monitor.health import Latency, LineTotals, quantile
from agent.store.evidence import EvidenceWriter
from agent.store.journal import Journal
from agent.store.modes import Modes
from agent.store.outbox import backlog, ledger_facts
from agent.store.reader import Reader

SCHEMA = "fieldgate.status/1"

_NO_ERROR = frozenset({"cleared", "unconfirmed", "confirmed", "nothing-confirmed", "manual"})


class Reporting:
    """Gathers what every room says of itself. Any thread; never waits for one of them.

    Args:
        origin: This device and process.
        now: The clock.
        engines: By engine name, how records name it.
        modes: The mode of each engine name.
        captures: By camera name.
        line: The line.
        journal: The journal.
        evidence: The evidence writer.
        reader: The database.
        alerts: Which alerts stand.
        budget: What the store uses of the disk, and what had to go.
        uplink: How the uplink is doing; None where no broker is configured.
        upload: How pictures get on; None where none are sent.
    """

    def __init__(
        self,
        *,
        origin: Origin,
        now: Callable[[], Moment],
        engines: Mapping[str, EngineFacts],
        modes: Modes,
        captures: Mapping[str, Capture],
        line: Line,
        journal: Journal,
        evidence: EvidenceWriter,
        reader: Reader,
        alerts: Callable[[], list[dict[str, Any]]],
        budget: Callable[[], dict[str, Any] | None],
        uplink: Callable[[], dict[str, Any]] | None,
        upload: Callable[[], dict[str, Any]] | None,
    ) -> None:
        self._origin = origin
        self._now = now
        self._engines = engines
        self._modes = modes
        self._captures = captures
        self._line = line
        self._journal = journal
        self._evidence = evidence
        self._reader = reader
        self._alerts = alerts
        self._budget = budget
        self._uplink = uplink
        self._upload = upload
        self._began = time.monotonic()

    def envelope(self) -> dict[str, Any]:
        """Who speaks, and when: the head of ``up/health``."""
        return {
            "site": self._origin.site,
            "device": self._origin.device,
            "boot": self._origin.boot,
            "kernel_boot": self._origin.kernel_boot,
            **self._now().to_json(),
        }

    def status(self) -> dict[str, Any]:
        """The body of ``up/status``."""
        return {
            "schema": SCHEMA,
            **self.envelope(),
            "agent": __version__,
            "modes": self._modes.all(),
            "engines": {
                name: {"pack": facts.name, "digest": facts.digest, "runtime": facts.runtime}
                for name, facts in self._engines.items()
            },
            "cameras": [capture.status() for capture in self._captures.values()],
            "alerts": self._alerts(),
            "ledger": self.ledger(),
        }

    def full_status(self) -> dict[str, Any]:
        """What ``fieldgate status`` shows: ``up/status`` and how each room is doing."""
        totals = self._line.totals()
        return {
            **self.status(),
            "uptime_s": round(time.monotonic() - self._began, 1),
            "line": {
                "frames": totals.frames,
                "recorded": totals.recorded,
                "outcomes": dict(totals.outcomes),
                "reasons": dict(totals.reasons),
                "latency_ms": {stage: _quantiles(one.counts) for stage, one in totals.latency.items()},
                "last": self._line.last(),
            },
            "journal": self._journal.snapshot(),
            "evidence": self._evidence.snapshot(),
            "budget": self._budget(),
            "uplink": self._uplink() if self._uplink else {"state": "off", "reason": "no broker is configured"},
            "upload": self._upload() if self._upload else {"state": "off"},
            "backlog": self.backlog(),
            "mode_files": dict(self._modes.troubles),
        }

    def ledger(self) -> dict[str, Any]:
        """``{epoch, head, settled, oldest_kept}``; what cannot be read now is None."""
        try:
            return self._reader.ask(ledger_facts)
        except StoreError:
            head = self._journal.head
            return {"epoch": head.epoch, "head": head.seq, "settled": None, "oldest_kept": None}

    def backlog(self) -> dict[str, Any]:
        """What waits now, by where it waits; what cannot be read now is None."""
        try:
            outbox: int | None = self._reader.ask(backlog)
        except StoreError:
            outbox = None
        journal, evidence = self._journal.snapshot(), self._evidence.snapshot()
        return {"outbox": outbox, "journal": journal["waiting"], "evidence": evidence["waiting"]}

    def line_totals(self) -> LineTotals:
        """What the line has counted since the start."""
        totals = self._line.totals()
        return LineTotals(
            monotonic_ns=self._now().monotonic_ns,
            frames=totals.frames,
            errors=sum(count for code, count in totals.reasons.items() if code not in _NO_ERROR),
            replaced=totals.replaced,
            skipped=totals.skipped,
            overflow=sum(capture.status()["overflow"] for capture in self._captures.values()),
            latency={stage: Latency(tuple(one.counts), one.sum) for stage, one in totals.latency.items()},
        )

    def picture(self, camera: str) -> dict[str, Any]:
        """The last image of a camera, as JPEG in base64.

        Raises:
            CameraError: There is no such camera, or it has given no image yet.
        """
        if camera not in self._captures:
            raise CameraError(f"there is no camera '{camera}' here (there: {', '.join(self._captures) or 'none'})")
        image = self._line.picture(camera)
        if image is None:
            reason = self._captures[camera].status()["reason"] or "it has just been started"
            raise CameraError(f"camera {camera} has given no image yet: {reason}")
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])
        return {
            "camera": camera,
            "width": image.shape[1],
            "height": image.shape[0],
            "jpeg": base64.b64encode(encoded.tobytes()).decode(),
            "at": utc_text(self._now().wall),
        }


def _quantiles(counts: Sequence[int]) -> dict[str, float | None]:
    """The median and the slowest hundredth, interpolated within their buckets; None where nothing was counted."""
    found = {name: quantile(LATENCY_BOUNDS_MS, counts, share) for name, share in (("p50", 0.5), ("p99", 0.99))}
    return {name: None if value is None else round(value, 2) for name, value in found.items()}

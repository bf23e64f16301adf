"""The loop: take a frame, inspect it, submit its verdict to the journal, take the next one.

It never waits for a disk: files stay where they are while the journal has no room, and the verdict of a live frame
for which there is none is lost and announced. Triggered frames come first, the oldest before the others; then the
cameras in turn.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from agent.config.sections import AnyCamera
from agent.handoff import Bell, Heartbeat
from agent.inspection.frame import Frame, Image
from agent.inspection.record import Latency, Record, audit_draw, kept_as
from agent.inspection.verdict import REASONS, Verdict, inconclusive
from agent.inspector import Inspection, Inspector, unlooked
from agent.ledger.rollups import Rollup
from agent.store.evidence import EvidenceWriter
from agent.store.in_hand import InHand
from agent.store.journal import Journal
from agent.store.transaction import VerdictEntry

_IDLE_S = 0.2


class Taken(Protocol):
    """What a camera hands over."""

    @property
    def frame(self) -> Frame:
        """The frame."""

    @property
    def replaced(self) -> int:
        """Live frames that newer ones replaced since the last one taken."""


class Feed(Protocol):
    """What the line needs of a camera."""

    def take(self) -> Taken | None:
        """The next frame, or None; never waits."""

    def waiting_since_ns(self) -> int | None:
        """When the oldest waiting trigger arrived, or None."""


@dataclass(frozen=True, slots=True)
class Station:
    """One camera with what inspects it.

    Attributes:
        camera: Its settings.
        feed: Where its frames come from.
        inspector: Its engine, ready.
        in_hand: The note about the file in hand; None for live cameras.
    """

    camera: AnyCamera
    feed: Feed
    inspector: Inspector
    in_hand: InHand | None


class Line:
    """The thread ``line``. It owns all models.

    Args:
        stations: One per camera.
        journal: Takes the verdicts.
        evidence: Takes the pictures.
        evidence_policy: ``none``, ``notable`` or ``all``.
        mode_of: The mode of an engine name.
        recorded: Called on the journal thread when the verdict of a triggered frame is committed.
        unrecorded: Called when the verdict of a triggered frame found no room and became a gap.
        boot: This process.
        agent: Version of the agent.
        new_id: Makes a UUIDv7.
        bell: Rung when a frame waits.
        stop: Ends the loop after its frame.
    """

    def __init__(
        self,
        *,
        stations: Sequence[Station],
        journal: Journal,
        evidence: EvidenceWriter,
        evidence_policy: str,
        mode_of: Callable[[str], str],
        recorded: Callable[[VerdictEntry], None],
        unrecorded: Callable[[Frame], None],
        boot: str,
        agent: str,
        new_id: Callable[[], str],
        bell: Bell,
        stop: threading.Event,
    ) -> None:
        self._stations = list(stations)
        self._journal = journal
        self._evidence = evidence
        self._evidence_policy = evidence_policy
        self._mode_of = mode_of
        self._recorded = recorded
        self._unrecorded = unrecorded
        self._boot = boot
        self._agent = agent
        self._new_id = new_id
        self._bell = bell
        self._stop = stop
        self._turn = 0
        self._lock = threading.Lock()
        self._totals = Rollup()
        self._last: dict[str, dict[str, Any]] = {}
        self._pictures: dict[str, Image] = {}
        self._untold = {one.camera.name: 0 for one in self._stations}  # replaced frames whose verdict was lost
        self.heartbeat = Heartbeat()

    def run(self) -> None:
        """The thread's body: until ``stop``."""
        while not self._stop.is_set():
            if not self.step():
                self._bell.wait(_IDLE_S)

    def step(self) -> bool:
        """Inspect one frame; False when none waits."""
        self.heartbeat.beat()
        found = self._next()
        if found is None:
            return False
        station, taken = found
        self._inspect(station, taken.frame, taken.replaced)
        return True

    def _next(self) -> tuple[Station, Taken] | None:
        """The next frame: the oldest trigger, else the next camera in turn that has one."""
        waiting = [(since, place) for place, one in enumerate(self._stations) if (since := one.feed.waiting_since_ns())]
        asked = [place for _, place in sorted(waiting)]
        count = len(self._stations)
        turns = [(self._turn + step) % count for step in range(count)]
        room = self._journal.room()
        for position, place in enumerate([*asked, *turns]):
            station = self._stations[place]
            if not station.camera.live and not room:
                continue  # files wait for the disk
            taken = station.feed.take()
            if taken is not None:
                if position >= len(asked):  # a trigger takes nobody's turn
                    self._turn = (place + 1) % count
                return station, taken
        return None

    def _inspect(self, station: Station, frame: Frame, replaced: int) -> None:
        begun_ns = time.monotonic_ns()
        mode = self._mode_of(station.camera.engine)
        in_hand = station.in_hand
        held = in_hand is None or frame.mark is None or in_hand.take(frame.mark.item or str(frame.mark.position))
        inspection = self._looked(station, frame, mode, begun_ns) if held else _not_again(frame)
        ended_ns = time.monotonic_ns()
        captured_ns = frame.captured.monotonic_ns
        latency = Latency(
            (begun_ns - captured_ns) / 1e6, inspection.screen_ms, inspection.verify_ms, (ended_ns - captured_ns) / 1e6
        )
        verdict = inspection.verdict
        if _overdue(station, frame, ended_ns) and frame.fault is None:
            verdict = _late(station)
        self._submit(station, frame, replaced, mode, replace(inspection, verdict=verdict), latency)
        if in_hand is not None:
            in_hand.put_down()

    def _looked(self, station: Station, frame: Frame, mode: str, begun_ns: int) -> Inspection:
        if frame.fault is None and mode == "manual":
            return unlooked(inconclusive("manual", REASONS["manual"], triggered=frame.trigger.triggered))
        if frame.fault is None and _overdue(station, frame, begun_ns):
            return unlooked(_late(station))
        return station.inspector.inspect(frame, station.camera.region)

    def _submit(
        self, station: Station, frame: Frame, replaced: int, mode: str, inspection: Inspection, latency: Latency
    ) -> None:
        camera, verdict = station.camera, inspection.verdict
        draw = audit_draw(seed=camera.audit_seed, boot=self._boot, camera=camera.name, number=frame.number)
        audited = draw < camera.audit_rate
        triggered = frame.trigger.triggered
        kept = kept_as(verdict, policy=camera.records(triggered=triggered), triggered=triggered, audited=audited)
        record = Record(
            frame=replace(frame, image=None),
            engine=station.inspector.facts,
            agent=self._agent,
            role="active",
            mode=mode,
            kept=kept,
            audit_rate=camera.audit_rate,
            screening=inspection.screening,
            detections=inspection.detections,
            verdict=verdict,
            latency=latency,
        )
        entry = VerdictEntry(self._new_id(), record, replaced=replaced + self._untold[camera.name])
        if frame.trigger.token is not None:
            entry = replace(entry, done=partial(self._recorded, entry))
        self._count(record, replaced)
        if frame.image is not None:
            self._pictures[camera.name] = frame.image
        accepted = not camera.live or self._journal.accepts(frame)
        self._untold[camera.name] = 0 if accepted else entry.replaced
        if not accepted:
            if frame.trigger.token is not None:
                self._unrecorded(frame)
            return
        if frame.image is not None and self._wants_picture(verdict, kept=kept, audited=audited):
            self._evidence.offer(entry, frame.image)
        else:
            self._journal.put(entry)

    def _wants_picture(self, verdict: Verdict, *, kept: str | None, audited: bool) -> bool:
        if kept is None or self._evidence_policy == "none":
            return False
        notable = verdict.outcome != "pass" or verdict.disposition == "archive" or audited
        return notable or self._evidence_policy == "all"

    def _count(self, record: Record, replaced: int) -> None:
        with self._lock:
            self._totals.add(record, replaced=replaced)
            self._last[record.frame.camera] = {
                "frame": record.frame.number,
                "source": record.frame.source,
                "outcome": record.verdict.outcome,
                "disposition": record.verdict.disposition,
                "reason": {"code": record.verdict.code, "text": record.verdict.text},
                "latency_ms": record.latency.to_json(),
            }

    def totals(self) -> Rollup:
        """A copy of everything counted since the start; any thread."""
        copy = Rollup()
        with self._lock:
            copy.merge(self._totals.to_json())
        return copy

    def picture(self, camera: str) -> Image | None:
        """The last image that was inspected, shape (h, w, 3), uint8, BGR; any thread."""
        return self._pictures.get(camera)

    def last(self) -> dict[str, dict[str, Any]]:
        """The last verdict by camera; any thread."""
        with self._lock:
            return dict(self._last)


def _overdue(station: Station, frame: Frame, now_ns: int) -> bool:
    arrived_ns = frame.trigger.arrived_ns
    if not frame.trigger.triggered or arrived_ns is None:
        return False
    return now_ns - arrived_ns > station.camera.deadline_ms * 1_000_000


def _late(station: Station) -> Verdict:
    text = f"no verdict within {station.camera.deadline_ms} ms of the trigger"
    return inconclusive("late", text, triggered=True)


def _not_again(frame: Frame) -> Inspection:
    text = f"{frame.source}: {REASONS['crashed-twice']}"
    return unlooked(inconclusive("crashed-twice", text, triggered=frame.trigger.triggered))

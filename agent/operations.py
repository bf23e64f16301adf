"""What people may ask of an agent, by whichever way they ask: MQTT, the control socket, or no daemon at all."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agent.camera.capture import Capture
from agent.clock import Clock, kernel_boot_id, new_uuid7
from agent.config import Config
from agent.errors import BadCommand, CameraError, FieldgateError, StoreError
from agent.inspection.frame import Frame, Moment, Subject, Trigger
from agent.ledger.messages import audit_body
from agent.ledger.sealing import Origin
from agent.store.dead_letters import DeadLettersEntry, Decision
from agent.store.holds import HoldEntry
from agent.store.journal import Journal
from agent.store.modes import Modes
from agent.store.opening import Opening
from agent.store.schema import hold_write_lock
from agent.store.transaction import MessageEntry, VerdictEntry

_PATIENCE_S = 5.0

Answer = Callable[["Mapping[str, Any] | FieldgateError"], None]
"""Hears of a trigger's committed verdict, or why there will be none."""


class Operations:
    """Changes and questions, each with who asked and why. Any thread.

    Args:
        modes: The mode of each engine name.
        journal: Takes the audit messages.
        captures: By camera name.
        now: The clock.
        new_id: Makes a UUIDv7.
        changed: Called when what ``up/status`` says has changed; must not wait.
    """

    def __init__(
        self,
        *,
        modes: Modes,
        journal: Journal,
        captures: Mapping[str, Capture],
        now: Callable[[], Moment],
        new_id: Callable[[], str],
        changed: Callable[[], None],
    ) -> None:
        self._modes = modes
        self._journal = journal
        self._captures = captures
        self._now = now
        self._new_id = new_id
        self._changed = changed
        self._waiting: dict[str, Answer] = {}
        self._lock = threading.Lock()

    def change_mode(self, engine: str, mode: str, *, by: str, reason: str, way: str) -> dict[str, Any]:
        """Set an engine's mode; what was and what is.

        Raises:
            BadCommand: There is no such engine.
            StoreError: No such mode, or the disk refused; nothing changed.
        """
        if engine not in self._modes.all():
            known = ", ".join(self._modes.all()) or "none"
            raise BadCommand(f"there is no engine '{engine}' here (there: {known})", code="unknown-engine")
        with self._lock:  # two changes at once must not both call the same mode the old one
            old = self._modes.set(engine, mode)
        if old != mode:
            body = audit_body(self._now(), what=f"mode of {engine}", old=old, new=mode, by=by, reason=reason, way=way)
            self._journal.put(MessageEntry("audit", body))
            self._changed()
        return {"engine": engine, "old": old, "new": mode}

    def hold(self, record: str, *, held: bool, by: str, reason: str, way: str) -> dict[str, Any]:
        """Put a record's picture under legal hold, or lift it; waits for the commit.

        Raises:
            StoreError: There is no such picture here, or the disk did not take it in time.
        """
        told: queue.SimpleQueue[bool | None] = queue.SimpleQueue()
        self._journal.put(HoldEntry(record, held, by, reason, way, told.put))
        try:
            return _held(record, told.get(timeout=_PATIENCE_S), held)
        except queue.Empty:
            raise StoreError("the disk did not take it in time; it is done when the disk takes it") from None

    def trigger(
        self, camera: str, metadata: Mapping[str, Any], subject: Mapping[str, Any], kind: str, answer: Answer
    ) -> None:
        """Ask a camera for one frame of one part; ``answer`` hears of its committed verdict, on another thread.

        Raises:
            BadCommand: There is no such camera.
            CameraError: It reads files, or is being stopped.
        """
        capture = self._captures.get(camera)
        if capture is None:
            known = ", ".join(self._captures) or "none"
            raise BadCommand(f"there is no camera '{camera}' here (there: {known})", code="unknown-camera")
        token = self._new_id()
        with self._lock:
            self._waiting[token] = answer
        asked = Trigger(kind, dict(metadata), self._now().monotonic_ns, token)
        taken = capture.trigger(asked, Subject(**subject))
        if not taken and not capture.camera.live:
            with self._lock:
                self._waiting.pop(token, None)
            raise CameraError(f"camera {camera} reads files, so it cannot be triggered")

    def recorded(self, entry: VerdictEntry) -> None:
        """The verdict of a triggered frame is committed: tell whoever asked for it."""
        frame, verdict = entry.record.frame, entry.record.verdict
        with self._lock:
            answer = self._waiting.pop(frame.trigger.token or "", None)
        if answer is None:
            return
        answer(
            {
                "record": entry.id if entry.record.kept else None,
                "camera": frame.camera,
                "frame": frame.number,
                "outcome": verdict.outcome,
                "disposition": verdict.disposition,
                "reason": {"code": verdict.code, "text": verdict.text},
            }
        )

    def unrecorded(self, frame: Frame) -> None:
        """The verdict of a triggered frame could not be written: tell whoever asked for it."""
        with self._lock:
            answer = self._waiting.pop(frame.trigger.token or "", None)
        if answer is not None:
            text = f"frame {frame.number} of camera {frame.camera} was inspected, but the disk did not take its verdict"
            answer(StoreError(text))


def change_mode_alone(config: Config, engine: str, mode: str, *, by: str, reason: str) -> dict[str, Any]:
    """Set an engine's mode where no daemon runs, and write the audit message that a daemon would write.

    Raises:
        WriterBusy: A daemon holds the store after all.
        StoreError: No such engine or mode, or the disk refused.
    """
    with _journal_alone(config) as journal:
        modes = Modes(config.store.dir / "modes", config.engines)
        old = modes.set(engine, mode)
        written = threading.Event()
        if old != mode:
            moment = Clock().now()
            body = audit_body(moment, what=f"mode of {engine}", old=old, new=mode, by=by, reason=reason, way="cli")
            journal.put(MessageEntry("audit", body, done=written.set))
    if old != mode and not written.is_set():
        raise StoreError(f"{engine} is in mode {mode} now, and the ledger could not record it; see the log")
    return {"engine": engine, "old": old, "new": mode}


def hold_alone(config: Config, record: str, *, held: bool, by: str, reason: str) -> dict[str, Any]:
    """The same as ``Operations.hold`` where no daemon runs.

    Raises:
        WriterBusy: A daemon holds the store after all.
        StoreError: There is no such picture here, or the disk refused.
    """
    told: list[bool | None] = []
    with _journal_alone(config) as journal:
        journal.put(HoldEntry(record, held, by, reason, "cli", told.append))
    if not told:
        raise StoreError("the ledger could not record it, so nothing was changed; see the log")
    return _held(record, told[0], held)


def _held(record: str, before: bool | None, held: bool) -> dict[str, Any]:  # noqa: FBT001 - what was and what is
    if before is None:
        raise StoreError(f"there is no picture of a record '{record}' on this device: none was kept, or it is gone")
    return {"record": record, "old": before, "new": held}


def decide_alone(config: Config, decision: Decision, *, give_up: bool) -> list[int]:
    """Decide about dead letters where no daemon runs; the numbers that were found dead.

    Raises:
        WriterBusy: A daemon holds the store after all.
        StoreError: The disk refused; nothing changed.
    """
    told: list[list[int]] = []
    with _journal_alone(config) as journal:
        journal.put(DeadLettersEntry(decision, give_up=give_up, done=told.append))
    if not told:
        raise StoreError("what was decided could not be written; see the log")
    return told[0]


@contextlib.contextmanager
def _journal_alone(config: Config) -> Iterator[Journal]:
    """A journal for as long as the ``with``; what was put into it is written at the end."""
    with hold_write_lock(config.store.dir):
        clock = Clock()
        origin = Origin(config.device.site, config.device.name, new_uuid7(), kernel_boot_id())
        journal = Journal(
            Opening(config.store.dir, origin=origin, now=clock.now, new_id=new_uuid7),
            origin=origin,
            now=clock.now,
            new_id=new_uuid7,
            commit_ms=0,
            size=config.store.queue,
            on_commit=lambda: None,
        )
        yield journal
        journal.stop()
        journal.run()

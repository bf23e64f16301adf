"""The only composition: builds every object, names every thread, starts sinks first and sources last.

::

    capture-<camera> --Latest | Bounded | Blocking--> line --verdict------------> journal --commit--> SQLite
          ^                                            |                           ^    |                |
          | trigger                                    +--picture--> evidence -----+    | wake           | read-only
          |                                                          (JPEG first)       v                v
      operations <--mode, trigger-- commands <-------------- broker <--MQTT--> uplink <---- outbox, ledger facts
          ^                                                                      ^
          +--mode, trigger, status-- control (Unix socket)          health ------+------ watch (sensors, totals)
                                                          pictures <--HTTPS, MQTT-- upload <-- evidence

The thread retention keeps the store within its budget: what is worth least it asks the journal to let go. Threads:
main, capture-<camera>, line, evidence, journal, retention, uplink, upload, watch, control. Stopped in reverse, each
with a budget: sources, line, evidence, journal, uplink. Nothing upstream waits for anything downstream of the disk.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from agent import __version__
from agent.camera.capture import Capture
from agent.camera.opening import open_source, root_of
from agent.camera.source import Done
from agent.clock import Clock, kernel_boot_id, new_uuid7
from agent.config import Config
from agent.config.sections import Camera, FileCamera
from agent.control.server import ControlServer
from agent.crew import Crew
from agent.delivery import Delivery
from agent.engine.loading import load_engines
from agent.exchange import made_uplink
from agent.handoff import Bell
from agent.inspector import Inspector
from agent.ledger.rollups import LATENCY_BOUNDS_MS
from agent.ledger.sealing import Origin
from agent.line import Line, Station
from agent.monitor.alerts import Alerts
from agent.monitor.sensors import Sensors
from agent.monitor.watch import Watch
from agent.operations import Operations
from agent.reporting import Reporting
from agent.store.beginning import Beginning
from agent.store.budget import MB
from agent.store.checking import Checker
from agent.store.cursors import files_done, stream_done
from agent.store.dead_letters import Decision
from agent.store.evidence import EvidenceWriter
from agent.store.in_hand import InHand
from agent.store.journal import Journal
from agent.store.modes import modes_at_start
from agent.store.opening import Opening
from agent.store.reader import Reader
from agent.store.recorded_log import RecordedLog
from agent.store.retention import Retention
from agent.store.room_to_open import make_room_to_open
from agent.store.schema import hold_write_lock
from agent.store.transaction import CloseRollups, Entry, MessageEntry
from agent.sync.commands import Verb
from agent.sync.dispatch import Dispatch
from agent.sync.uplink import Uplink
from agent.sync.verbs import CHECKS

_log = structlog.get_logger()

SOURCES_S, LINE_S, EVIDENCE_S, JOURNAL_S, UPLINK_S = 0.5, 1.0, 1.0, 1.0, 1.2
"""Budgets of an orderly stop; what has not ended by then is abandoned. Together under 5 s."""


class App:
    """One agent. Built on the main thread; ``run`` returns its exit code.

    Args:
        config: Its settings.
        stop: Ends it; may be set before it is built.

    Raises:
        ConfigError: The settings contradict what is there.
        PackError: An engine cannot be used.
        StoreError: The store cannot be used.
    """

    def __init__(self, config: Config, *, stop: threading.Event) -> None:
        self.config = config
        self.stop = stop
        self._began = time.monotonic()
        self._lock = hold_write_lock(config.store.dir)
        gone = make_room_to_open(config.store.dir, ballast=config.store.ballast_mb * MB)
        self._engines = load_engines(config.engines, config.inference)
        self._clock = Clock()
        self._bell = Bell()
        self._line_stop = threading.Event()
        self._uplink_stop = threading.Event()
        self._origin = Origin(config.device.site, config.device.name, new_uuid7(), kernel_boot_id())
        self._opening = Opening(
            config.store.dir,
            origin=self._origin,
            now=self._clock.now,
            new_id=new_uuid7,
            limit=config.store.database_mb * MB,
        )
        self.journal = Journal(
            self._opening,
            origin=self._origin,
            now=self._clock.now,
            new_id=new_uuid7,
            commit_ms=config.store.commit_ms,
            size=config.store.queue,
            on_commit=self._committed,
            relief=self._relief,
            recorded=RecordedLog(config.store.recorded_log).add,
            troubled=lambda text: self.alerts.follow("journal-failing", "store", text, over="all is written again"),
            began=self._epoch_began,
        )
        self.alerts = Alerts(put=lambda body: self.journal.put(MessageEntry("alerts", body)), now=self._clock.now)
        self.reader = Reader(config.store.dir, damaged=self.journal.suspect)
        if self._opening.beginning is not None:
            self._epoch_began(self._opening.beginning)
        self.retention = Retention.of(
            config.store,
            packs=[section.pack for section in config.engines.values()],
            reader=self.reader,
            put=self.journal.put,
            failing=lambda: self.journal.failing,
            raised=self.alerts.raised,
            cleared=self.alerts.cleared,
        )
        self.retention.tell_gone(gone)
        self.modes = modes_at_start(config.store.dir / "modes", config.engines, self.alerts.raised)
        self.delivery = Delivery(
            journal=self.journal,
            reader=self.reader,
            required=config.mqtt.required_receipts,
            overdue_s=config.mqtt.receipt_wait_s,
            raised=self.alerts.raised,
            cleared=self.alerts.cleared,
        )
        self.delivery.look_at_the_dead()
        self.evidence = EvidenceWriter(
            config.store.dir / "evidence",
            quality=config.store.evidence_quality,
            size=config.store.evidence_queue,
            put=self.journal.put,
            room=self.retention.room,
        )
        self.captures = {camera.name: self._capture(camera) for camera in config.cameras}
        self.operations = Operations(
            modes=self.modes,
            journal=self.journal,
            captures=self.captures,
            now=self._clock.now,
            new_id=new_uuid7,
            changed=self._status_changed,
        )
        self.dispatch = Dispatch(config, self.reader, self.journal.put, self.alerts, self._clock.now)
        self.line = self._made_line()
        self.reporting = Reporting(
            origin=self._origin,
            now=self._clock.now,
            engines={name: engine.facts for name, engine in self._engines.items()},
            modes=self.modes,
            captures=self.captures,
            line=self.line,
            journal=self.journal,
            evidence=self.evidence,
            reader=self.reader,
            alerts=self.alerts.standing,
            budget=self.retention.snapshot,
            uplink=(lambda: self.uplink.snapshot() if self.uplink else {}) if config.mqtt.host else None,
            upload=self.dispatch.upload.snapshot if config.mqtt.host else None,
        )
        self.uplink: Uplink | None = None
        if config.mqtt.host:
            self.uplink, self.commands = made_uplink(
                config,
                boot=self._origin.boot,
                now=self._clock.now,
                reader=self.reader,
                journal=self.journal,
                delivery=self.delivery,
                dispatch=self.dispatch,
                alerts=self.alerts,
                verbs=self._mqtt_verbs(),
                status=self.reporting.status,
                stop=self._uplink_stop,
            )
        self.watch = self._made_watch()
        self.control = ControlServer(config.control_socket, self._control_verbs())
        self._crew = Crew(stop)

    # -- building

    def _capture(self, camera: Camera) -> Capture:
        return Capture(
            camera=camera,
            source=open_source(camera, done=self._done(camera), note=self._note(camera, "decoding")),
            now=self._clock.now,
            draw=random.random,
            bell=self._bell,
            on_state=lambda _name, _state: self._status_changed(),
        )

    def _done(self, camera: Camera) -> Done | None:
        root = root_of(camera)
        if root is None:
            return None
        files = self.reader.ask(lambda db: files_done(db, camera.name, root))
        upto, beyond = self.reader.ask(lambda db: stream_done(db, camera.name, root))
        return Done(files, upto, frozenset(beyond))

    def _note(self, camera: Camera, what: str) -> InHand | None:
        """The note of the file that one thread has in hand; live cameras have no files."""
        return None if camera.live else InHand(self.config.store.dir / "in-hand" / f"{camera.name}.{what}.json")

    def _made_line(self) -> Line:
        inspectors = {name: Inspector(engine) for name, engine in self._engines.items()}
        stations = [
            Station(
                camera,
                self.captures[camera.name],
                inspectors[camera.engine],
                self._note(camera, "inspecting"),
            )
            for camera in self.config.cameras
        ]
        return Line(
            stations=stations,
            journal=self.journal,
            evidence=self.evidence,
            evidence_policy=self.config.store.evidence,
            mode_of=self.modes.of,
            recorded=self.operations.recorded,
            unrecorded=self.operations.unrecorded,
            boot=self._origin.boot,
            agent=__version__,
            new_id=new_uuid7,
            bell=self._bell,
            stop=self._line_stop,
        )

    def _made_watch(self) -> Watch:
        uplink = self.uplink
        return Watch(
            period_s=self.config.monitor.health_interval_s,
            sensors=Sensors(store=self.config.store.dir, root=self.config.monitor.sysfs_root),
            line_totals=self.reporting.line_totals,
            backlog=self.reporting.backlog,
            ledger=self.reporting.ledger,
            envelope=self.reporting.envelope,
            budget=self.retention.snapshot,
            bounds=LATENCY_BOUNDS_MS,
            publish=uplink.publish_health if uplink else lambda _body: None,
            stop=self.stop,
        )

    # -- the one table: verb -> callable

    def _mqtt_verbs(self) -> Mapping[str, Verb]:
        operations = self.operations
        acts: Mapping[str, Callable[[Any], Mapping[str, Any] | None]] = {
            "ping": lambda _command: {"boot": self._origin.boot, "agent": __version__},
            "trigger": lambda command: operations.trigger(
                command.args["camera"],
                command.args.get("metadata", {}),
                command.args.get("subject", {}),
                "mqtt",
                lambda result: self.commands.finish(command.id, result),
            ),
            "replay": lambda command: self.delivery.replay(
                command.args, lambda result: self.commands.finish(command.id, result)
            ),
            "mode": lambda command: operations.change_mode(
                command.args["engine"], command.args["mode"], by=command.by, reason=command.reason, way="mqtt"
            ),
            "evidence": self.dispatch.desk.order,
        }
        return {verb: Verb(CHECKS[verb], act) for verb, act in acts.items()}

    def _control_verbs(self) -> Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]]:
        return {
            "status": lambda _args: self.reporting.full_status(),
            "mode": lambda args: self.operations.change_mode(
                args["engine"], args["mode"], by=args["by"], reason=args["reason"], way="cli"
            ),
            "hold": lambda args: self.operations.hold(
                args["record"], held=args["held"], by=args["by"], reason=args["reason"], way="cli"
            ),
            "outbox-retry": lambda args: self._decided(args, give_up=False),
            "outbox-give-up": lambda args: self._decided(args, give_up=True),
            "snapshot": lambda args: self.reporting.picture(args["camera"]),
        }

    def _decided(self, args: Mapping[str, Any], *, give_up: bool) -> dict[str, Any]:
        decision = Decision(args["seqs"], args["epoch"], args["by"], args["reason"], "cli")
        return {"seqs": self.delivery.decide(decision, give_up=give_up)}

    # -- running

    def run(self) -> int:
        """Run until ``stop`` is set, a thread dies, or a camera with ``on_end = "exit"`` has ended: 0 or 1."""
        try:
            self.control.open()
            self._start()
            while not self.stop.wait(0.1):
                if self._all_inspected():
                    self._deliver()
                    self.stop.set()
        finally:
            self._stop_all()
        return 1 if self._crew.died else 0

    def _start(self) -> None:
        start = self._crew.start
        start("journal", self.journal.run)
        if self._opening.unchecked:
            check = Checker(self.reader, stop=self.stop, sound=self._opening.checked, damaged=self.journal.suspect)
            start("check", check.run)
        start("retention", self.retention.run)
        start("evidence", self.evidence.run)
        if self.uplink:
            start("uplink", self.uplink.run)
            start("upload", self.dispatch.upload.run)
        start("control", self.control.run)
        start("watch", self.watch.run)
        start("line", self.line.run)
        for name, capture in self.captures.items():
            start(f"capture-{name}", capture.run)
        _log.info(
            "started", agent=__version__, boot=self._origin.boot, seconds=round(time.monotonic() - self._began, 3)
        )

    def _all_inspected(self) -> bool:
        """Whether every camera that ends the daemon has ended and its last frame was taken."""
        last = [one for one in self.config.cameras if isinstance(one, FileCamera) and one.on_end == "exit"]
        return bool(last) and all(self.captures[camera.name].ended for camera in last)

    def _deliver(self) -> None:
        """Everything inspected is written and, as far as the broker allows it, acknowledged."""
        self._stop_line()
        self._crew.join(["line"])
        self.evidence.stop()
        self._crew.join(["evidence"])
        self.journal.put(CloseRollups())
        until = time.monotonic() + self.config.mqtt.exit_wait_s
        self.journal.flush(self.config.mqtt.exit_wait_s)
        while self.uplink and not self.uplink.drained and time.monotonic() < until and not self.stop.wait(0.05):
            pass
        self.journal.flush(JOURNAL_S)  # the last settlements

    def _stop_line(self) -> None:
        self._line_stop.set()
        self._bell.ring()

    def _stop_all(self) -> None:
        """Sources first, the uplink last; whoever has not ended in time is abandoned."""
        self.stop.set()
        self.dispatch.upload.stop()
        for capture in self.captures.values():
            capture.stop()
        self._crew.join([f"capture-{name}" for name in self.captures], SOURCES_S)
        self._stop_line()
        self._crew.join(["line"], LINE_S)
        self.evidence.stop()
        self._crew.join(["evidence"], EVIDENCE_S)
        self.journal.stop()
        self._crew.join(["journal"], JOURNAL_S)
        self.retention.stop()
        self._uplink_stop.set()
        if self.uplink:
            self.uplink.wake()
        self.control.close()
        self._crew.join(["uplink", "control", "watch", "retention"], UPLINK_S)
        _log.info("stopped", crashed=self._crew.died)

    # -- bells

    def _epoch_began(self, beginning: Beginning) -> None:
        self.reader.renew()
        self.alerts.raised(beginning.code, about="store", text=beginning.text)

    def _relief(self) -> list[Entry]:
        return self.retention.relief()  # built after the journal, and asked only while it runs

    def _committed(self) -> None:
        # The journal commits once while it is built, before there is an uplink.
        uplink = getattr(self, "uplink", None)
        if uplink is not None:
            uplink.wake()

    def _status_changed(self) -> None:
        uplink = getattr(self, "uplink", None)
        if uplink is not None:
            uplink.status_changed()

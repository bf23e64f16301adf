"""An uplink on an outbox in memory: over the fake broker with a clock that stands still, or over a real one."""

import itertools
import json
import threading
import time
import zlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from agent.config.sections import MqttSection
from agent.errors import StoreError
from agent.inspection.frame import Moment
from agent.ledger.lanes import LANES
from agent.store.outbox import Outgoing
from agent.sync.broker import PahoBroker
from agent.sync.budget import LocalTime
from agent.sync.commands import Commands, Verb
from agent.sync.disk import Disk
from agent.sync.limits import Limits
from agent.sync.receipts import Receipts
from agent.sync.topics import Topics
from agent.sync.uplink import Uplink
from agent.sync.verbs import CHECKS
from agent.sync.wire import Broker
from fakes import FakeBroker, FakeServer
from mosquitto import Central
from samples import a_status

TOPICS = Topics.of("fieldgate/1", "plant-a", "cam-7")
LEDGER = f"{TOPICS.root}/up/ledger/"
SECOND = 10**9


class Outbox:
    """An outbox in memory. ``settle`` only notes; ``commit`` removes, as the journal does a little later."""

    def __init__(self, rows: int = 0, *, at_once: bool = True) -> None:
        self.rows: dict[int, Outgoing] = {}
        self._lanes: dict[int, list[int]] = defaultdict(list)
        self.told: list[int] = []
        self._last = self._gone = 0
        self.replies: dict[str, Mapping[str, Any]] = {}
        self.sent_bytes: dict[str, int] = {}
        self.dead: dict[int, str] = {}
        self.receipts: list[tuple[str, str, int]] = []
        self.alerts: list[tuple[str, str, str]] = []
        self.broken = False
        self._at_once = at_once
        self._done: list[Callable[[], None]] = []
        self.add(rows)

    def add(self, rows: int, *, size: int = 0, kind: str = "inspections") -> None:
        first = self._last + 1
        for seq in range(first, first + rows):
            self.rows[seq] = Outgoing(seq, kind, b"%d%s" % (seq, b" " * size))
            self._lanes[LANES[kind]].append(seq)
            self._last = seq

    def unsettled(self, lane: int, after: int, upto: int, limit: int) -> list[Outgoing]:
        if self.broken:
            raise StoreError("the disk is gone")
        places = self._lanes[lane]
        alive = (seq for seq in places[bisect_right(places, after) :] if seq in self.rows and seq not in self.dead)
        there = (self.rows[seq] for seq in alive if seq <= upto)
        return list(itertools.islice(there, limit))

    def newest(self) -> int:
        if self.broken:
            raise StoreError("the disk is gone")
        return self._last

    def settle(self, places: Sequence[int], done: Callable[[], None]) -> None:
        self.told += places
        self._done.append(done)
        if self._at_once:
            self.commit()

    def commit(self) -> None:
        for seq in self.told[self._gone :]:
            self.rows.pop(seq, None)
        self._gone = len(self.told)
        for places in self._lanes.values():
            del places[: next((i for i, seq in enumerate(places) if seq in self.rows), len(places))]
        while self._done:
            self._done.pop()()

    def raised(self, code: str, *, about: str, text: str) -> None:
        assert text
        self.alerts.append(("raised", code, about))

    def cleared(self, code: str, *, about: str, text: str) -> None:
        assert text
        self.alerts.append(("cleared", code, about))

    def disk(self) -> Disk:
        """The same as the uplink takes it."""
        return Disk(
            unsettled=self.unsettled,
            newest=self.newest,
            settle=self.settle,
            bury=lambda place, reason: self.dead.update({place: reason}),
            connected=lambda: None,
            sent_on=lambda day: self.sent_bytes.get(day, 0),
            count=lambda day, size: self.sent_bytes.update({day: self.sent_bytes.get(day, 0) + size}),
        )

    def receipt(self, consumer: str, epoch: str, upto: int, done: Callable[[str | None], None]) -> None:
        self.receipts.append((consumer, epoch, upto))
        done("beyond-head" if upto > self._last else None)


def ledger_in(topic: str, body: bytes) -> list[bytes]:
    """The ledger messages of one publication, none where it is something else."""
    if topic == TOPICS.batch:
        return zlib.decompress(body).split(b"\n")
    return [body] if topic.startswith(LEDGER) else []


def an_uplink(
    broker: Broker,
    disk: Outbox,
    *,
    now_ns: Any = time.monotonic_ns,
    stop: threading.Event | None = None,
    **settings: Any,
) -> Uplink:
    """An uplink that knows ``ping`` and draws the longest waits."""
    commands = Commands(
        topics=TOPICS,
        verbs={"ping": Verb(CHECKS["ping"], lambda _: {"boot": "boot-1"})},
        now=lambda: Moment(datetime.now(timezone.utc), time.monotonic_ns(), "synced"),
        remembered=disk.replies.get,
        remember=lambda command_id, _verb, reply: disk.replies.update({command_id: reply}),
    )
    return Uplink(
        broker=broker,
        topics=TOPICS,
        boot="boot-1",
        draw=settings.pop("draw", lambda: 1.0),
        local=settings.pop("local", lambda: LocalTime("2026-11-24", 12 * 60)),
        pictures=settings.pop("pictures", None),
        limits=Limits(**settings),
        now_ns=now_ns,
        disk=disk.disk(),
        status=a_status,
        commands=commands,
        receipts=Receipts(store=disk.receipt, raised=disk.raised, cleared=disk.cleared),
        raised=disk.raised,
        cleared=disk.cleared,
        stop=stop or threading.Event(),
    )


class Desk:
    """An uplink over the fake broker, with a clock that only the test moves."""

    def __init__(self, rows: int = 0, *, at_once: bool = True, listening: bool = True, **settings: Any) -> None:
        self.server = FakeServer()
        self.broker = FakeBroker(self.server)
        self.disk = Outbox(rows, at_once=at_once)
        self.now = 1_000 * SECOND
        self.heard: list[tuple[str, bytes, bool]] = []
        if listening:
            self.listen()
        self.uplink = an_uplink(self.broker, self.disk, now_ns=lambda: self.now, **settings)

    def listen(self) -> None:
        self.server.listen(f"{TOPICS.root}/up/#", lambda *message: self.heard.append(message))

    def work(self, *, after_s: float = 0.0) -> None:
        """Let time pass, then let the uplink do all that it can without more time."""
        self.now += round(after_s * SECOND)
        for _ in range(40):
            self.uplink.step(0)

    def add(self, rows: int, *, size: int = 0, kind: str = "inspections") -> None:
        self.disk.add(rows, size=size, kind=kind)
        self.uplink.wake()

    @property
    def sent(self) -> list[int]:
        """Numbers of the ledger messages that were published, in order."""
        return [int(one) for topic, body, _ in self.server.published for one in ledger_in(topic, body)]

    @property
    def shown(self) -> dict[str, Any]:
        return self.uplink.snapshot()

    def said(self, topic: str) -> list[Any]:
        return [json.loads(body) for body in self.server.bodies(topic)]


class Running:
    """An uplink on its own thread, over paho."""

    def __init__(self, port: int, rows: int, **settings: Any) -> None:
        section = MqttSection(host="127.0.0.1", port=port, keepalive_s=5, **settings.pop("section", {}))
        self.disk = Outbox(rows)
        self.stop = threading.Event()
        self.uplink = an_uplink(
            PahoBroker(section, client_id="device"), self.disk, stop=self.stop, retry_max_s=1, **settings
        )
        self.thread = threading.Thread(target=self.uplink.run, name="uplink")
        self.thread.start()

    def end(self) -> None:
        self.stop.set()
        self.uplink.wake()
        self.thread.join(10)
        assert not self.thread.is_alive(), "the uplink did not stop"


def arrived(central: Central) -> list[bytes]:
    """The ledger messages that a subscriber has, in order."""
    return [one for topic, body, _ in central.received for one in ledger_in(topic, body)]


def everything(rows: int) -> set[bytes]:
    """The bodies of so many messages."""
    return {b"%d" % seq for seq in range(1, rows + 1)}

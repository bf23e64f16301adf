"""A consumer that loses nothing: stores what devices say, then acknowledges it, and says how far it has everything.

One thread. What arrived waits in the broker's queue; a group of it is one transaction; only then the broker is told
that it need not come again, and the devices that it is stored.
"""

import contextlib
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from agent.central.ledgers import Ledger, LedgerFile
from agent.central.proof import Frontier, advance
from agent.central.reading import Message, Source, Strange, head_in, read, source_of
from agent.errors import BrokerRefused
from agent.ledger.sealing import canonical, sha256_hex
from agent.sync.broker import PahoBroker
from agent.sync.wire import Arrived, Connected, Disconnected, Event, Refused, Subscribed, Unreachable

GROUP: Final = 200
"""Most messages of one transaction; as many may wait for their acknowledgement."""

_FAILURE: Final = 0x80
_RETRY_S: Final = (1.0, 2.0, 5.0, 10.0)
_RECEIPT_EVERY_S: Final = 1.0
_LEDGERS_TOLD_AGAIN: Final = 2  # the present one, and the one before a repair


@dataclass
class Counts:
    """What a collector has done since it began."""

    arrived: int = 0
    stored: int = 0
    strange: int = 0
    connects: int = 0
    state: str = "connecting"
    devices: set[tuple[str, str]] = field(default_factory=set)


class Collector:
    """Receives from a broker into a file.

    Args:
        broker: The wire, with a session that the broker keeps while nobody collects.
        file: Where to.
        root: What every topic begins with.
        share: Name of a shared subscription; empty: everything comes here.
        consumer: Under which name receipts are sent; empty: none are.
        monotonic: The clock that pauses are measured with, seconds.
    """

    def __init__(
        self,
        broker: PahoBroker,
        file: LedgerFile,
        *,
        root: str,
        share: str = "",
        consumer: str = "",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker = broker
        self._file = file
        self._root = root.strip("/")
        self._consumer = consumer
        self._monotonic = monotonic
        group = f"$share/{share}/" if share else ""
        below = f"{self._root}/+/+/up"
        self._filters = [f"{group}{below}/ledger/#", f"{below}/status", f"{below}/health", f"{below}/online"]
        self._link = 0
        self._failures = 0
        self._again_at: float | None = monotonic()
        self._frontiers: dict[int, Frontier] = {}
        self._to_tell: dict[int, Ledger] = {}
        self._told_at = monotonic()
        self.counts = Counts()
        self.quiet_since = monotonic()

    def step(self, wait_s: float) -> None:
        """Take what has arrived, at most ``GROUP`` messages, and store it; waits at most so long for the first.

        Raises:
            BrokerRefused: The broker does not let us in, or does not let us read.
            StoreError: The file cannot be written; nothing of this group was acknowledged.
        """
        if self._again_at is not None and self._monotonic() >= self._again_at:
            self._again_at = None
            self._link = self._broker.connect(None)
        arrived = [event for event in self._events(wait_s) if not self._handled(event)]
        kept = [event for event in arrived if isinstance(event, Arrived)]
        if kept:
            self._store(kept)
            for event in kept:
                if event.qos:
                    self._broker.acknowledge(event)
        self._send_receipts()

    def close(self) -> None:
        """Say what is known by now, and goodbye; the broker keeps for us what comes meanwhile."""
        self._told_at = 0.0
        self._send_receipts()
        self._broker.disconnect(graceful=True, wait_s=2.0)

    def _events(self, wait_s: float) -> list[Event]:
        events: list[Event] = []
        with contextlib.suppress(queue.Empty):
            events.append(self._broker.events.get(timeout=wait_s))
            while len(events) < GROUP:
                events.append(self._broker.events.get_nowait())
        return events

    def _handled(self, event: Event) -> bool:
        """Act on what is not a message; True where nothing is left to store."""
        if isinstance(event, Arrived):
            return event.link != self._link
        if getattr(event, "link", self._link) != self._link:
            return True
        if isinstance(event, Connected):
            self.counts.connects += 1
            self._broker.subscribe(self._filters)
        elif isinstance(event, Subscribed):
            self._subscribed(event)
        elif isinstance(event, Refused):
            raise BrokerRefused(f"the broker refuses the connection: {event.text}")
        elif isinstance(event, Unreachable | Disconnected):
            self._lost(event.text)
        return True

    def _subscribed(self, event: Subscribed) -> None:
        denied = [name for name, code in zip(self._filters, event.codes, strict=False) if code >= _FAILURE]
        if denied:
            raise BrokerRefused(f"the broker does not let us read {', '.join(denied)}; its access list has to allow it")
        self.counts.state = "connected"
        self._failures = 0

    def _lost(self, text: str) -> None:
        pause = _RETRY_S[min(self._failures, len(_RETRY_S) - 1)]
        self._failures += 1
        self._again_at = self._monotonic() + pause
        self.counts.state = f"no connection: {text}"

    def _store(self, arrived: list[Arrived]) -> None:
        touched: dict[int, Ledger] = {}
        self._file.begin()
        for event in arrived:
            source = source_of(self._root, event.topic)
            if source is None:
                self._keep_strange(event.topic, Strange("no topic of a device", event.body))
            elif source.branch.startswith("ledger/"):
                touched.update(self._keep(event.topic, source, event.body))
            else:
                touched.update(self._note(source, event.body))
        self._file.commit()
        if self._consumer:
            self._to_tell.update(touched)

    def _keep(self, topic: str, source: Source, body: bytes) -> dict[int, Ledger]:
        """Store what came on one ledger topic; the ledgers that its sender may want a word about."""
        touched: dict[int, Ledger] = {}
        self.counts.devices.add((source.site, source.device))
        self.quiet_since = self._monotonic()
        for one in read(source, body):
            self.counts.arrived += 1
            if isinstance(one, Strange):
                self._keep_strange(topic, one)
                continue
            self.counts.stored += self._file.keep(one)
            for epoch in _epochs(one):
                ledger = self._file.ledger(one.site, one.device, epoch)
                touched[ledger.number] = ledger
        return touched

    def _keep_strange(self, topic: str, strange: Strange) -> None:
        self.counts.strange += 1
        self._file.keep_strange(topic, strange, sha256_hex(strange.body))

    def _note(self, source: Source, body: bytes) -> dict[int, Ledger]:
        """Note a head. A device that has just come back may have missed our word: it is told again."""
        head = head_in(source, body)
        if head is not None:
            self._file.keep_head(head)
        if source.branch == "health":
            return {}
        newest = self._file.ledgers_of(source.site, source.device)[-_LEDGERS_TOLD_AGAIN:]
        return {one.number: one for one in newest}

    def _send_receipts(self) -> None:
        now = self._monotonic()
        if not self._to_tell or self.counts.state != "connected" or now - self._told_at < _RECEIPT_EVERY_S:
            return
        self._told_at = now
        for ledger in self._to_tell.values():
            frontier = self._frontiers.get(ledger.number, Frontier())
            frontier = advance(frontier, self._file.links(ledger.number, frontier.upto), self._file.explained(ledger))
            self._frontiers[ledger.number] = frontier
            topic = f"{self._root}/{ledger.site}/{ledger.device}/down/receipt/{self._consumer}"
            if frontier.upto:
                self._broker.publish(topic, canonical({"epoch": ledger.epoch, "upto": frontier.upto}))
        self._to_tell = {}


def _epochs(message: Message) -> set[str]:
    """The ledgers that a message changes what is known of."""
    return {message.epoch} | ({message.told.epoch} if message.told else set())

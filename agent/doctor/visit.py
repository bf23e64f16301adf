"""One visit to the broker, as the agent would connect, under a client id of its own."""

import queue
import time
from dataclasses import dataclass
from typing import Final

from agent.config import Config
from agent.errors import StoreError
from agent.store.queries import newest_message
from agent.sync.broker import PahoBroker
from agent.sync.topics import Topics
from agent.sync.wire import Acknowledged, Connected, Disconnected, Refused, Subscribed, Unreachable, Will

PATIENCE_S: Final = 10.0


@dataclass(slots=True)
class Visit:
    """What a visit showed.

    Attributes:
        topic: Where a message was published.
        failed: How the visit ended before its end; None when everything was answered or time ran out.
        connected: Whether the broker accepted the connection.
        published: The PUBACK's code; None when none came.
        subscribed: The worst SUBACK code; None when none came.
    """

    topic: str
    failed: Refused | Unreachable | Disconnected | None = None
    connected: bool = False
    published: int | None = None
    subscribed: int | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing more can be heard."""
        return self.failed is not None or (self.published is not None and self.subscribed is not None)


def visit(config: Config) -> Visit:
    """Connect, subscribe to the commands, publish one message, say goodbye.

    What is published is the ledger's newest message, sealed long ago: a consumer drops it as a duplicate by
    its id. An empty ledger leaves ``up/doctor``, which nobody reads.
    """
    topics = Topics.of(config.mqtt.root, config.device.site, config.device.name)
    topic, body = _message(config, topics)
    settings = config.mqtt.model_copy(update={"session_s": 0})  # leaves nothing behind at the broker
    broker = PahoBroker(settings, client_id=f"{config.client_id}-doctor")
    seen = Visit(topic)
    broker.connect(Will(f"{topics.root}/up/doctor", b"{}", retain=False))
    until = time.monotonic() + PATIENCE_S
    try:
        while not seen.complete and (left_s := until - time.monotonic()) > 0:
            _hear(broker, seen, topics, body, left_s)
    finally:
        broker.disconnect(graceful=seen.connected, wait_s=1.0)
    return seen


def _hear(broker: PahoBroker, seen: Visit, topics: Topics, body: bytes, left_s: float) -> None:
    try:
        event = broker.events.get(timeout=left_s)
    except queue.Empty:
        return
    if isinstance(event, Connected):
        seen.connected = True
        broker.subscribe([*topics.filters])
        broker.publish(seen.topic, body)
    elif isinstance(event, Refused | Unreachable | Disconnected):
        seen.failed = event
    elif isinstance(event, Acknowledged):
        seen.published = event.code
    elif isinstance(event, Subscribed):
        seen.subscribed = max(event.codes, default=0)


def _message(config: Config, topics: Topics) -> tuple[str, bytes]:
    try:
        newest = newest_message(config.store.dir)
    except StoreError:  # the checks of the store speak of that
        newest = None
    if newest is None:
        return f"{topics.root}/up/doctor", b"{}"
    kind, body = newest
    return topics.ledger(kind), body

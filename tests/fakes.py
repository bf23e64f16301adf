"""Stand-ins for what a test must steer. Each passes the contract suite of the real thing."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone

import numpy as np

from agent.camera.capture import Taken
from agent.camera.source import Shot
from agent.inspection.frame import Frame, Image, Moment
from agent.sync.wire import (
    Acknowledged,
    Arrived,
    Connected,
    Disconnected,
    Event,
    Refused,
    Subscribed,
    Unreachable,
    Will,
)


def a_picture(value: int = 0, *, width: int = 64, height: int = 48) -> Image:
    """A picture that differs from every other whose ``value`` (0..65535) differs."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0], image[..., 1] = value % 256, value // 256
    return image


class ScriptedSource:
    """A camera whose every read is decided by the test.

    Steps are taken in order: a ``Shot`` is returned, an exception raised, None ends the source. Without a step
    a read hangs until one is pushed or the source is closed. ``refusals`` are raised by ``open``, in order.
    """

    def __init__(self, *steps: Shot | Exception | None, live: bool = True) -> None:
        self.live = live
        self.refusals: deque[Exception] = deque()
        self.opened = 0
        self._steps = deque(steps)
        self._changed = threading.Condition()
        self._hanging = False
        self._closed = True

    def push(self, *steps: Shot | Exception | None) -> None:
        """Add steps; a hanging read goes on."""
        with self._changed:
            self._steps.extend(steps)
            self._changed.notify_all()

    def show(self, *values: int) -> None:
        """Add one picture for each value."""
        self.push(*(Shot(a_picture(value)) for value in values))

    def hangs(self, *, within_s: float = 10.0) -> bool:
        """Wait until all steps are used up and the next read has begun; False when that never happens."""
        with self._changed:
            return self._changed.wait_for(lambda: self._hanging and not self._steps, within_s)

    def __len__(self) -> int:
        """Steps that are left."""
        return len(self._steps)

    def open(self) -> None:
        self.opened += 1
        if self.refusals:
            raise self.refusals.popleft()
        self._closed = False

    def read(self) -> Shot | None:
        with self._changed:
            self._hanging = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._steps or self._closed)
            self._hanging = False
            if self._closed:
                return None
            step = self._steps.popleft()
        if isinstance(step, Exception):
            raise step
        return step

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class FakeServer:
    """An MQTT broker in memory, steered by attributes. Everything happens at once, on the caller's thread.

    ``answer`` decides the PUBACK code per (topic, body); None means by whether somebody subscribes.
    ``permission`` is the SUBACK code. With
    ``patient`` set acknowledgements wait for ``answer_waiting``; ``most_waiting`` is how many ever waited.
    """

    def __init__(self) -> None:
        self.receive_maximum = 20
        self.maximum_packet_size: int | None = None
        self.retain_available = True
        self.reachable = True
        self.refusal: int | None = None
        self.answer: Callable[[str, bytes], int | None] = lambda _topic, _body: None
        self.permission = 1
        self.patient = False
        self.frozen = False
        self.attempts = 0
        self.most_waiting = 0
        self.published: list[tuple[str, bytes, bool]] = []
        self.retained: dict[str, bytes] = {}
        self.sessions: dict[str, dict[int, Arrived]] = {}
        self._listeners: list[tuple[str, Callable[[str, bytes, bool], None]]] = []
        self._waiting: deque[tuple[FakeBroker, Acknowledged]] = deque()

    def listen(self, pattern: str, hear: Callable[[str, bytes, bool], None]) -> None:
        """Subscribe; what is retained comes at once."""
        self._listeners.append((pattern, hear))
        for topic, body in self.retained.items():
            if _matches(pattern, topic):
                hear(topic, body, True)

    def forget(self, hear: Callable[[str, bytes, bool], None]) -> None:
        """Drop a subscriber."""
        self._listeners = [one for one in self._listeners if one[1] != hear]

    def bodies(self, topic: str) -> list[bytes]:
        """What was published on topics that begin like this."""
        return [body for name, body, _ in self.published if name.startswith(topic)]

    def take(self, topic: str, body: bytes, *, retain: bool) -> int:
        """Accept a message; returns the PUBACK's code."""
        self.published.append((topic, body, retain))
        decided = self.answer(topic, body)
        if decided is not None and decided >= 0x80:
            return decided
        if retain:
            self.retained[topic] = body
        hearers = [hear for pattern, hear in self._listeners if _matches(pattern, topic)]
        for hear in hearers:
            hear(topic, body, False)
        return decided if decided is not None else 0 if hearers else 0x10

    def acknowledge(self, broker: "FakeBroker", word: Acknowledged) -> None:
        """Send a PUBACK, now or when the test says so."""
        self._waiting.append((broker, word))
        self.most_waiting = max(self.most_waiting, len(self._waiting))
        if not self.patient:
            self.answer_waiting()

    def answer_waiting(self, most: int = 1_000_000) -> None:
        """Send the PUBACKs that wait, oldest first."""
        while self._waiting and most > 0:
            broker, word = self._waiting.popleft()
            broker.events.put(word)
            most -= 1

    def waiting_words(self) -> list[Acknowledged]:
        """The PUBACKs that wait."""
        return [word for _, word in self._waiting]

    def drop_waiting(self) -> None:
        """Forget the PUBACKs that wait: their connection is gone."""
        self._waiting.clear()


class FakeBroker:
    """The ``Broker`` of one client of a ``FakeServer``."""

    def __init__(self, server: FakeServer, client_id: str = "device") -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.server = server
        self.subscriptions: list[str] = []
        self._client_id = client_id
        self._link = 0
        self._mid = 0
        self._will: Will | None = None

    def connect(self, will: Will) -> int:
        server = self.server
        self.disconnect(graceful=False)
        self._link += 1
        server.attempts += 1
        if not server.reachable:
            self.events.put(Unreachable(self._link, "network", "nobody is there"))
        elif server.refusal is not None:
            self.events.put(Refused(self._link, server.refusal, "refused"))
        elif not server.frozen:
            self._will = will
            known = self._client_id in server.sessions
            session = server.sessions.setdefault(self._client_id, {})
            self.events.put(
                Connected(
                    self._link,
                    server.receive_maximum,
                    server.maximum_packet_size,
                    server.retain_available,
                    session_present=known,
                )
            )
            for mid, arrived in list(session.items()):
                self._deliver(mid, arrived.topic, arrived.body)
        return self._link

    def publish(
        self,
        topic: str,
        body: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        correlation: bytes | None = None,
        user_properties: Sequence[tuple[str, str]] = (),
    ) -> int:
        self._mid += 1
        self.correlation = correlation
        self.user_properties = dict(user_properties)
        if self._will is not None and not self.server.frozen:
            code = self.server.take(topic, body, retain=retain)
            if qos:
                self.server.acknowledge(self, Acknowledged(self._link, self._mid, code))
        return self._mid

    def subscribe(self, topics: Sequence[str]) -> None:
        self.server.forget(self._hear)
        self.subscriptions = list(topics)
        self.events.put(Subscribed(self._link, tuple(self.server.permission for _ in topics)))
        for topic in topics:
            self.server.listen(topic, self._hear)

    def acknowledge(self, arrived: Arrived) -> None:
        if arrived.link == self._link:
            self.server.sessions[self._client_id].pop(arrived.mid, None)

    def disconnect(self, *, graceful: bool, wait_s: float = 0.0) -> None:
        del wait_s
        will, self._will = self._will, None
        self.server.drop_waiting()
        if will is not None:
            if not graceful:
                self.server.take(will.topic, will.body, retain=will.retain)
            self.events.put(Disconnected(self._link, 0 if graceful else 0x80, "given up"))

    def cut(self, code: int = 0x80) -> None:
        """The line breaks, as seen from both sides."""
        self.disconnect(graceful=False)
        if code != 0x80:
            self.events.put(Disconnected(self._link, code, "cut"))

    def arrive(self, topic: str, body: bytes, **more: object) -> None:
        """Bring a message with all that MQTT 5 may add."""
        self._mid += 1
        self.events.put(Arrived(self._link, topic, body, mid=self._mid, **more))  # type: ignore[arg-type]

    def _hear(self, topic: str, body: bytes, retained: bool) -> None:
        self._mid += 1
        self._deliver(self._mid, topic, body, retained=retained)

    def _deliver(self, mid: int, topic: str, body: bytes, *, retained: bool = False) -> None:
        arrived = Arrived(self._link, topic, body, retained=retained, mid=mid)
        self.server.sessions[self._client_id][mid] = arrived
        if self._will is not None:
            self.events.put(arrived)


def _matches(pattern: str, topic: str) -> bool:
    wanted, given = pattern.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted, given = wanted[:-1], given[: len(wanted) - 1]
    return len(wanted) == len(given) and all(w in ("+", g) for w, g in zip(wanted, given, strict=True))


class HandClock:
    """A clock that stands still until it is turned; any thread may read it."""

    def __init__(self) -> None:
        self._ns = 1_000_000_000_000

    def now(self) -> Moment:
        wall = datetime(2026, 11, 22, 9, tzinfo=timezone.utc) + timedelta(microseconds=self._ns // 1000)
        return Moment(wall, self._ns, "synced")

    def turn(self, seconds: float) -> None:
        """Let so much time pass."""
        self._ns += int(seconds * 1e9)


class ScriptedFeed:
    """What the line takes frames from, filled by the test: triggered frames before the others, both in order."""

    def __init__(self) -> None:
        self.frames: deque[Taken] = deque()
        self.triggered: deque[Taken] = deque()
        self.pending_ns: int | None = None
        """Arrival of a trigger whose image is still to come."""

    def give(self, *frames: Frame, replaced: int = 0) -> None:
        """Let frames wait."""
        for frame in frames:
            (self.triggered if frame.trigger.triggered else self.frames).append(Taken(frame, replaced))

    def take(self) -> Taken | None:
        for waiting in (self.triggered, self.frames):
            if waiting:
                return waiting.popleft()
        return None

    def waiting_since_ns(self) -> int | None:
        return self.triggered[0].frame.trigger.arrived_ns if self.triggered else self.pending_ns

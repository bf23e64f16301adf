"""The uplink: one thread that owns the connection, sends the backlog from disk, and obeys commands.

::

    journal --wake()--+                         +--> send, within the window --> broker
    any thread -------+--> one queue --> step() +
    broker's answers -+                         +--> settle (by PUBACK), commands, replies

Is at-least-once: a message is settled only by the broker's acknowledgement, and sent again from disk after
every connection that ended before it. Is not exactly-once: consumers dedupe by id. Offline is normal.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from agent.ledger.sealing import canonical
from agent.sync.budget import LocalTime
from agent.sync.commands import Answers, Commands
from agent.sync.disk import Disk
from agent.sync.limits import Limits
from agent.sync.pace import SECOND_NS, Pace
from agent.sync.receipts import Receipts
from agent.sync.retry import bad_credentials
from agent.sync.sending import Sending
from agent.sync.session import Session
from agent.sync.standing import Standing
from agent.sync.topics import Topics
from agent.sync.wire import (
    Acknowledged,
    Arrived,
    Broker,
    Connected,
    Disconnected,
    Event,
    Health,
    Note,
    Pictures,
    Refused,
    Subscribed,
    Unreachable,
    Woken,
)

GOODBYE_S: Final = 1.0

_IDLE_S: Final = 1.0
_SHORTEST_WAIT_S: Final = 0.01
_EVENTS_PER_STEP: Final = 256


class Uplink:
    """The exchange with the broker.

    ``run``, ``step`` and ``close`` belong to one thread. ``wake``, ``publish_health``, ``status_changed``,
    ``reply``, ``snapshot`` and ``drained`` may be used from any, at any time, and never wait.

    Args:
        broker: The wire.
        topics: The device's topics.
        boot: This process, as in the ledger.
        limits: What the broker is asked to bear.
        draw: Uniform random number in [0, 1), for the jitter.
        now_ns: Monotonic nanoseconds.
        local: The device's own time of day; None while the clock is unset.
        disk: The outbox.
        status: The body of ``up/status``; never waits.
        commands: What is obeyed.
        receipts: What consumers confirm.
        stop: Set, then ``wake`` called: ``run`` says goodbye and returns.
        raised: Raises an alert.
        cleared: Clears one.
        pictures: Pictures to send when nothing else waits.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        topics: Topics,
        boot: str,
        limits: Limits,
        draw: Callable[[], float],
        now_ns: Callable[[], int],
        local: Callable[[], LocalTime | None],
        disk: Disk,
        status: Callable[[], Mapping[str, Any]],
        commands: Commands,
        receipts: Receipts,
        stop: threading.Event,
        raised: Callable[..., None],
        cleared: Callable[..., None],
        pictures: Pictures | None = None,
    ) -> None:
        self._broker = broker
        self._topics = topics
        self._ack_timeout_ns = round(limits.ack_timeout_s * SECOND_NS)
        self._now_ns = now_ns
        self._commands = commands
        self._receipts = receipts
        self._stop = stop
        self._pace = Pace(draw=draw, longest_s=limits.retry_max_s, now_ns=now_ns())
        self._standing = Standing(now_ns, raised=raised, cleared=cleared)
        self._session = Session(topics=topics, boot=boot, limits=limits)
        self._sending = Sending(
            broker=broker,
            topics=topics,
            limits=limits,
            disk=disk,
            pictures=pictures,
            status=status,
            session=self._session,
            pace=self._pace,
            standing=self._standing,
            local=local,
            draw=draw,
            now_ns=now_ns,
        )
        commands.attach(self.wake)

    # From any thread.

    def wake(self) -> None:
        """Something was committed, or an answer is there, or ``stop`` is set."""
        self._sending.wake()
        self._broker.events.put(Woken())

    def reread(self) -> None:
        """Something old is to be sent after all."""
        self._sending.reread()
        self.wake()

    def publish_health(self, body: Mapping[str, Any]) -> None:
        """Publish figures of the device if somebody is connected; otherwise they are forgotten."""
        self._broker.events.put(Health(canonical(body)))

    def status_changed(self) -> None:
        """Publish ``up/status`` again; while one waits for its acknowledgement, the next waits too."""
        self._sending.status_due = True
        self.wake()

    def reply(
        self,
        command_id: str,
        body: Mapping[str, Any],
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> None:
        """Publish an answer to a command, and to the sender's own topic if that lies where it may."""
        own = self._topics.reply(command_id)
        self._broker.events.put(Note(own, canonical(body), correlation=correlation, again=True))
        if response_topic is not None and response_topic != own and self._topics.may_answer(response_topic):
            self._broker.events.put(Note(response_topic, canonical(body), correlation=correlation, again=True))

    def snapshot(self) -> dict[str, Any]:
        """How things stand, ready for JSON, without secrets."""
        return {
            **self._standing.to_json(),
            "connects": self._session.connects,
            "broker": self._session.limits(),
            **self._sending.snapshot(),
            "not_permitted": self._session.not_permitted,
            "commands": self._commands.snapshot(),
            "receipts": self._receipts.snapshot(),
        }

    @property
    def drained(self) -> bool:
        """Whether all that is on the disk is acknowledged, as far as the uplink was woken for it."""
        return self._sending.drained

    # On the uplink's thread.

    def run(self) -> None:
        """Work until ``stop`` is set, then say goodbye."""
        while not self._stop.is_set():
            self.step(_IDLE_S)
        self.close()

    def step(self, timeout_s: float) -> None:
        """Wait for something to happen, at most so long, and do all that is to be done then."""
        wait_s = min(timeout_s, max(_SHORTEST_WAIT_S, self._until_due_s()))
        try:
            self._handle(self._broker.events.get(timeout=wait_s))
        except queue.Empty:
            self._sending.look()
        else:
            with contextlib.suppress(queue.Empty):
                for _ in range(_EVENTS_PER_STEP):
                    self._handle(self._broker.events.get_nowait())
        self._answer(self._commands.finished())
        self._keep_connected()
        if self._session.connected:
            self._sending.send()
        self._sending.settle()

    def close(self) -> None:
        """Say that the agent stops on purpose, and disconnect; takes little more than a second at most."""
        until_ns = self._now_ns() + round(GOODBYE_S * SECOND_NS)
        if self._session.connected:
            self._sending.say_now(self._session.stopped())
            self._hear_out(until_ns)
        self._broker.disconnect(graceful=self._session.connected, wait_s=max(_SHORTEST_WAIT_S, self._left_s(until_ns)))
        self._over("stopped", None, "")

    def _hear_out(self, until_ns: int) -> None:
        """Wait until the broker has answered everything: a line that closes under its answers is taken for broken.

        Then it would speak the will after our goodbye.
        """
        while self._session.connected and self._sending.oldest_sent_ns() is not None and self._left_s(until_ns) > 0:
            try:
                event = self._broker.events.get(timeout=self._left_s(until_ns))
            except queue.Empty:
                return
            if isinstance(event, Acknowledged | Disconnected):
                self._handle(event)

    def _left_s(self, until_ns: int) -> float:
        return (until_ns - self._now_ns()) / SECOND_NS

    def _until_due_s(self) -> float:
        due = [] if self._session.link is not None else [self._pace.connect_at_ns]
        if self._session.connected:
            oldest_ns, again_ns = self._sending.oldest_sent_ns(), self._sending.due_ns()
            due += [] if oldest_ns is None else [oldest_ns + self._ack_timeout_ns]
            due += [] if again_ns is None else [again_ns]
        return min((self._left_s(moment) for moment in due), default=_IDLE_S)

    def _handle(self, event: Event) -> None:
        if isinstance(event, Note):
            self._sending.say(event)
        elif isinstance(event, Health):
            if self._session.connected:
                self._broker.publish(self._topics.health, event.body, qos=0)
        elif not isinstance(event, Woken) and event.link == self._session.link:
            self._hear(event)

    def _hear(
        self, event: Connected | Refused | Unreachable | Disconnected | Acknowledged | Subscribed | Arrived
    ) -> None:
        """What the broker says on the present link."""
        if isinstance(event, Acknowledged):
            self._sending.hear(event.mid, event.code)
        elif isinstance(event, Arrived):
            self._take(event)
        elif isinstance(event, Connected):
            self._hear_connected(event)
        elif isinstance(event, Subscribed):
            for topic, answer in zip(self._topics.filters, event.codes, strict=False):
                self._session.answered(topic, answer)
        elif isinstance(event, Refused):
            self._session.refused(event.code)
            code = "bad-credentials" if bad_credentials(event.code) else "refused"
            self._over("refused", code, f"the broker refuses the connection: {event.text}")
        elif isinstance(event, Unreachable):
            self._over("offline", event.cause, event.text)
        else:
            self._over("offline", "disconnected", f"the connection ended: {event.text}")

    def _hear_connected(self, event: Connected) -> None:
        self._session.accepted(event)
        self._pace.connected(self._now_ns())
        self._standing.become("connected")
        self._broker.subscribe(self._topics.filters)
        self._sending.linked()

    def _over(self, state: str, code: str | None, text: str) -> None:
        """The attempt or the connection has ended."""
        self._session.over()
        self._sending.cut()
        self._pace.lost(self._now_ns())
        self._standing.become(state, code, text)

    def _keep_connected(self) -> None:
        now_ns = self._now_ns()
        oldest_ns = self._sending.oldest_sent_ns()
        if self._session.connected and oldest_ns is not None and now_ns - oldest_ns >= self._ack_timeout_ns:
            self._broker.disconnect(graceful=False)
            seconds = self._ack_timeout_ns / SECOND_NS
            self._over("offline", "no-acknowledgement", f"the broker acknowledged nothing for {seconds:g} s")
        if self._session.link is None and now_ns >= self._pace.connect_at_ns:
            self._pace.attempted(now_ns)
            self._session.link = self._broker.connect(self._session.will())

    def _take(self, arrived: Arrived) -> None:
        """Somebody said something to this device."""
        consumer = self._topics.consumer(arrived.topic)
        if consumer is None:
            self._answer(self._commands.take(arrived))
        else:
            self._receipts.take(consumer, arrived)
            self._broker.acknowledge(arrived)  # if it is lost now, the next one says more

    def _answer(self, answers: Answers) -> None:
        for reply in answers.replies:
            self.reply(reply.id, reply.body, reply.response_topic, reply.correlation)
        for arrived in answers.acknowledge:
            self._broker.acknowledge(arrived)

"""Commands from the centre: each is checked, carried out once, and answered.

An id whose final reply is known is answered with that reply and not carried out again, also after a
restart. The order is: carry out, journal the reply, tell the broker that the command need not come again.
A crash in between brings the command back, so what a verb does must bear being done twice; a ``trigger``
that comes back late has expired.
"""

import queue
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from agent.errors import BadCommand, FieldgateError, StoreError
from agent.inspection.frame import Moment, utc_text
from agent.sync.envelope import Command, command_of, document_of, readable_id
from agent.sync.topics import Topics
from agent.sync.wire import Arrived

log = structlog.get_logger(__name__)

STATES: Final[Mapping[str, str]] = {
    "accepted": "It was understood and is being carried out; another reply follows.",
    "done": "It was carried out; `result` says more.",
    "failed": "It was tried and did not work; `reason` says why.",
    "refused": "It was not tried; `reason` says why.",
}
"""States of a reply; all but ``accepted`` are final."""

FAILURES: Final[Mapping[str, str]] = {
    "store": "The database could not be read or written.",
    "failed": "The verb itself did not work; the text says why.",
}
"""Reason codes of a failed command, beside those of the errors that carry their own."""

_LOG_EVERY_NS: Final = 60 * 10**9
_LONGEST_VERB: Final = 64

Act = Callable[[Command], "Mapping[str, Any] | None"]


@dataclass(frozen=True, slots=True)
class Verb:
    """How one verb is carried out.

    Attributes:
        check: Raises ``BadCommand`` if the arguments do not fit.
        act: Carries it out on the uplink's thread, quickly. Returns the result, raises ``FieldgateError`` if
            it fails, ``BadCommand`` if it cannot be meant for this device, or returns None when
            ``Commands.finish`` will bring the answer later.
    """

    check: Callable[[Mapping[str, Any]], None]
    act: Act


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, and where it goes.

    Attributes:
        id: The command's id; it names the reply's topic.
        body: ``id, verb, state, reason, result, at``.
        response_topic: Where the sender wants it too, if allowed.
        correlation: The sender's correlation data.
    """

    id: str
    body: Mapping[str, Any]
    response_topic: str | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """What the uplink does about commands: replies to send, messages that need not come again."""

    replies: tuple[Reply, ...] = ()
    acknowledge: tuple[Arrived, ...] = ()


@dataclass(slots=True)
class _Pending:
    verb: str
    arrived: Arrived


class Commands:
    """All commands of this process.

    ``take`` and ``finished`` are called on the uplink's thread, ``finish`` on any.

    Args:
        topics: The device's topics.
        verbs: What is obeyed.
        now: This moment.
        remembered: The final reply to an id that was journaled, None if there is none. Raises ``StoreError``.
        remember: Journals a final reply (id, verb, body); returns when it is on the disk. Raises ``StoreError``.
    """

    def __init__(
        self,
        *,
        topics: Topics,
        verbs: Mapping[str, Verb],
        now: Callable[[], Moment],
        remembered: Callable[[str], Mapping[str, Any] | None],
        remember: Callable[[str, str, Mapping[str, Any]], None],
    ) -> None:
        self._topics = topics
        self._verbs = verbs
        self._now = now
        self._remembered = remembered
        self._remember = remember
        self._wake: Callable[[], None] = lambda: None
        self._finished: queue.SimpleQueue[tuple[str, Mapping[str, Any] | FieldgateError]] = queue.SimpleQueue()
        self._pending: dict[str, _Pending] = {}
        self._counts: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._last_refusal: dict[str, str] | None = None
        self._logged_ns: int | None = None

    def attach(self, wake: Callable[[], None]) -> None:
        """Say whom to wake when an answer is there."""
        self._wake = wake

    def take(self, arrived: Arrived) -> Answers:
        """Obey, or refuse, what arrived. Never raises for what somebody sent."""
        verb = self._topics.verb(arrived.topic) or ""
        command_id = None
        try:
            document = document_of(arrived.body, retained=arrived.retained)
            command_id = readable_id(document)
            if (known := self._known(command_id, verb, arrived)) is not None:
                return known
            stamp = self._now()
            command = command_of(verb, document, wall=stamp.wall, clock=stamp.state)
            self._checked(command)
        except BadCommand as bad:
            return self._refused(command_id, verb, arrived, bad)
        except StoreError as fault:
            # Whether it was done before cannot be known, so it is not done now, and may come again.
            reply = self._reply(str(command_id), verb, "failed", arrived, reason=_reason(fault))
            return Answers((reply,))
        return self._carried_out(command, arrived)

    def finish(self, command_id: str, outcome: Mapping[str, Any] | FieldgateError) -> None:
        """Bring the answer to a command whose verb returned None: its result, or why it failed."""
        self._finished.put((command_id, outcome))
        self._wake()

    def finished(self) -> Answers:
        """The answers that ``finish`` has brought since the last call."""
        replies: list[Reply] = []
        acknowledge: list[Arrived] = []
        while not self._finished.empty():
            command_id, outcome = self._finished.get()
            if (pending := self._pending.pop(command_id, None)) is not None:
                final = self._final(command_id, pending.verb, pending.arrived, outcome)
                replies += final.replies
                acknowledge += final.acknowledge
        return Answers(tuple(replies), tuple(acknowledge))

    def snapshot(self) -> dict[str, Any]:
        """Counts since the start, and the last refusal."""
        return {
            "done": self._counts["done"],
            "failed": self._counts["failed"],
            "repeated": self._counts["repeated"],
            "pending": len(self._pending),
            "refused": dict(self._refusals.copy()),
            "last_refusal": self._last_refusal,
        }

    def _known(self, command_id: str, verb: str, arrived: Arrived) -> Answers | None:
        """What to answer if this id has been seen before."""
        if (pending := self._pending.get(command_id)) is not None:
            # It came again, perhaps over a new connection: the later one is acknowledged at the end.
            self._counts["repeated"] += 1
            pending.arrived = arrived
            return Answers((self._reply(command_id, verb, "accepted", arrived),))
        stored = self._remembered(command_id)
        if stored is None:
            return None
        self._counts["repeated"] += 1
        return Answers((self._addressed(command_id, stored, arrived),), (arrived,))

    def _checked(self, command: Command) -> None:
        if command.verb not in self._verbs:
            known = ", ".join(sorted(self._verbs))
            raise BadCommand(f"unknown verb {command.verb[:_LONGEST_VERB]}; known: {known}", code="unknown-verb")
        self._verbs[command.verb].check(command.args)

    def _carried_out(self, command: Command, arrived: Arrived) -> Answers:
        accepted = self._reply(command.id, command.verb, "accepted", arrived)
        self._pending[command.id] = _Pending(command.verb, arrived)
        outcome: Mapping[str, Any] | FieldgateError | None
        try:
            outcome = self._verbs[command.verb].act(command)
        except BadCommand as bad:  # such as a camera that this device does not have
            del self._pending[command.id]
            return self._refused(command.id, command.verb, arrived, bad)
        except FieldgateError as fault:
            outcome = fault
        if outcome is None:
            return Answers((accepted,))
        del self._pending[command.id]
        final = self._final(command.id, command.verb, arrived, outcome)
        return Answers((accepted, *final.replies), final.acknowledge)

    def _final(
        self, command_id: str, verb: str, arrived: Arrived, outcome: Mapping[str, Any] | FieldgateError
    ) -> Answers:
        if isinstance(outcome, FieldgateError):
            reply = self._reply(command_id, verb, "failed", arrived, reason=_reason(outcome))
        else:
            reply = self._reply(command_id, verb, "done", arrived, result=outcome)
        self._counts[reply.body["state"]] += 1
        try:
            self._remember(command_id, verb, reply.body)
        except StoreError as fault:
            # Not acknowledged: the broker brings it again when the disk may be well.
            log.warning("command-not-journaled", id=command_id, reason=str(fault))
            return Answers((reply,))
        return Answers((reply,), (arrived,))

    def _refused(self, command_id: str | None, verb: str, arrived: Arrived, bad: BadCommand) -> Answers:
        self._refusals[bad.code] += 1
        stamp = self._now()
        self._last_refusal = {"code": bad.code, "text": str(bad), "at": utc_text(stamp.wall)}
        if self._logged_ns is None or stamp.monotonic_ns - self._logged_ns >= _LOG_EVERY_NS:
            self._logged_ns = stamp.monotonic_ns
            log.warning("command-refused", code=bad.code, reason=str(bad), refused=self._refusals.total())
        if command_id is None:
            return Answers((), (arrived,))
        reason = {"code": bad.code, "text": str(bad)}
        return Answers((self._reply(command_id, verb, "refused", arrived, reason=reason),), (arrived,))

    def _reply(
        self,
        command_id: str,
        verb: str,
        state: str,
        arrived: Arrived,
        *,
        reason: Mapping[str, str] | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> Reply:
        body = {
            "id": command_id,
            "verb": verb[:_LONGEST_VERB],
            "state": state,
            "reason": reason,
            "result": result,
            "at": utc_text(self._now().wall),
        }
        return self._addressed(command_id, body, arrived)

    def _addressed(self, command_id: str, body: Mapping[str, Any], arrived: Arrived) -> Reply:
        wanted = arrived.response_topic
        allowed = wanted if wanted is not None and self._topics.may_answer(wanted) else None
        return Reply(command_id, body, allowed, arrived.correlation)


def _reason(fault: FieldgateError) -> dict[str, str]:
    """A failure's reason: its own code if it has one, ``store`` for the disk, else ``failed``."""
    plain = "store" if isinstance(fault, StoreError) else "failed"
    return {"code": getattr(fault, "code", plain), "text": str(fault)}

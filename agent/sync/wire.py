"""The broker as the uplink sees it: what can be asked of it, and what reaches the uplink's queue.

``link`` numbers the attempts to connect. An event of an earlier link than the current one is history: it
was still in the queue when the link was given up.
"""

import queue
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker accepted the connection.

    Attributes:
        link: Which attempt.
        receive_maximum: How many QoS 1 messages the broker takes without having acknowledged one.
        maximum_packet_size: Largest packet in bytes that the broker takes; None if it named no limit.
        retain_available: Whether it keeps retained messages.
        session_present: Whether it kept our session, with the commands that came meanwhile.
        keepalive_s: The silence after which it wants to hear from us, where it named one; the wire obeys it.
    """

    link: int
    receive_maximum: int
    maximum_packet_size: int | None
    retain_available: bool
    session_present: bool
    keepalive_s: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker answered the connection with a no.

    Attributes:
        link: Which attempt.
        code: CONNACK reason code of MQTT 5; those of 3.1.1 are translated.
        text: The same in words.
    """

    link: int
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """An attempt ended before the broker said anything.

    Attributes:
        link: Which attempt.
        cause: ``network``, ``tls``, ``password-file``, ``no-answer`` or ``settings``.
        text: What happened and what to look at.
    """

    link: int
    cause: str
    text: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """An established connection ended.

    Attributes:
        link: Which one.
        code: The DISCONNECT's reason code; 0x80 where the line just broke.
        text: The same in words.
    """

    link: int
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The broker answered one of our QoS 1 messages: the PUBACK's reason code, 0 with 3.1.1."""

    link: int
    mid: int
    code: int


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The broker answered our subscription: one code per filter, 0x80 and above is a no."""

    link: int
    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message for us.

    Attributes:
        link: On which connection; it can be acknowledged only there.
        topic: As sent; bytes that are no UTF-8 are replaced.
        body: As sent.
        retained: Whether the broker had kept it from earlier.
        response_topic: Where the sender wants the answer (MQTT 5).
        correlation: What the sender wants to find in the answer again (MQTT 5).
        mid: Its packet identifier.
        qos: 0 or 1.
    """

    link: int
    topic: str
    body: bytes
    retained: bool = False
    response_topic: str | None = None
    correlation: bytes | None = None
    mid: int = 0
    qos: int = 1


@dataclass(frozen=True, slots=True)
class Woken:
    """One of the agent's own threads has something: look around."""


@dataclass(frozen=True, slots=True)
class Health:
    """Figures to publish if somebody is connected, else to forget."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A message of the agent that is no ledger message: online, status, a reply.

    Attributes:
        topic: Where it goes.
        body: What it says.
        retain: Whether the broker shall keep it.
        correlation: For MQTT 5's correlation data.
        again: Whether it is worth sending on the next connection too.
    """

    topic: str
    body: bytes
    retain: bool = False
    correlation: bytes | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as it is published.

    Attributes:
        topic: Where it goes.
        body: The JPEG.
        user_properties: What MQTT 5 says beside it.
    """

    topic: str
    body: bytes
    user_properties: tuple[tuple[str, str], ...] = ()


class Pictures(Protocol):
    """Pictures that wait to be published: served when no message waits. All on the uplink's thread; none waits."""

    def next(self, room_bytes: int | None) -> Picture | None:
        """The picture to send now.

        Args:
            room_bytes: Body and user properties may have so many bytes together; None: any number.
        """
        ...

    def sent(self, mid: int) -> None:
        """The picture that ``next`` gave last has been handed to the wire under this number."""
        ...

    def acknowledged(self, mid: int, code: int) -> None:
        """The broker answered it with this reason code."""
        ...

    def cut(self) -> None:
        """The connection ended: nothing is known about what was in flight."""
        ...


Event = Connected | Refused | Unreachable | Disconnected | Acknowledged | Subscribed | Arrived | Woken | Health | Note


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us when the connection breaks."""

    topic: str
    body: bytes
    retain: bool


class Broker(Protocol):
    """A broker as the uplink sees it. All methods are called from one thread, and none waits for the network.

    ``connect`` is answered by exactly one of ``Connected``, ``Refused`` and ``Unreachable``, and a
    ``Connected`` that is not given up with ``disconnect`` by one ``Disconnected`` at the end. A link that was
    given up says nothing that the caller has to mind: its events carry an old number.
    """

    events: "queue.SimpleQueue[Event]"

    def connect(self, will: Will) -> int:
        """Begin an attempt to connect, giving up any earlier link; returns the number of the new one."""
        ...

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
        """Send a message; returns the number that its ``Acknowledged`` will carry.

        If the link has just broken the message is lost, and its ``Disconnected`` is on its way.
        """
        ...

    def subscribe(self, topics: Sequence[str]) -> None:
        """Ask for messages at QoS 1; ``Subscribed`` answers."""
        ...

    def acknowledge(self, arrived: Arrived) -> None:
        """Tell the broker that a message need not come again; ignored if its link is gone."""
        ...

    def disconnect(self, *, graceful: bool, wait_s: float = 0.0) -> None:
        """Give the link up.

        Args:
            graceful: Say goodbye, so that the will is not published. Otherwise just cut the line.
            wait_s: How long to wait at most until the goodbye, and what was published before it, is out.
        """
        ...

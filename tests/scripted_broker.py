"""A tiny MQTT 5 broker whose answers a test writes: it takes one device's messages and acknowledges as it is told."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP = 1, 2, 3, 4, 8, 9, 12, 13
SUCCESS = 0x00
_SILENCE_S = 0.01


@dataclass(frozen=True)
class Taken:
    """One message that came, and what it was answered."""

    topic: str
    body: bytes
    code: int


class ScriptedBroker:
    """Answers each QoS 1 message with ``answer(topic)``.

    Attributes:
        port: Where it listens.
        taken: Everything that came, in order.
        most_waiting: The most messages that ever waited for their acknowledgement.
    """

    def __init__(self, answer: Callable[[str], int], *, receive_maximum: int) -> None:
        self.taken: list[Taken] = []
        self.most_waiting = 0
        self._answer = answer
        self._receive_maximum = receive_maximum
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lines: list[socket.socket] = []
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def accepted(self) -> list[tuple[str, bytes]]:
        """What was acknowledged with success."""
        return [(one.topic, one.body) for one in self.taken if one.code == SUCCESS]

    def close(self) -> None:
        """Cut every line and end."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self._lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                self._lines.append(line)
                with line, contextlib.suppress(OSError):
                    self._speak(line)

    def _speak(self, line: socket.socket) -> None:
        """Acknowledge only when the device has been silent for a moment: so it shows how much it dares to send."""
        line.settimeout(_SILENCE_S)
        came, waiting = bytearray(), list[bytes]()
        while True:
            try:
                chunk = line.recv(65536)
            except TimeoutError:
                for acknowledgement in waiting:
                    line.sendall(acknowledgement)
                waiting.clear()
                continue
            if not chunk:
                return
            came += chunk
            while (packet := _first_packet(came)) is not None:
                waiting += self._heard(line, *packet)
                self.most_waiting = max(self.most_waiting, len(waiting))

    def _heard(self, line: socket.socket, head: int, body: bytes) -> list[bytes]:
        """Answer one packet at once, or with an acknowledgement for later."""
        kind = head >> 4
        if kind == CONNECT:
            maximum = self._receive_maximum.to_bytes(2, "big")
            line.sendall(bytes([CONNACK << 4, 6, 0, 0, 3, 0x21]) + maximum)
        elif kind == SUBSCRIBE:
            line.sendall(bytes([SUBACK << 4, 4]) + body[:2] + bytes([0, 1]))
        elif kind == PINGREQ:
            line.sendall(bytes([PINGRESP << 4, 0]))
        elif kind == PUBLISH:
            return self._taken(body, qos=head >> 1 & 3)
        return []

    def _taken(self, body: bytes, *, qos: int) -> list[bytes]:
        end = 2 + int.from_bytes(body[:2], "big")
        topic, after = body[2:end].decode(), end + (2 if qos else 0)
        properties, content = _length(body, after)
        code = self._answer(topic) if qos else SUCCESS
        self.taken.append(Taken(topic, body[content + properties :], code))
        return [bytes([PUBACK << 4, 4]) + body[end:after] + bytes([code, 0])] if qos else []


def _first_packet(came: bytearray) -> tuple[int, bytes] | None:
    """Take the first whole packet out of what came: its first byte and what follows its length."""
    try:
        size, begin = _length(came, 1)
    except IndexError:
        return None
    if len(came) < begin + size:
        return None
    head, body = came[0], bytes(came[begin : begin + size])
    del came[: begin + size]
    return head, body


def _length(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """A variable byte integer and where it ends."""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 0x80:
            return value, at


@contextlib.contextmanager
def scripted(answer: Callable[[str], int], *, receive_maximum: int) -> Iterator[ScriptedBroker]:
    """Such a broker for the length of a ``with``."""
    broker = ScriptedBroker(answer, receive_maximum=receive_maximum)
    try:
        yield broker
    finally:
        broker.close()

"""What the wire does with listeners that are no MQTT broker."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config.sections import MqttSection
from agent.sync.broker import PahoBroker
from agent.sync.wire import Connected, Disconnected, Refused, Unreachable, Will
from mosquitto import free_port
from waiting import until

WILL = Will("x", b"", retain=False)
CONNACK = bytes([0x20, 0x03, 0x00, 0x00, 0x00])


@contextlib.contextmanager
def listener(answer: bytes | None) -> Iterator[int]:
    """A port whose connections get these bytes after their first ones, or nothing; then they stay open."""
    open_lines: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    line, _ = server.accept()
                    open_lines.append(line)
                    line.recv(4096)
                    if answer is not None:
                        line.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for line in open_lines:
                line.close()


def a_broker(port: int, host: str = "127.0.0.1") -> PahoBroker:
    """A wire to a port."""
    return PahoBroker(MqttSection(host=host, port=port), client_id="device", answer_timeout_s=1)


def link_threads() -> list[str]:
    """Threads of links that have not ended."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("broker-")]


def test_giving_up_an_attempt_never_waits_for_a_listener_that_says_nothing() -> None:
    """The uplink can stop at once, and the link's thread follows within a moment."""
    with listener(answer=None) as port:
        broker = a_broker(port)
        broker.connect(WILL)
        assert until(link_threads)
        began = time.monotonic()
        broker.disconnect(graceful=False)
        assert time.monotonic() - began < 0.5
        assert until(lambda: not link_threads())


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="a web server"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="a shell"),
        pytest.param(b"\xff" * 64, id="noise"),
        pytest.param(b"\x20\x00", id="a CONNACK without a body"),
        pytest.param(b"\x20\x03\x00\x00\x05", id="a CONNACK that ends too early"),
        pytest.param(b"\x20\x06\x00\x00\x03\x21\x00", id="properties cut short"),
    ],
)
def test_a_listener_that_is_no_broker_ends_the_attempt_with_a_reason(answer: bytes) -> None:
    """Whatever it sends: one event, no thread left, no exception outside."""
    with listener(answer) as port:
        broker = a_broker(port)
        broker.connect(WILL)
        event = broker.events.get(timeout=20)
        assert isinstance(event, Unreachable | Refused)
        broker.disconnect(graceful=False)
        assert until(lambda: not link_threads())


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"\x40\x02\x00\x07", id="a PUBACK for nothing"),
        pytest.param(b"\x40\x00", id="an empty PUBACK"),
        pytest.param(b"\x32\x05\x00\x03a\xff", id="a topic that is no UTF-8, cut short"),
        pytest.param(b"\x30\x04\x00\x01\xff\x00", id="a topic that is no UTF-8"),
        pytest.param(b"\x90\x03\x00\x01\x00", id="a SUBACK without codes"),
        pytest.param(b"\xe0\x01\x77", id="an unknown reason to disconnect"),
    ],
)
def test_garbage_on_a_connection_ends_at_most_the_connection(garbage: bytes) -> None:
    """The end is announced, so that the uplink never believes in a dead line."""
    with listener(CONNACK + garbage) as port:
        broker = a_broker(port)
        broker.connect(WILL)
        assert isinstance(broker.events.get(timeout=20), Connected)
    # The line is closed now; the garbage may have ended it earlier.
    assert until(lambda: not link_threads())
    heard = []
    while not broker.events.empty():
        heard.append(broker.events.get())
    ends = [event for event in heard if isinstance(event, Disconnected | Unreachable | Refused)]
    assert [type(event) for event in ends] == [Disconnected]
    broker.disconnect(graceful=False)


@pytest.mark.parametrize("host", ["no such host", "a" * 300, "nowhere.invalid"])
def test_a_name_that_leads_nowhere_is_a_reason(host: str) -> None:
    """A wrong host in the settings is a state of the uplink."""
    broker = a_broker(1883, host=host)
    broker.connect(WILL)
    event = broker.events.get(timeout=60)
    assert isinstance(event, Unreachable)
    assert event.cause == "network"


def test_failed_attempts_leave_nothing_open() -> None:
    """A device may be offline for months: no thread and no file stays behind an attempt."""
    files = Path("/proc/self/fd")
    if not files.exists():
        pytest.skip("/proc is not there")
    broker = a_broker(free_port())

    def attempt() -> None:
        broker.connect(WILL)
        assert isinstance(broker.events.get(timeout=20), Unreachable)

    attempt()
    assert until(lambda: not link_threads())
    before = len(list(files.iterdir()))
    for _ in range(100):
        attempt()
    assert until(lambda: not link_threads())
    broker.disconnect(graceful=False)
    assert len(list(files.iterdir())) <= before

"""A real Mosquitto for tests, on a free port of the loopback, and a plain client at its other end."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from contract import faults_of
from waiting import until

PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
PASSWD = shutil.which("mosquitto_passwd")

needs_mosquitto = pytest.mark.skipif(PROGRAM is None, reason="mosquitto is not installed")


def free_port() -> int:
    """A TCP port that nobody listens on, below those that Linux gives to outgoing connections (32,768 and above)."""
    for port in random.Random().sample(range(20_000, 32_000), 1_000):  # not pytest's seed: runs go on side by side
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("none of a thousand ports is free")


class Mosquitto:
    """One broker process; ``lines`` are added to its configuration, ``users`` get passwords.

    ``start`` returns when it accepts connections. Its retained messages and sessions end with the process
    unless ``lines`` turn persistence on.
    """

    def __init__(self, folder: Path, *, lines: tuple[str, ...] = (), users: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.lines = lines
        self.users = users or {}
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        assert self._process is not None, "the broker is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it, or start it again on the same port."""
        assert PROGRAM is not None
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "-c", str(self._configuration())], stdout=log, stderr=subprocess.STDOUT
            )
        assert until(self._listens), f"the broker does not listen; see {self.folder / 'mosquitto.log'}"

    def stop(self) -> None:
        """Stop it as the distribution would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a goodbye."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Keep its connections open and answer nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after ``freeze``."""
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
                process.send_signal(signal.SIGCONT)
            process.wait(10)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _configuration(self) -> Path:
        path = self.folder / "mosquitto.conf"
        # The listener is ours to write only where no line brings its own.
        lines = [f"listener {self.port} 127.0.0.1", *self.lines]
        if self.users:
            lines += ["allow_anonymous false", f"password_file {self._passwords()}"]
        else:
            lines.append("allow_anonymous true")
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
        return path

    def _passwords(self) -> Path:
        if PASSWD is None:
            pytest.skip("mosquitto_passwd is not installed")
        path = self.folder / "passwords"
        path.write_text("".join(f"{user}:{word}\n" for user, word in self.users.items()), encoding="utf-8")
        path.chmod(0o600)
        subprocess.run([PASSWD, "-U", str(path)], check=True)
        if os.geteuid() == 0:
            path.chmod(0o644)  # started by root, Mosquitto reads it as its own user
            for folder in (self.folder, *self.folder.parents):
                if folder.owner() == "root" and folder != Path("/"):
                    with contextlib.suppress(PermissionError):
                        folder.chmod(folder.stat().st_mode | 0o111)
        return path


@contextlib.contextmanager
def running(folder: Path, *, lines: tuple[str, ...] = (), users: dict[str, str] | None = None) -> Iterator[Mosquitto]:
    """A broker that runs for the length of a ``with``."""
    broker = Mosquitto(folder, lines=lines, users=users)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


class Central:
    """A client at the other end: keeps everything it receives, in order, as (topic, body, retained).

    At its end everything must have kept the contract: docs/contract knows each message and each field of it.
    """

    def __init__(self, port: int, *topics: str, name: str = "", user: str = "", password: str = "") -> None:
        self.received: list[tuple[str, bytes, bool]] = []
        self.correlations: list[bytes | None] = []
        self.user_properties: list[dict[str, str]] = []
        self._ready = threading.Event()
        self._acknowledged: set[int] = set()
        self._topics = topics
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5)
        if user:
            self._client.username_pw_set(user, password)
        self._client.on_connect = lambda *_: self._subscribe()
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_publish = lambda _c, _d, mid, _r, _p: self._acknowledged.add(mid)
        self._client.on_message = self._keep
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(10), "the test's own client was not subscribed"

    def publish(
        self,
        topic: str,
        body: bytes | str,
        *,
        retain: bool = False,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> None:
        """Publish at QoS 1 and wait for the acknowledgement."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if response_topic is not None:
            properties.ResponseTopic = response_topic
        if correlation is not None:
            properties.CorrelationData = correlation
        mid = self._client.publish(topic, body, 1, retain, properties).mid
        assert until(lambda: mid in self._acknowledged), "the test's own message was not acknowledged"

    def deafen(self) -> None:
        """Subscribe to nothing any more, and stay connected."""
        self._client.unsubscribe(list(self._topics))

    def listen(self) -> None:
        """Subscribe again."""
        self._subscribe()

    def bodies(self, topic_prefix: str) -> list[bytes]:
        """What arrived on topics that begin like this."""
        return [body for topic, body, _ in self.received if topic.startswith(topic_prefix)]

    def close(self) -> None:
        """Disconnect, end the thread, and hold what was received against the contract."""
        self._client.disconnect()
        self._client.loop_stop()
        faults = faults_of((topic, body) for topic, body, _ in self.received if "/up/" in topic)
        assert not faults, "\n".join(["this breaks docs/contract (made from agent/central/contract):", *faults[:10]])

    def __enter__(self) -> "Central":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _subscribe(self) -> None:
        self._client.subscribe([(topic, 1) for topic in self._topics or ("$SYS/broker/version",)])

    def _keep(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        self.correlations.append(getattr(message.properties, "CorrelationData", None))
        self.user_properties.append(dict(getattr(message.properties, "UserProperty", [])))
        self.received.append((message.topic, bytes(message.payload), message.retain))

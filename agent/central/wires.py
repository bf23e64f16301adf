"""Many connections to one broker on one thread, for simulated devices. Beside ``sync/broker.py`` it alone knows paho.

The agent's own wire has a thread for each connection, which is right for one. Here paho gets an event loop from
outside: 500 connections cost neither 500 threads nor the 1,024 files that paho's own loop can watch.
"""

import contextlib
import selectors
import socket
import time
from collections.abc import Callable
from typing import Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from agent.config.sections import MqttSection
from agent.errors import SyncError
from agent.sync.credentials import Unusable, password, tls_context

_CONNECT_S: Final = 5.0
_MISC_EVERY_S: Final = 1.0


class Wire:
    """One connection, or the attempt at one.

    Attributes:
        connected: Whether the broker has accepted it.
        refused: Why the broker has not; empty where it has, or has not answered yet.
        over: Whether it has ended.
    """

    def __init__(self, client: mqtt.Client, acknowledged: Callable[[int, int], None]) -> None:
        self.connected = False
        self.refused = ""
        self.over = False
        self._client = client
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = lambda _client, _data, mid, code, _props: acknowledged(mid, code.value)

    def publish(self, topic: str, body: bytes, *, retain: bool = False) -> int:
        """Send a message at QoS 1; returns the number under which it is acknowledged."""
        return self._client.publish(topic, body, 1, retain).mid

    def goodbye(self) -> None:
        """Send DISCONNECT behind what was published."""
        self._client.disconnect()

    def cut(self) -> None:
        """Break the line without a word; the broker publishes the will."""
        self.over = True
        line = self._client.socket()
        if isinstance(line, socket.socket):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _on_connect(self, _client: object, _data: object, _flags: object, code: ReasonCode, _props: object) -> None:
        self.connected = not code.is_failure
        self.refused = str(code) if code.is_failure else ""

    def _on_disconnect(self, *_: object) -> None:
        self.over = True


class Wires:
    """All connections of a simulation.

    Args:
        settings: Where the broker is and who we are there.
    """

    def __init__(self, settings: MqttSection) -> None:
        self._settings = settings
        self._selector = selectors.DefaultSelector()
        self._clients: set[mqtt.Client] = set()
        self._misc_at = 0.0

    def open(self, client_id: str, *, will_topic: str, will: bytes, acknowledged: Callable[[int, int], None]) -> Wire:
        """Begin a connection; whether the broker accepts it shows in a later ``turn``.

        Args:
            client_id: Of this device.
            will_topic: Where the broker says what follows when the line breaks.
            will: What it says, retained.
            acknowledged: Told the number and the reason code of each PUBACK.

        Raises:
            OSError: The broker cannot be reached.
            SyncError: The password's or a certificate's file cannot be used.
        """
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(0)  # the device owns its window
        client.connect_timeout = _CONNECT_S
        client.will_set(will_topic, will, 1, retain=True)
        try:
            if self._settings.username:
                client.username_pw_set(self._settings.username, password(self._settings))
            if self._settings.tls:
                client.tls_set_context(tls_context(self._settings, "mqtt"))
        except Unusable as fault:
            raise SyncError(str(fault)) from fault
        client.on_socket_open = self._watch
        client.on_socket_close = self._forget
        client.on_socket_register_write = self._wants_to_write
        client.on_socket_unregister_write = self._has_written
        wire = Wire(client, acknowledged)
        client.connect(self._settings.host, self._settings.port, self._settings.keepalive_s)
        self._clients.add(client)
        return wire

    def turn(self, wait_s: float) -> None:
        """Read and write what can be; waits at most so long for the first."""
        for key, mask in self._selector.select(wait_s):
            if mask & selectors.EVENT_READ:
                key.data.loop_read()
            if mask & selectors.EVENT_WRITE and key.data.socket() is not None:
                key.data.loop_write()
        now = time.monotonic()
        if now - self._misc_at >= _MISC_EVERY_S:
            self._misc_at = now
            for client in list(self._clients):
                client.loop_misc()

    def close(self) -> None:
        """Close every line."""
        for client in list(self._clients):
            if (line := client.socket()) is not None:
                self._forget(client, None, line)
                line.close()
        self._selector.close()

    # paho calls these on the thread of ``turn`` and ``open``.

    def _watch(self, client: mqtt.Client, _data: object, line: "mqtt.SocketLike") -> None:
        self._selector.register(line, selectors.EVENT_READ, client)

    def _forget(self, client: mqtt.Client, _data: object, line: "mqtt.SocketLike") -> None:
        self._clients.discard(client)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(line)

    def _wants_to_write(self, client: mqtt.Client, _data: object, line: "mqtt.SocketLike") -> None:
        self._selector.modify(line, selectors.EVENT_READ | selectors.EVENT_WRITE, client)

    def _has_written(self, client: mqtt.Client, _data: object, line: "mqtt.SocketLike") -> None:
        self._selector.modify(line, selectors.EVENT_READ, client)

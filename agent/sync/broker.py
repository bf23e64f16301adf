"""The wire to the broker, and the only file that knows paho.

Each attempt to connect has its own paho client and its own thread, and both are thrown away with the
connection. So paho never holds a message of an earlier connection (it would send it again, around every
window), never reconnects by itself, and a name server that hangs blocks nobody: the thread is left behind.
The thread runs paho's public ``loop()`` under one ``try``, so that nothing that a broker sends can end the
process or leave a connection that looks alive and is not.
"""

import contextlib
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.config.sections import MqttSection
from agent.errors import SyncError, in_words
from agent.sync.credentials import Unusable, password, tls_context
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

LARGEST_PACKET: Final = 256 * 1024
"""Bytes of the largest packet that we let a broker send us (MQTT 5)."""

UNACKNOWLEDGED_COMMANDS: Final = 100
"""How many messages a broker may send us at QoS 1 before we have acknowledged one (MQTT 5)."""

_RECEIVE_MAXIMUM: Final = 65_535  # what the standard means when a broker does not say
_TURN_S: Final = 1.0
_LINE_BROKE: Final = 0x80
_ALERT: Final = re.compile(r"\b(?:TLS|SSL)V\w+?_ALERT_(\w+)")


class PahoBroker:
    """The broker over TCP or TLS, MQTT 5 or 3.1.1.

    Files (password, certificates) are read at each attempt: replacing one needs no restart.

    Args:
        settings: Where the broker is and who we are.
        client_id: Of this device, unique at the broker.
        connect_timeout_s: Longest time until the line stands, encrypted if it is to be.
        answer_timeout_s: Longest time until the broker accepts or refuses.
        receive_maximum: How many QoS 1 messages may wait for our acknowledgement (MQTT 5).
        largest_packet: Bytes of the largest packet that the broker may send us (MQTT 5).
    """

    def __init__(
        self,
        settings: MqttSection,
        *,
        client_id: str,
        connect_timeout_s: float = 5.0,
        answer_timeout_s: float = 10.0,
        receive_maximum: int = UNACKNOWLEDGED_COMMANDS,
        largest_packet: int = LARGEST_PACKET,
    ) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._settings = settings
        self._client_id = client_id
        self._connect_timeout_s = connect_timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._most = (receive_maximum, largest_packet)
        self._number = 0
        self._link: _Link | None = None

    def connect(self, will: Will | None) -> int:
        """Begin an attempt on a thread of its own; None: nobody is told when the line breaks."""
        self.disconnect(graceful=False)
        self._number += 1
        self._link = _Link(self._number, self._settings, self._client_id, will, self.events.put, self._most)
        self._link.start(connect_s=self._connect_timeout_s, answer_s=self._answer_timeout_s)
        return self._number

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
        """Hand a message to the link's thread.

        Raises:
            SyncError: Nobody has called ``connect``.
        """
        properties = None
        if (correlation is not None or user_properties) and self._settings.version == "5":
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            if correlation is not None:
                properties.CorrelationData = correlation
            if user_properties:
                properties.UserProperty = list(user_properties)
        return self._current().client.publish(topic, body, qos, retain, properties).mid

    def subscribe(self, topics: Sequence[str]) -> None:
        """Ask for messages at QoS 1."""
        self._current().client.subscribe([(topic, 1) for topic in topics])

    def acknowledge(self, arrived: Arrived) -> None:
        """Send the PUBACK, on the link on which the message came."""
        if self._link is not None and self._link.number == arrived.link:
            self._link.client.ack(arrived.mid, arrived.qos)

    def disconnect(self, *, graceful: bool, wait_s: float = 0.0) -> None:
        """Send DISCONNECT, or cut the line; wait for the link's thread as long as allowed."""
        if self._link is not None:
            self._link.end(graceful=graceful, wait_s=wait_s)
            self._link = None

    def _current(self) -> "_Link":
        if self._link is None:
            raise SyncError("a message was to be sent before the broker was connected; this is a fault of the agent")
        return self._link


class _Link:
    """One attempt to connect and, if it succeeds, one connection. Its thread ends with it."""

    def __init__(
        self,
        number: int,
        settings: MqttSection,
        client_id: str,
        will: Will | None,
        put: Callable[[Event], None],
        most: tuple[int, int],
    ) -> None:
        self.number = number
        self._settings = settings
        self._put = put
        self._receive_maximum, self._largest_packet = most
        self._abandoned = threading.Event()
        self._answer_s = 0.0
        self._stage = "waiting"  # then "connected", then "over"
        self._alert: str | None = None
        self._five = settings.version == "5"
        self.client = self._made_client(client_id)
        if will is not None:
            self.client.will_set(will.topic, will.body, 1, will.retain)
        self._thread = threading.Thread(target=self._run, name=f"broker-{number}", daemon=True)

    def start(self, *, connect_s: float, answer_s: float) -> None:
        self._answer_s = answer_s
        self.client.connect_timeout = connect_s
        self._thread.start()

    def end(self, *, graceful: bool, wait_s: float) -> None:
        if graceful:
            self.client.disconnect()
            if self._thread.is_alive():
                self._thread.join(wait_s)
        self._abandoned.set()
        # Closing is left to the link's own thread; this only makes it notice at once.
        line = self.client.socket()
        if isinstance(line, socket.socket):
            with contextlib.suppress(OSError, ValueError):
                line.shutdown(socket.SHUT_RDWR)

    def _made_client(self, client_id: str) -> mqtt.Client:
        version = MQTTProtocolVersion.MQTTv5 if self._five else MQTTProtocolVersion.MQTTv311
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if self._five else self._settings.session_s == 0,
            protocol=version,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.max_inflight_messages_set(0)  # the uplink owns the window
        client.suppress_exceptions = True
        # With this callback paho takes us for an event loop of our own: only our thread touches the socket.
        client.on_socket_register_write = lambda *_: None
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_log = self._on_log
        return client

    def _run(self) -> None:
        try:
            self._secure()
            self._open()
            self._serve()
        except Unusable as fault:
            self._ended(fault.cause, str(fault))
        except ssl.SSLError as fault:
            self._ended("tls", f"the encrypted connection failed: {fault}. Check mqtt.ca_file and the clock")
        except (OSError, UnicodeError) as fault:
            self._ended("network", f"{self._address()} cannot be reached: {in_words(fault)}")
        except Exception as fault:  # noqa: BLE001 - a broker's bytes may not end the process
            self._ended("no-answer", f"{self._address()} sent what is not MQTT: {fault!r}")
        finally:
            self._close()

    def _secure(self) -> None:
        """Read the password and the certificates, fresh at each attempt."""
        settings = self._settings
        if settings.username:
            self.client.username_pw_set(settings.username, password(settings))
        if settings.tls:
            self.client.tls_set_context(tls_context(settings, "mqtt"))

    def _open(self) -> None:
        settings = self._settings
        if not self._five:
            self.client.connect(settings.host, settings.port, settings.keepalive_s)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = self._receive_maximum
        properties.MaximumPacketSize = self._largest_packet
        properties.SessionExpiryInterval = settings.session_s
        self.client.connect(
            settings.host,
            settings.port,
            settings.keepalive_s,
            clean_start=settings.session_s == 0,
            properties=properties,
        )

    def _serve(self) -> None:
        deadline = time.monotonic() + self._answer_s
        while not self._abandoned.is_set():
            if self.client.loop(_TURN_S) != mqtt.MQTT_ERR_SUCCESS:
                return
            if self._stage == "waiting" and time.monotonic() > deadline:
                return

    def _close(self) -> None:
        if self._alert is not None:  # TLS 1.3 says so only after the handshake
            self._ended(
                "tls",
                f"{self._address()} refuses this device's certificate ({self._alert}). Check mqtt.cert_file: who "
                "signed it, until when it is valid, and both clocks",
            )
        self._ended("no-answer", f"{self._address()} does not answer as an MQTT {self._settings.version} broker")
        if (line := self.client.socket()) is not None:
            with contextlib.suppress(OSError):
                line.close()
        # The callbacks hold this object and it holds the client: without them both go at once, files closed.
        self.client.on_connect = self.client.on_disconnect = self.client.on_publish = None
        self.client.on_subscribe = self.client.on_message = self.client.on_log = None

    def _ended(self, cause: str, text: str) -> None:
        """Announce the end, once, in the way that fits how far the link came."""
        stage, self._stage = self._stage, "over"
        if stage == "waiting":
            self._put(Unreachable(self.number, cause, text))
        elif stage == "connected":
            self._put(Disconnected(self.number, _LINE_BROKE, text))

    def _address(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"

    # The thread is ours, but paho holds its locks here: nothing below does more than put.

    def _on_log(self, _client: mqtt.Client, _data: object, _level: int, text: str) -> None:
        """The one thing that paho tells nowhere else: the alert with which the broker ended the encryption."""
        found = _ALERT.search(text)
        if found is not None:
            self._alert = found[1].replace("_", " ").lower()

    def _on_connect(
        self,
        _client: mqtt.Client,
        _data: object,
        flags: mqtt.ConnectFlags,
        code: ReasonCode,
        props: Properties | None,
    ) -> None:
        if code.is_failure:
            self._stage = "over"
            self._put(Refused(self.number, code.value, str(code)))
            return
        self._stage = "connected"
        self._put(
            Connected(
                self.number,
                receive_maximum=getattr(props, "ReceiveMaximum", _RECEIVE_MAXIMUM),
                maximum_packet_size=getattr(props, "MaximumPacketSize", None),
                retain_available=bool(getattr(props, "RetainAvailable", 1)),
                session_present=bool(flags.session_present),
                keepalive_s=getattr(props, "ServerKeepAlive", None),
            )
        )

    def _on_disconnect(
        self, _client: mqtt.Client, _data: object, _flags: object, code: ReasonCode, _props: object
    ) -> None:
        if self._stage == "connected":
            self._stage = "over"
            self._put(Disconnected(self.number, code.value, str(code)))

    def _on_publish(self, _client: mqtt.Client, _data: object, mid: int, code: ReasonCode, _props: object) -> None:
        self._put(Acknowledged(self.number, mid, code.value))

    def _on_subscribe(
        self, _client: mqtt.Client, _data: object, _mid: int, codes: list[ReasonCode], _props: object
    ) -> None:
        self._put(Subscribed(self.number, tuple(code.value for code in codes)))

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "(not UTF-8)"
        props = message.properties
        self._put(
            Arrived(
                self.number,
                topic,
                bytes(message.payload),
                retained=message.retain,
                response_topic=getattr(props, "ResponseTopic", None),
                correlation=getattr(props, "CorrelationData", None),
                mid=message.mid,
                qos=message.qos,
            )
        )

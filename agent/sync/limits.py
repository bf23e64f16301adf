"""How much the uplink may have on the wire, and how fast: the ``[mqtt]`` keys as it uses them."""

from dataclasses import dataclass

from agent.config.hours import Span, spans_of
from agent.config.sections import MqttSection


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one uplink.

    Attributes:
        window: Publications that may wait for their acknowledgement.
        ack_timeout_s: No acknowledgement for this long: the line is cut and a new connection begins.
        retry_max_s: Longest pause between attempts, and after a broker that says no.
        require_subscriber: Whether messages are held while nobody subscribes to them.
        bulk_from: So many messages must wait in a lane before they go out in batches.
        batch_bytes: Compressed bytes of the largest batch; 0: no batches.
        packet_bytes: Bytes of the largest packet, whatever the broker says; 0: only the broker's word counts.
        messages_per_s: Publications per second; 0: any number.
        bytes_per_s: Their bytes; 0: any number.
        bytes_per_day: Bytes of ledger messages and pictures on one day of the device; 0: any number.
        backlog_hours: When a backlog may be sent; empty: always.
        backlog_jitter_s: On a connection that is not the first, what goes out in batches waits up to so long.
    """

    window: int = 20
    ack_timeout_s: float = 40.0
    retry_max_s: float = 60.0
    require_subscriber: bool = True
    bulk_from: int = 300
    batch_bytes: int = 100_000
    packet_bytes: int = 0
    messages_per_s: float = 0.0
    bytes_per_s: int = 0
    bytes_per_day: int = 0
    backlog_hours: tuple[Span, ...] = ()
    backlog_jitter_s: float = 0.0

    @classmethod
    def of(cls, mqtt: MqttSection) -> "Limits":
        """As the settings say."""
        batch_bytes = mqtt.batch_bytes if mqtt.batch == "auto" else 0
        if mqtt.bytes_per_s:
            batch_bytes = min(batch_bytes, mqtt.bytes_per_s)  # no batch overdraws more than a second
        return cls(
            window=mqtt.window,
            ack_timeout_s=mqtt.ack_timeout_s,
            retry_max_s=mqtt.retry_max_s,
            require_subscriber=mqtt.require_subscriber,
            packet_bytes=mqtt.packet_bytes,
            messages_per_s=mqtt.messages_per_s,
            bytes_per_s=mqtt.bytes_per_s,
            bytes_per_day=mqtt.bytes_per_day,
            backlog_hours=spans_of(mqtt.backlog_hours),
            backlog_jitter_s=mqtt.backlog_jitter_s,
            batch_bytes=batch_bytes,
        )

"""How much the uplink may have on the wire, and how fast: the ``[mqtt]`` keys as it uses them."""

from dataclasses import dataclass

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
    """

    window: int = 20
    ack_timeout_s: float = 40.0
    retry_max_s: float = 60.0
    require_subscriber: bool = True
    bulk_from: int = 300
    batch_bytes: int = 100_000

    @classmethod
    def of(cls, mqtt: MqttSection) -> "Limits":
        """As the settings say."""
        return cls(
            window=mqtt.window,
            ack_timeout_s=mqtt.ack_timeout_s,
            retry_max_s=mqtt.retry_max_s,
            require_subscriber=mqtt.require_subscriber,
            batch_bytes=mqtt.batch_bytes if mqtt.batch == "auto" else 0,
        )

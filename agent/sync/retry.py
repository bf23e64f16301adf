"""When to try again, and what a broker's answer means: pure tables.

Reason codes are those of MQTT 5.0, section 2.4; return codes of a 3.1.1 connection are those of MQTT
3.1.1, table 3.1.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

NO_SUBSCRIBER: Final = 0x10
RETAIN_NOT_SUPPORTED: Final = 0x9A
_FAILURE: Final = 0x80


class Settlement(Enum):
    """What becomes of a message after the broker's acknowledgement."""

    SETTLE = "settle"
    """Delivered: its row is settled."""
    HOLD = "hold"
    """Nobody subscribes: it stays unsettled, and one message is tried from time to time."""
    BACK_OFF = "back off"
    """The broker cannot take it now: everything pauses, then goes on from here."""
    FORBIDDEN = "forbidden"
    """This device may not publish there: everything pauses for the longest time."""
    REJECTED = "dead letter"
    """The broker will not take this one, ever: it is kept, shown and left to a person; the others go on."""


PUBACK_CODES: Final[Mapping[int, tuple[Settlement, str]]] = {
    0x00: (Settlement.SETTLE, "success"),
    0x10: (Settlement.HOLD, "no matching subscribers"),
    0x80: (Settlement.BACK_OFF, "unspecified error"),
    0x83: (Settlement.BACK_OFF, "implementation specific error"),
    0x87: (Settlement.FORBIDDEN, "not authorized"),
    0x90: (Settlement.REJECTED, "topic name invalid"),
    0x91: (Settlement.BACK_OFF, "packet identifier in use"),
    0x97: (Settlement.BACK_OFF, "quota exceeded"),
    0x99: (Settlement.REJECTED, "payload format invalid"),
}
"""Every reason code that MQTT 5.0 (table 3-4) allows in a PUBACK."""


def settlement(code: int, *, require_subscriber: bool) -> Settlement:
    """What a PUBACK's reason code means for the message.

    Args:
        code: 0 to 255. A code outside the standard's table is judged by its half: below 0x80 a success,
            else a failure that may pass.
        require_subscriber: The key of the same name; False where the broker's own rules consume messages.
    """
    if code == NO_SUBSCRIBER and not require_subscriber:
        return Settlement.SETTLE
    if code in PUBACK_CODES:
        return PUBACK_CODES[code][0]
    return Settlement.SETTLE if code < _FAILURE else Settlement.BACK_OFF


def puback_text(code: int) -> str:
    """A PUBACK's reason code for a person: ``quota exceeded (0x97)``."""
    return f"{PUBACK_CODES[code][1] if code in PUBACK_CODES else 'unknown answer'} (0x{code:02X})"


_CREDENTIALS: Final = frozenset({0x86, 0x87, 4, 5})


def bad_credentials(code: int) -> bool:
    """Whether a refused connection was refused for who we are, not for how the broker feels.

    Args:
        code: The CONNACK's reason code (0x86, 0x87), or the return code of 3.1.1 (4, 5).
    """
    return code in _CREDENTIALS


def delay_s(attempt: int, draw: float, *, first: float, longest: float) -> float:
    """How long to wait before trying again: exponential backoff with full jitter.

    ``draw * min(longest, first * 2**attempt)``, after "Exponential Backoff And Jitter" (M. Brooker, 2015):
    devices that lost the same broker do not come back in step.

    Args:
        attempt: 0, 1, 2, ... failures before this one.
        draw: Uniform random number in [0, 1].
        first: Upper bound of the first wait, seconds.
        longest: Upper bound of every wait, seconds.

    Returns:
        Seconds, 0 to ``longest``.
    """
    doublings = min(attempt, 32)  # beyond it the float only grows
    return draw * min(longest, first * 2.0**doublings)

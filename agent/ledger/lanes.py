"""In which order kinds of messages leave a device when not all can leave at once."""

from collections.abc import Mapping

URGENT, LIVE, ROLLUPS, AGAIN = 1, 2, 3, 4
"""Lanes as the outbox stores them; ``AGAIN`` is for settled messages that somebody wants a second time."""

LANES: Mapping[str, int] = {
    "alerts": URGENT,
    "gaps": URGENT,
    "audit": URGENT,
    "inspections": LIVE,
    "rollups": ROLLUPS,
    "evidence": ROLLUPS,
}
"""The lane of each kind; of ``LIVE``, what was waiting before the connection stood is backlog and comes after all."""

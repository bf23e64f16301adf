"""In which order kinds of messages leave a device when not all can leave at once."""

from collections.abc import Mapping

URGENT, LIVE, ROLLUPS = 1, 2, 3

LANES: Mapping[str, int] = {
    "alerts": URGENT,
    "gaps": URGENT,
    "audit": URGENT,
    "inspections": LIVE,
    "rollups": ROLLUPS,
}
"""The lane of each kind; what was waiting before the connection stood is backlog and comes after all of them."""

"""What is worth more than what, when not everything can be kept on the device."""

from dataclasses import dataclass
from typing import Final

from agent.ledger.lanes import LIVE, ROLLUPS, URGENT


@dataclass(frozen=True, slots=True)
class PictureClass:
    """Pictures of equal worth.

    Attributes:
        kept: Why they were kept, as in the table ``evidence``.
        reviewed: Whether a person has looked at the record.
    """

    kept: str
    reviewed: bool


PICTURES: Final = (
    PictureClass("audit", reviewed=True),
    PictureClass("audit", reviewed=False),
    PictureClass("all", reviewed=True),
    PictureClass("all", reviewed=False),
    PictureClass("archive", reviewed=True),
    PictureClass("archive", reviewed=False),
    PictureClass("inconclusive", reviewed=True),
    PictureClass("fail", reviewed=True),
    PictureClass("inconclusive", reviewed=False),
    PictureClass("fail", reviewed=False),
)
"""Every class of pictures, the least valuable first."""

ON_DISK: Final = ("stored", "failed", "kept")
"""States of a picture that takes room here; within a class the one that the centre has goes first."""

LANES: Final = (LIVE, ROLLUPS, URGENT)
"""Lanes of messages that nobody has yet, the least valuable first.

A rollup counts the frames of many records and outlives them; alerts and audit are few and go last.
"""

NEVER: Final = "gaps"
"""The kind that never goes before it is delivered: else nobody could tell what is missing."""

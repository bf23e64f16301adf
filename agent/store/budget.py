"""How much of the disk is ours, how much of that is used, and what follows from it. Pure."""

from dataclasses import dataclass
from typing import Any, Final

MB: Final = 1_000_000

_DATABASE_HIGH, _DATABASE_LOW = 0.90, 0.85
"""Of the database's quota: above the first messages go, down to the second; between it and 1 is room to do so."""

_EVIDENCE_LOW: Final = 0.97
"""Of the pictures' quota: down to here they go once it is exceeded."""

_EVIDENCE_FULL: Final = 1.02
"""Of the pictures' quota: above it no more are taken until others have gone."""

_ENOUGH: Final = 1.10
"""Of the free-space floor: so much must be free again before the trouble is over."""

TIGHT: Final = 4 * MB
"""With less than this free a disk is as good as full: SQLite's log alone may take as much."""


_SPARE: Final = 1 * MB
"""Where the database's file may not grow, so much of it must hold nothing."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """What the agent may use, in bytes; 0 is no limit.

    Attributes:
        database: Of the database's file.
        evidence: Of all pictures.
        packs: Of all engine packs.
        free: What must stay free on the disk, whoever else fills it.
        ballast: Of the file that is given up on a full disk.
    """

    database: int
    evidence: int
    packs: int
    free: int
    ballast: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What is used, in bytes, at one moment.

    Attributes:
        database: Pages of the database that hold something.
        unused: Pages of the database that hold nothing.
        evidence: Pictures that are here, those under legal hold included.
        held: Pictures under legal hold.
        classes: Pictures that are here by why they were kept.
        packs: Engine packs.
        free: Free space where the database is.
        evidence_free: Free space where the pictures are.
        together: Whether both are on the same disk.
    """

    database: int
    unused: int
    evidence: int
    held: int
    classes: dict[str, int]
    packs: int
    free: int
    evidence_free: int
    together: bool

    @property
    def pictures_help(self) -> bool:
        """Whether the database's disk gets room when pictures go."""
        return self.together and self.evidence > self.held

    @property
    def least_free(self) -> int:
        """Free space on the fuller disk."""
        return min(self.free, self.evidence_free)


def is_low(usage: Usage, quotas: Quotas, *, before: bool) -> bool:
    """Whether the disk is short of space; once it is, until there is clearly enough again."""
    return usage.least_free < quotas.free * (_ENOUGH if before else 1)


def is_full(usage: Usage) -> bool:
    """Whether the disk of the database is as good as full."""
    return usage.free < TIGHT


def pictures_to_free(usage: Usage, quotas: Quotas, *, low: bool) -> int:
    """Bytes of pictures that must go: for their quota, and for the floor of free space."""
    over = usage.evidence - round(quotas.evidence * _EVIDENCE_LOW) if 0 < quotas.evidence < usage.evidence else 0
    short = round(quotas.free * _ENOUGH) - usage.evidence_free if low else 0
    return max(0, min(max(over, short), usage.evidence - usage.held))


def messages_to_free(usage: Usage, quotas: Quotas, *, stuck: bool) -> int:
    """Bytes in the database that must become free.

    Args:
        usage: What is used.
        quotas: What may be used.
        stuck: Whether its file may not grow, since the disk is full: then it lives within the pages that it has.
    """
    over = 0
    if 0 < quotas.database * _DATABASE_HIGH < usage.database:
        over = usage.database - round(quotas.database * _DATABASE_LOW)
    return max(over, _SPARE - usage.unused if stuck and not usage.pictures_help else 0)


def room_for_pictures(usage: Usage, quotas: Quotas) -> bool:
    """Whether another picture may be written: records come before pictures on a disk that fills."""
    if quotas.evidence and usage.evidence > quotas.evidence * _EVIDENCE_FULL:
        return False
    return usage.evidence_free >= max(quotas.free / 2, TIGHT)


def to_json(usage: Usage, quotas: Quotas) -> dict[str, Any]:
    """Use and limit of each class, as ``status`` and ``up/health`` show them; a limit of None is none."""
    return {
        "database": {"bytes": usage.database, "limit": quotas.database or None},
        "evidence": {
            "bytes": usage.evidence,
            "limit": quotas.evidence or None,
            "held": usage.held,
            "classes": usage.classes,
        },
        "packs": {"bytes": usage.packs, "limit": quotas.packs or None},
        "free": {"bytes": usage.least_free, "floor": quotas.free or None},
    }

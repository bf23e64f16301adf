"""The bodies of alerts and audit messages."""

from collections.abc import Mapping
from typing import Any, Final

from agent.inspection.frame import Moment

ALERTS: Final[Mapping[str, tuple[str, str]]] = {
    "mode-file": (
        "warning",
        "An engine's mode file is missing or unreadable; the mode is shadow until it is set again.",
    ),
    "database-copied": ("warning", "The database is a copy or a backup; a new epoch began."),
    "database-behind": ("critical", "The database is older than what had been committed; a new epoch began."),
    "database-lost": ("critical", "The database is gone; an empty one and a new epoch began."),
    "device-changed": (
        "warning",
        "The database came from another device, or the hardware changed; a new epoch began.",
    ),
    "device-renamed": ("info", "The site or the device has another name; a new epoch began."),
    "disk-low": (
        "warning",
        "The disk has less free space than store.free_mb; pictures make room, the least valuable first.",
    ),
    "disk-full": (
        "critical",
        "The disk, or the database's quota, is full; records could not be written and room is being made.",
    ),
    "evidence-evicted": (
        "info",
        "Pictures that were never sent had to make room in the last hour, before the age of their class.",
    ),
    "ledger-evicted": (
        "critical",
        "Messages that were never acknowledged had to make room in the last hour; gaps name their numbers.",
    ),
    "packs-over-quota": (
        "warning",
        "The engine packs take more than store.packs_mb.",
    ),
}
"""Every alert's code, with its severity (``info``, ``warning``, ``critical``) and what it means."""


def alert_body(
    moment: Moment,
    *,
    code: str,
    severity: str,
    raised: bool,
    about: str,
    text: str,
    figure: float | None = None,
    limit: float | None = None,
) -> dict[str, Any]:
    """An alert, raised or cleared.

    Args:
        moment: When.
        code: What kind of trouble, such as ``mode-file``.
        severity: ``info``, ``warning`` or ``critical``.
        raised: True when it begins, False when it is over.
        about: The camera, engine or part of the agent it concerns.
        text: What happened and what to do, for a person.
        figure: The value that crossed a limit, where there is one.
        limit: That limit.
    """
    return {
        **moment.to_json(),
        "code": code,
        "severity": severity,
        "state": "raised" if raised else "cleared",
        "about": about,
        "figure": figure,
        "limit": limit,
        "text": text,
    }


def audit_body(
    moment: Moment, *, what: str, old: object, new: object, by: str, reason: str, way: str
) -> dict[str, Any]:
    """A change that somebody made: who, why, and by which way (``cli``, ``mqtt``, ``config``)."""
    return {
        **moment.to_json(),
        "what": what,
        "old": old,
        "new": new,
        "by": by,
        "reason": reason,
        "way": way,
    }

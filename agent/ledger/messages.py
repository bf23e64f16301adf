"""The bodies of alerts, audit messages and what became of pictures."""

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
    "database-unsure": ("warning", "Nobody can tell whether the database is complete; a new epoch began."),
    "database-lost": ("critical", "The database is gone; an empty one and a new epoch began."),
    "database-damaged": (
        "critical",
        "The database was damaged; what could be read from it was kept, and a new epoch began.",
    ),
    "journal-failing": ("critical", "The disk takes no verdicts; told when it does again."),
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
    "upload-refused": (
        "warning",
        "The server for pictures refuses this device, is full, or is not the one that it should be.",
    ),
    "nobody-listens": (
        "warning",
        "The broker says that nobody subscribes to this device's ledger; everything is held on the disk.",
    ),
    "broker-forbids": (
        "critical",
        "The broker's access rules do not let this device publish its ledger; everything is held on the disk.",
    ),
    "dead-letters": (
        "warning",
        "The broker refuses messages for good; a person has to send them again or give them up.",
    ),
    "receipts-refused": (
        "warning",
        "A consumer's receipts do not fit this device's ledger: another epoch, or a number that was never given.",
    ),
}
"""Every alert's code, with its severity (``info``, ``warning``, ``critical``) and what it means."""

FATES: Final[Mapping[str, str]] = {
    "stored": "The centre has it: the server or the broker took it.",
    "failed": "It was tried and will not come, unless somebody asks for it; `reason` says why.",
    "erased": "Somebody had it erased from the device.",
}
"""What may become of a picture. Those that had to make room are told by gaps."""

PICTURE_REASONS: Final[Mapping[str, str]] = {
    "refused": "The server or the broker took others and refused this one, `upload.attempts` times.",
    "too-large": "It is larger than `upload.mqtt_max_kb`, or than the broker's largest packet.",
    "file-missing": "Its file is gone from the device, or cannot be read.",
    "file-damaged": "The bytes on the disk are not those that the record names.",
    "erased-on-request": "The command `evidence` ordered it; an audit message says who and why.",
}
"""Why a picture was not stored at the centre."""


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


def evidence_body(
    moment: Moment, *, record: str, fate: str, sha256: str, url: str | None, reason: tuple[str, str] | None
) -> dict[str, Any]:
    """What became of the picture of a record.

    Args:
        moment: When.
        record: The record's id.
        fate: One of ``FATES``.
        sha256: Of the picture, as in the record.
        url: Where it is stored; None where it is not.
        reason: One of ``PICTURE_REASONS`` and a text for a person; None where it is stored.
    """
    return {
        **moment.to_json(),
        "record": record,
        "fate": fate,
        "sha256": sha256,
        "url": url,
        "reason": None if reason is None else {"code": reason[0], "text": reason[1]},
    }

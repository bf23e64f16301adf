"""From the bytes of a command to a ``Command``, or to a plain reason why not: pure.

Whatever arrives, a ``BadCommand`` is the only thing that is raised.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from agent.errors import BadCommand

LARGEST: Final = 64 * 1024
"""Bytes of the largest command that is looked at."""

DEEPEST: Final = 32
"""Levels of objects and arrays within each other that a command may have."""

EARLY: Final = timedelta(minutes=5)
"""How far a synced clock may lie behind the clock that issued a command."""

CODES: Final[Mapping[str, str]] = {
    "retained": "The broker had kept it: publish commands without the retain flag.",
    "oversized": "The body is larger than 64 KiB.",
    "not-json": "The body is not one JSON text in UTF-8: broken, NaN, a duplicate key, too deep, a huge number.",
    "not-an-object": "The body is JSON, but no object.",
    "missing-field": "A field of the envelope is absent.",
    "bad-field": "A field of the envelope has the wrong type or form.",
    "bad-id": "The id is not 1 to 64 letters, digits, '-' or '_'.",
    "expired": "`expires_at` has passed on the device's clock.",
    "not-yet": "`issued_at` lies more than 5 minutes ahead of the device's synced clock.",
    "unknown-verb": "This agent does not know the verb in the topic.",
    "bad-args": "The arguments do not fit the verb.",
    "unknown-camera": "This device has no camera of that name.",
    "unknown-engine": "This device has no engine of that name.",
    "unknown-epoch": "This device's database has had no such epoch.",
    "unknown-record": "This device has no picture of a record with that id.",
    "picture-gone": "The picture made room, or was erased.",
    "held": "The picture is under legal hold, or went just now.",
}
"""Reason codes of a refused command."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TIME: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6})\d{0,3})?(?:Z|\+00:00)", re.ASCII)
_LONGEST_NUMBER: Final = 40
_LONGEST_TEXT: Final = {"by": 200, "reason": 1_000}


@dataclass(frozen=True, slots=True)
class Command:
    """Something that this device is asked to do.

    Attributes:
        id: Chosen by the sender; the same id is carried out once.
        verb: From the topic.
        issued_at: When it was sent, by the sender's clock, UTC.
        expires_at: After this it is not carried out, UTC.
        by: Who asks.
        reason: Why; may be empty.
        args: What the verb needs.
    """

    id: str
    verb: str
    issued_at: datetime
    expires_at: datetime
    by: str
    reason: str
    args: Mapping[str, Any]


def document_of(body: bytes, *, retained: bool) -> dict[str, Any]:
    """Read a command's body as a JSON object.

    Raises:
        BadCommand: ``retained``, ``oversized``, ``not-json`` or ``not-an-object``.
    """
    if retained:
        raise BadCommand("the command was published with the retain flag and is ignored", code="retained")
    if len(body) > LARGEST:
        raise BadCommand(f"the command has {len(body)} bytes, more than {LARGEST}", code="oversized")
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_short,
        )
        _check_depth(value)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a surrogate pair cannot be answered
    except (ValueError, RecursionError) as fault:
        raise BadCommand(f"the command is not JSON: {fault}", code="not-json") from fault
    if not isinstance(value, dict):
        raise BadCommand("the command is JSON, but not an object", code="not-an-object")
    return value


def readable_id(document: Mapping[str, Any]) -> str:
    """The id of a command, which names the topic of its replies.

    Raises:
        BadCommand: ``missing-field`` or ``bad-id``.
    """
    found = _field(document, "id")
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise BadCommand("the id is not 1 to 64 letters, digits, '-' or '_'", code="bad-id")
    return found


def command_of(verb: str, document: Mapping[str, Any], *, wall: datetime, clock: str) -> Command:
    """Check the envelope; fields that it does not know are ignored.

    Args:
        verb: From the topic.
        document: From ``document_of``.
        wall: The device's wall clock, UTC.
        clock: How far that can be trusted: ``synced``, ``holdover`` or ``unset``.

    Raises:
        BadCommand: ``missing-field``, ``bad-field``, ``bad-id``, ``expired`` or ``not-yet``.
    """
    args = _field(document, "args")
    if not isinstance(args, dict):
        raise BadCommand("args is not an object", code="bad-field")
    command = Command(
        id=readable_id(document),
        verb=verb,
        issued_at=_moment(document, "issued_at"),
        expires_at=_moment(document, "expires_at"),
        by=_text(document, "by"),
        reason=_text(document, "reason"),
        args=args,
    )
    if not command.by:
        raise BadCommand("by is empty: say who asks", code="bad-field")
    if command.expires_at <= wall:
        raise BadCommand(
            f"the command expired at {document['expires_at']}; the device's clock ({clock}) is past that",
            code="expired",
        )
    if clock == "synced" and command.issued_at - wall > EARLY:
        raise BadCommand(
            f"the command was issued at {document['issued_at']}, which is still to come; check both clocks",
            code="not-yet",
        )
    return command


def parse(verb: str, body: bytes, *, retained: bool, wall: datetime, clock: str) -> Command:
    """Read and check a whole command, as ``document_of`` and ``command_of`` do.

    Raises:
        BadCommand: With one of ``CODES`` but the verb's own.
    """
    return command_of(verb, document_of(body, retained=retained), wall=wall, clock=clock)


def _field(document: Mapping[str, Any], name: str) -> object:
    if name not in document:
        raise BadCommand(f"the field {name} is missing", code="missing-field")
    return document[name]


def _text(document: Mapping[str, Any], name: str) -> str:
    value, longest = _field(document, name), _LONGEST_TEXT[name]
    if not isinstance(value, str) or len(value) > longest:
        raise BadCommand(f"{name} is not a text of at most {longest} characters", code="bad-field")
    return value


def _moment(document: Mapping[str, Any], name: str) -> datetime:
    value = _field(document, name)
    parts = _TIME.fullmatch(value) if isinstance(value, str) else None
    if parts is None:
        raise BadCommand(f"{name} is not a UTC time like 2026-11-22T09:00:00Z", code="bad-field")
    *whole, fraction = parts.groups()
    try:
        micros = int((fraction or "0").ljust(6, "0"))
        return datetime(*map(int, whole), micros, tzinfo=timezone.utc)  # type: ignore[misc, arg-type]
    except ValueError as fault:
        raise BadCommand(f"{name} is not a time that exists: {fault}", code="bad-field") from fault


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same key twice")
    return found


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if len(text) > _LONGEST_NUMBER or not math.isfinite(value):
        raise ValueError("a number is out of range")
    return value


def _short(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("a number is out of range")
    return int(text)


def _check_depth(value: object) -> None:
    level: list[object] = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, (dict, list))
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return
    raise ValueError(f"more than {DEEPEST} levels within each other")

"""What each verb wants to be told: one pure check of its arguments per verb."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from agent.errors import BadCommand
from agent.inspection.frame import SUBJECT_FIELDS

MOST_AGAIN: Final = 100_000
"""Numbers that one ``replay`` may ask for."""

PICTURE_ACTIONS: Final = ("send", "erase")
MODES: Final = ("shadow", "production", "manual")

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_SUBJECT: Final = 200
_MOST_METADATA: Final = 4_096
_LARGEST_SEQ: Final = 2**40 - 1


def check_ping(args: Mapping[str, Any]) -> None:
    """``ping`` wants nothing.

    Raises:
        BadCommand: ``bad-args``.
    """
    _only(args, ())


def check_trigger(args: Mapping[str, Any]) -> None:
    """``trigger`` wants a camera, and takes ``metadata`` and ``subject``.

    Raises:
        BadCommand: ``bad-args``.
    """
    _only(args, ("camera", "metadata", "subject"))
    _name(args, "camera")
    metadata = args.get("metadata", {})
    if not isinstance(metadata, dict) or len(repr(metadata)) > _MOST_METADATA:
        raise _bad(f"metadata is not an object of at most {_MOST_METADATA} characters")
    subject = args.get("subject", {})
    if not isinstance(subject, dict):
        raise _bad("subject is not an object")
    _only(subject, SUBJECT_FIELDS)
    for name, value in subject.items():
        if value is not None and not (isinstance(value, str) and len(value) <= _LONGEST_SUBJECT):
            raise _bad(f"subject.{name} is not a text of at most {_LONGEST_SUBJECT} characters")


def check_mode(args: Mapping[str, Any]) -> None:
    """``mode`` wants an engine name and a mode.

    Raises:
        BadCommand: ``bad-args``.
    """
    _only(args, ("engine", "mode"))
    _name(args, "engine")
    if args.get("mode") not in MODES:
        raise _bad(f"mode is not one of {', '.join(MODES)}")


def check_replay(args: Mapping[str, Any]) -> None:
    """``replay`` wants an epoch and the first and last number.

    Raises:
        BadCommand: ``bad-args``.
    """
    _only(args, ("epoch", "from", "to"))
    _name(args, "epoch")
    first, last = args.get("from"), args.get("to")
    if type(first) is not int or type(last) is not int or not 1 <= first <= last <= _LARGEST_SEQ:
        raise _bad("from and to are not two whole numbers with 1 <= from <= to")
    if last - first >= MOST_AGAIN:
        raise _bad(f"more than {MOST_AGAIN} numbers at once; ask in pieces")


def check_evidence(args: Mapping[str, Any]) -> None:
    """``evidence`` wants a record's id and an action.

    Raises:
        BadCommand: ``bad-args``.
    """
    _only(args, ("record", "action"))
    _name(args, "record")
    if args.get("action") not in PICTURE_ACTIONS:
        raise _bad(f"action is not one of {', '.join(PICTURE_ACTIONS)}")


CHECKS: Final[Mapping[str, Callable[[Mapping[str, Any]], None]]] = {
    "ping": check_ping,
    "trigger": check_trigger,
    "mode": check_mode,
    "replay": check_replay,
    "evidence": check_evidence,
}
"""Every verb that this agent knows, and the check of its arguments."""


def _only(args: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in args:
        if name not in known:
            raise _bad(f"unknown argument {name[:64]}; known here: {', '.join(known) or 'none'}")


def _name(args: Mapping[str, Any], key: str) -> None:
    value = args.get(key)
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _bad(f"{key} is missing or not a name of 1 to 64 letters, digits, '-' or '_'")


def _bad(text: str) -> BadCommand:
    return BadCommand(text, code="bad-args")

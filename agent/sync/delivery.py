"""What a server's answer means for a picture, and whose fault a failure is: pure.

Status codes are those of HTTP Semantics (RFC 9110, section 15) and of WebDAV (RFC 4918, for 507).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Meaning(Enum):
    """What an attempt to send one picture came to."""

    STORED = "stored"
    """It is there: its fate is told."""
    REFUSED = "refused"
    """The server does not want this one: that counts, and after `upload.attempts` it has failed."""
    NEVER = "never"
    """It cannot go this way at all: it has failed."""
    LATER = "later"
    """The server cannot now, or the line broke: another picture is tried after a pause."""
    FORBIDDEN = "forbidden"
    """Settings or rights are wrong: nothing is tried for `upload.retry_max_s`, and an alert says so."""


STATUS: Final[Mapping[int, Meaning]] = {
    200: Meaning.STORED,
    201: Meaning.STORED,
    202: Meaning.LATER,
    204: Meaning.STORED,
    400: Meaning.REFUSED,
    401: Meaning.FORBIDDEN,
    403: Meaning.FORBIDDEN,
    404: Meaning.FORBIDDEN,
    405: Meaning.FORBIDDEN,
    408: Meaning.LATER,
    409: Meaning.REFUSED,
    410: Meaning.FORBIDDEN,
    411: Meaning.FORBIDDEN,
    413: Meaning.REFUSED,
    415: Meaning.REFUSED,
    416: Meaning.REFUSED,
    422: Meaning.REFUSED,
    425: Meaning.LATER,
    429: Meaning.LATER,
    501: Meaning.FORBIDDEN,
    507: Meaning.LATER,
}
"""Answers to a PUT. Any other 5xx is later; any other 3xx or 4xx is forbidden: the address is not right."""

FULL: Final = 507
_SUCCESS, _REDIRECT, _SERVER_ERROR = 200, 300, 500


def meaning_of(status: int) -> Meaning:
    """What the status of an answer to a PUT means; 100 to 599."""
    if status in STATUS:
        return STATUS[status]
    if status >= _SERVER_ERROR or _SUCCESS <= status < _REDIRECT:
        return Meaning.LATER
    return Meaning.FORBIDDEN


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt to send one picture came to.

    Attributes:
        meaning: For the picture and the next ones.
        code: A short word: ``network``, ``tls``, ``http-507``, ``too-large``.
        text: For a person; without secrets.
        sent: Bytes of the picture that have left.
        url: Where it is, once it is stored.
        alarming: Whether a person has to do something although it may pass: a full server.
    """

    meaning: Meaning
    code: str = ""
    text: str = ""
    sent: int = 0
    url: str | None = None
    alarming: bool = False


class Blame:
    """Whether a failure is the picture's own fault.

    A broken line and a server in trouble can be anybody's fault. They count against a picture only when the server
    has taken another one since this picture last failed: so a week without a server fails no picture, and one at
    which the server stumbles each time is given up and blocks nobody.
    """

    def __init__(self) -> None:
        self._taken = 0
        self._failed_at: dict[str, int] = {}

    def stored(self, record: str) -> None:
        """The server took a picture."""
        self._taken += 1
        self._failed_at.pop(record, None)

    def failed(self, record: str) -> bool:
        """A picture failed for a reason that may be anybody's; True if it counts."""
        before = self._failed_at.pop(record, None)
        self._failed_at[record] = self._taken
        if len(self._failed_at) > _REMEMBERED:
            del self._failed_at[next(iter(self._failed_at))]
        return before is not None and self._taken > before


_REMEMBERED: Final = 1_000

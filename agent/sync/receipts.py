"""Receipts: a consumer says up to where it has stored everything. Idempotent, so a retained one is as good."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from agent.sync.wire import Arrived

log = structlog.get_logger(__name__)

REFUSALS: Final[Mapping[str, str]] = {
    "malformed": 'The receipt is not `{"epoch", "upto"}`, or the consumer\'s name is not one.',
    "unknown-epoch": "This device's database has had no such epoch.",
    "beyond-head": "The device has not given that number yet.",
    "too-many-consumers": "Receipts of a hundred other consumers are kept already.",
}
"""Why a receipt is refused."""

_LARGEST: Final = 1_024
_LONGEST_EPOCH: Final = 64
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LARGEST_SEQ: Final = 2**40 - 1


class Receipts:
    """What consumers confirm. ``take`` is called on the uplink's thread.

    Args:
        store: Takes (consumer, epoch, upto) and whom to tell the reason of a refusal, or None; never waits.
        raised: Raises an alert.
        cleared: Clears one.
    """

    def __init__(
        self,
        *,
        store: Callable[[str, str, int, Callable[[str | None], None]], None],
        raised: Callable[..., None],
        cleared: Callable[..., None],
    ) -> None:
        self._store = store
        self._raised = raised
        self._cleared = cleared
        self._taken = 0
        self._refused: Counter[str] = Counter()
        self._last: dict[str, str] | None = None

    def take(self, consumer: str, arrived: Arrived) -> None:
        """Hand a receipt to the store. Never raises for what somebody sent."""
        said = _said(arrived.body)
        if said is None or not _NAME.fullmatch(consumer):
            self._answered(consumer[:64], "malformed")
            return
        self._store(consumer, *said, lambda refusal: self._answered(consumer, refusal))

    def snapshot(self) -> dict[str, Any]:
        """Counts since the start, and the last refusal."""
        return {"taken": self._taken, "refused": dict(self._refused.copy()), "last_refusal": self._last}

    def _answered(self, consumer: str, refusal: str | None) -> None:
        if refusal is None:
            self._taken += 1
            self._cleared("receipts-refused", about=consumer, text="its receipts fit again")
            return
        self._refused[refusal] += 1
        text = f"a receipt of {consumer} was refused: {REFUSALS[refusal]} Look at that consumer"
        self._last = {"consumer": consumer, "code": refusal, "text": REFUSALS[refusal]}
        if self._refused.total() == 1:
            log.warning("receipt-refused", consumer=consumer, code=refusal)
        self._raised("receipts-refused", about=consumer, text=text)


def _said(body: bytes) -> tuple[str, int] | None:
    try:
        found = json.loads(body) if len(body) <= _LARGEST else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    epoch, upto = found.get("epoch"), found.get("upto")
    if not isinstance(epoch, str) or len(epoch) > _LONGEST_EPOCH:
        return None
    if type(upto) is not int or not 0 <= upto <= _LARGEST_SEQ:
        return None
    try:
        epoch.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return None
    return epoch, upto

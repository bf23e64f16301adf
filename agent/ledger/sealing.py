"""From a draft to the bytes that are stored, published and chained, made exactly once."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

FIRST_PREV = "0" * 64
"""``prev`` of the first message of an epoch."""

SINGULAR: Mapping[str, str] = {
    "inspections": "inspection",
    "rollups": "rollup",
    "alerts": "alert",
    "gaps": "gap",
    "audit": "audit",
    "evidence": "evidence",
}
"""Each kind of ledger message, and its name in ``schema``."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Which device and which process speak."""

    site: str
    device: str
    boot: str
    kernel_boot: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A ledger message that has no number yet.

    Attributes:
        kind: One of ``SINGULAR``.
        id: UUIDv7, the consumer's dedup key.
        origin: The device and the process in which the fact arose.
        body: Everything behind the envelope, its time fields first; JSON values without NaN.
    """

    kind: str
    id: str
    origin: Origin
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A ledger message as it is stored and published.

    Attributes:
        seq: 1, 2, 3, ... per epoch.
        kind: One of ``SINGULAR``.
        id: UUIDv7.
        body: The UTF-8 bytes; never serialised again.
        sha256: Of exactly those bytes, 64 lower-case hex digits: the next message's ``prev``.
    """

    seq: int
    kind: str
    id: str
    body: bytes
    sha256: str


def seal(draft: Draft, *, epoch: str, seq: int, prev: str) -> Sealed:
    """Give a draft its place in the chain.

    Raises:
        ValueError: The body holds NaN or an infinity, which JSON does not have.
    """
    origin = draft.origin
    message = {
        "schema": f"fieldgate.{SINGULAR[draft.kind]}/1",
        "id": draft.id,
        "site": origin.site,
        "device": origin.device,
        "boot": origin.boot,
        "kernel_boot": origin.kernel_boot,
        "epoch": epoch,
        "seq": seq,
        "prev": prev,
        **draft.body,
    }
    body = canonical(message)
    return Sealed(seq, draft.kind, draft.id, body, sha256_hex(body))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sealed message says that it belongs.

    Attributes:
        epoch: Its ledger.
        seq: Its number there.
        prev: sha256 of the message before it.
    """

    epoch: str
    seq: int
    prev: str


_PLACE: Final = re.compile(rb'"epoch":"([0-9a-f-]+)","seq":(\d+),"prev":"([0-9a-f]{64})"')


def place_of(body: bytes) -> Place | None:
    """Read a sealed message's place from its bytes, without reading all of it; None where it says none."""
    found = _PLACE.search(body)
    return None if found is None else Place(found[1].decode(), int(found[2]), found[3].decode())


def canonical(value: Mapping[str, Any]) -> bytes:
    """Compact UTF-8 JSON in the order given.

    A lone surrogate (a file name that is not UTF-8) is written as the JSON escape that it is read back from.

    Raises:
        ValueError: NaN or an infinity somewhere inside.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")


def sha256_hex(body: bytes) -> str:
    """64 lower-case hex digits."""
    return hashlib.sha256(body).hexdigest()

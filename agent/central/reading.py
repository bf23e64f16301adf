"""From what arrived to what it is. Pure; whatever the bytes are, they come out again unchanged, understood or not."""

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent.central.proof import Missing
from agent.ledger.sealing import sha256_hex

LARGEST_BATCH: Final = 16 * 1024 * 1024
"""Bytes that a batch may become when it is unpacked; a bomb of 100 KB could become a hundred megabytes."""

_WORD: Final = re.compile(r"[\x21-\x7e]{1,100}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_SCHEMA: Final = re.compile(r"fieldgate\.([a-z-]{1,40})/[0-9]{1,4}")
_LARGEST: Final = 2**40


@dataclass(frozen=True, slots=True)
class Source:
    """The device that a topic belongs to, and what it says there.

    Attributes:
        site: Its site.
        device: Its name.
        branch: What stands behind ``up/``: ``ledger/inspections``, ``status``.
    """

    site: str
    device: str
    branch: str


@dataclass(frozen=True, slots=True)
class Told:
    """What a gap says about the numbers of a ledger, which need not be the one it stands in.

    Attributes:
        epoch: Whose numbers.
        gap: A run that never comes; None where the ledger is not carried on.
        after: The last known number of a ledger that is not carried on; None in a run.
    """

    epoch: str
    gap: Missing | None = None
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A sealed message as it arrived.

    Attributes:
        site: Where its device stands.
        device: Who says it.
        epoch: Which ledger.
        seq: Its number there.
        id: The key against duplicates.
        kind: In the singular, from its schema; also one that is not known here.
        prev: The hash of the message before.
        sha256: Of its bytes.
        at: Wall clock of what it says, as text; empty where it has none.
        told: What it says about numbers that never come.
        frames: Frames whose verdicts it says were lost.
        body: Its bytes.
    """

    site: str
    device: str
    epoch: str
    seq: int
    id: str
    kind: str
    prev: str
    sha256: str
    at: str
    told: Told | None
    frames: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Strange:
    """Bytes that are no message of this contract, and why."""

    why: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """How far a device says that its ledger reaches."""

    site: str
    device: str
    epoch: str
    head: int


def source_of(root: str, topic: str) -> Source | None:
    """Whose topic this is; None for one that is not below the root."""
    prefix = f"{root.strip('/')}/"
    words = topic.removeprefix(prefix).split("/", 3) if topic.startswith(prefix) else []
    return Source(words[0], words[1], words[3]) if len(words) == 4 and words[2] == "up" else None  # noqa: PLR2004


def read(source: Source, body: bytes) -> Iterator[Message | Strange]:
    """The messages in what arrived on ``up/ledger/``: one, or those of a batch."""
    if source.branch != "ledger/batch":
        yield _read_one(source, body)
        return
    unpacker = zlib.decompressobj()
    try:
        lines = unpacker.decompress(body, LARGEST_BATCH)
    except zlib.error as fault:
        yield Strange(f"the batch is not zlib: {fault}", body)
        return
    if not unpacker.eof:
        why = "is larger than it may be" if unpacker.unconsumed_tail else "ends in the middle"
        yield Strange(f"the batch {why}", body)
        return
    for line in filter(None, lines.split(b"\n")):
        yield _read_one(source, line)


def _read_one(source: Source, body: bytes) -> Message | Strange:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as fault:
        return Strange(f"not JSON: {str(fault)[:100]}", body)
    if not isinstance(value, dict):
        return Strange("not a JSON object", body)
    if wrong := _wrong_envelope(source, value):
        return Strange(wrong, body)
    schema = _SCHEMA.fullmatch(value["schema"])
    kind = schema[1] if schema else value["schema"]
    at = value.get("captured_at", value.get("at"))
    return Message(
        site=source.site,
        device=source.device,
        epoch=value["epoch"],
        seq=value["seq"],
        id=value["id"],
        kind=kind,
        prev=value["prev"],
        sha256=sha256_hex(body),
        at=at if isinstance(at, str) and _WORD.fullmatch(at) else "",
        told=_told(value) if kind == "gap" else None,
        frames=_lost_frames(value) if kind == "gap" else 0,
        body=body,
    )


def _wrong_envelope(source: Source, value: Mapping[str, Any]) -> str | None:
    for name in ("schema", "id", "site", "device", "epoch"):
        if not (isinstance(value.get(name), str) and _WORD.fullmatch(value[name])):
            return f"{name} is missing or is no word"
    if (value["site"], value["device"]) != (source.site, source.device):
        return "it says that it is another device's than its topic"
    if not _number(value.get("seq")):
        return "seq is missing or is no number from 1 to 2**40"
    if not _is_hash(value.get("prev")):
        return "prev is missing or is no sha256"
    return None


def _told(value: Mapping[str, Any]) -> Told | None:
    """What a gap explains; a malformed one explains nothing."""
    seqs, ended = value.get("seqs"), value.get("ledger")
    if isinstance(seqs, dict):
        epoch = seqs.get("epoch", value["epoch"])
        first, last = _number(seqs.get("from")), _number(seqs.get("to"))
        if not (_is_word(epoch) and _is_hash(seqs.get("last_sha256")) and first <= last):
            return None
        fits = first > 0 and seqs.get("count") == last - first + 1
        return Told(epoch, gap=Missing(first, last, seqs["last_sha256"])) if fits else None
    if isinstance(ended, dict) and _is_word(ended.get("epoch")) and "after" in ended:
        after = ended["after"]
        return Told(ended["epoch"], after=_number(after)) if after in (None, 0) or _number(after) else None
    return None


def _lost_frames(value: Mapping[str, Any]) -> int:
    frames = value.get("frames")
    return _number(frames.get("count")) if isinstance(frames, dict) else 0


def head_in(source: Source, body: bytes) -> Head | None:
    """The ledger's head in ``up/status`` or ``up/health``; None where it says none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    facts = value.get("ledger") if isinstance(value, dict) else None
    if not isinstance(facts, dict) or not _is_word(facts.get("epoch")) or not _number(facts.get("head")):
        return None
    return Head(source.site, source.device, facts["epoch"], facts["head"])


def _number(value: object) -> int:
    """A number from 1 to 2**40; 0 for anything else."""
    fits = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST
    return value if fits and isinstance(value, int) else 0


def _is_word(value: object) -> bool:
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and _HASH.fullmatch(value) is not None

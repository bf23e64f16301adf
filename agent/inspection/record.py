"""All facts of one inspection, without pixels, and whether they are kept."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.inspection.frame import Frame, Moment, utc_text
from agent.inspection.screening import Screening
from agent.inspection.verdict import Detection, Verdict

STAGES = ("wait", "screen", "verify", "total")


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds one frame spent; None where a stage did not run.

    Attributes:
        wait: From capture to the moment the line took it.
        screen: In stage 1, with resizing and decoding.
        verify: In stage 2, with resizing and decoding.
        total: From capture to the verdict, ``wait`` included.
    """

    wait: float
    screen: float | None
    verify: float | None
    total: float

    def to_json(self) -> dict[str, float | None]:
        """The record's ``latency_ms``, in stage order, microsecond resolution."""
        values = (self.wait, self.screen, self.verify, self.total)
        return {stage: None if value is None else round(value, 3) for stage, value in zip(STAGES, values, strict=True)}


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """Which engine decided, as the record names it.

    Attributes:
        name: The pack's full name, such as ``pcb-trace-v1.0``.
        digest: The pack's digest.
        runtime: Such as ``onnx-cpu``.
    """

    name: str
    digest: str
    runtime: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """The JPEG that was stored for a record."""

    sha256: str
    bytes: int
    width: int
    height: int

    def to_json(self) -> dict[str, str | int]:
        """The record's ``evidence``."""
        return {
            "sha256": self.sha256,
            "bytes": self.bytes,
            "width": self.width,
            "height": self.height,
        }


@dataclass(frozen=True, slots=True)
class Record:
    """One inspection; immutable once written.

    ``frame`` carries the facts of capture, never the pixels: ``of`` drops them.
    """

    frame: Frame
    engine: EngineFacts
    agent: str
    role: str
    mode: str
    kept: str | None
    audit_rate: float
    screening: Screening | None
    detections: tuple[Detection, ...]
    verdict: Verdict
    latency: Latency
    evidence: Evidence | None = None
    evidence_reason: str | None = "not-wanted"

    def with_evidence(self, evidence: Evidence) -> "Record":
        """The same record with its stored JPEG."""
        return replace(self, evidence=evidence, evidence_reason=None)

    def without_evidence(self, reason: str) -> "Record":
        """The same record saying why it has no JPEG: not-wanted, queue-full, no-room or failed."""
        return replace(self, evidence=None, evidence_reason=reason)

    def without_pixels(self) -> "Record":
        """The same record, no longer holding on to the image."""
        return replace(self, frame=replace(self.frame, image=None))

    def to_json(self) -> dict[str, Any]:
        """The body of its ledger message; the envelope comes from sealing."""
        frame = self.frame
        return {
            "captured_at": utc_text(frame.captured.wall),
            "clock": frame.captured.state,
            "monotonic_ns": frame.captured.monotonic_ns,
            "camera": frame.camera,
            "frame": frame.number,
            "source": frame.source,
            "trigger": {"kind": frame.trigger.kind, "metadata": frame.trigger.metadata},
            "subject": frame.subject.to_json(),
            "engine": self.engine.name,
            "engine_digest": self.engine.digest,
            "runtime": self.engine.runtime,
            "agent": self.agent,
            "role": self.role,
            "mode": self.mode,
            "kept": self.kept,
            "audit_rate": self.audit_rate,
            "screening": self.screening.to_json() if self.screening else None,
            "detections": [one.to_json() for one in self.detections],
            "outcome": self.verdict.outcome,
            "disposition": self.verdict.disposition,
            "reason": {"code": self.verdict.code, "text": self.verdict.text},
            "latency_ms": self.latency.to_json(),
            "evidence": self.evidence.to_json() if self.evidence else None,
            "evidence_reason": self.evidence_reason,
        }


def kept_as(verdict: Verdict, *, policy: str, triggered: bool, audited: bool) -> str | None:
    """Under which heading a verdict becomes a record; None when only rollups count it.

    Args:
        verdict: What was decided.
        policy: The camera's ``record``: ``all`` or ``notable``.
        triggered: Triggered frames are parts, and each part is traceable.
        audited: Whether the audit sample drew this frame.
    """
    if verdict.code == "manual":
        return "all" if policy == "all" or triggered else None
    if policy == "all":
        return "all"
    if verdict.outcome in ("fail", "inconclusive"):
        return verdict.outcome
    if verdict.disposition == "archive":
        return "archive"
    if audited:
        return "audit"
    return None


def kept_for(record: Record) -> str:
    """Why a record's picture is worth keeping: fail, inconclusive, archive or audit; ``all`` for the rest."""
    verdict = record.verdict
    if verdict.outcome != "pass":
        return verdict.outcome
    if verdict.disposition == "archive":
        return "archive"
    return record.kept if record.kept == "audit" else "all"


def evidence_name(record_id: str, captured: Moment) -> str:
    """Where a record's picture lies below the evidence folder: a folder for the day of capture, named by the id."""
    return f"{captured.wall:%Y-%m-%d}/{record_id}.jpg"


def audit_draw(*, seed: int, boot: str, camera: str, number: int) -> float:
    """A reproducible draw in [0, 1) for one frame; below the audit rate it is in the sample."""
    text = f"{seed}/{boot}/{camera}/{number}".encode()
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def detections_json(detections: Sequence[Mapping[str, Any]]) -> tuple[Detection, ...]:
    """The detections of a stored record, for a replay."""
    return tuple(Detection(one["label"], one["score"], one["threshold"], tuple(one["box"])) for one in detections)

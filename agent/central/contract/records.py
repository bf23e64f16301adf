"""What was inspected: records, and their minutes."""

from typing import Annotated, Any, Literal

from pydantic import Field

from agent.central.contract.envelope import Hash, Part, Reason, Sealed, SealedAt, Utc

Outcome = Literal["pass", "fail", "inconclusive"]
Disposition = Literal["none", "archive", "flagged"]
Role = Literal["active", "candidate"]
Mode = Literal["shadow", "production", "manual"]
Count = Annotated[int, Field(ge=0)]
Score = Annotated[float, Field(ge=0, le=1)]
Histogram = Annotated[list[Count], Field(min_length=20, max_length=20)]
Box = Annotated[list[float], Field(min_length=4, max_length=4, description="x1, y1, x2, y2 in frame pixels")]


class Trigger(Part):
    """What asked for a frame."""

    kind: Literal["continuous", "interval", "mqtt", "gpio", "http", "manual"]
    metadata: dict[str, Any] = Field(description="whatever the asker wanted to find here again")


class Subject(Part):
    """What is on the picture, as far as somebody said it."""

    part: str | None
    batch: str | None
    serial: str | None
    asset: str | None
    location: str | None
    recipe: str | None


class Screening(Part):
    """The first stage's word."""

    score: Score
    threshold: Score
    suspicious: bool


class Detection(Part):
    """One box of the detector, also one that did not count."""

    label: str
    score: Score
    threshold: Score
    box: Box


class Milliseconds(Part):
    """How long one frame took; null where a stage did not run."""

    wait: float
    screen: float | None
    verify: float | None
    total: float


class Picture(Part):
    """The stored JPEG."""

    sha256: Hash
    bytes: int = Field(ge=1)
    width: int = Field(ge=1)
    height: int = Field(ge=1)


class Inspection(Sealed):
    """One record: all facts of one inspection, without pixels."""

    schema_: Literal["fieldgate.inspection/1"] = Field(alias="schema")
    captured_at: Utc
    camera: str
    frame: int = Field(ge=1, description="1, 2, 3, ... per process and camera, given at capture")
    source: str | None
    trigger: Trigger
    subject: Subject
    engine: str
    engine_digest: str
    runtime: str
    agent: str
    role: Role
    mode: Mode
    kept: Literal["all", "fail", "archive", "inconclusive", "audit"] | None
    audit_rate: float = Field(ge=0, le=1)
    screening: Screening | None
    detections: list[Detection]
    outcome: Outcome
    disposition: Disposition
    reason: Reason
    latency_ms: Milliseconds
    evidence: Picture | None
    evidence_reason: str | None = Field(description="why there is no picture: not-wanted, queue-full, no-room, failed")


class LatencyCounts(Part):
    """One stage's times: how many in each bucket, their sum, their maximum."""

    counts: list[Count]
    sum: float
    max: float


class Rollup(SealedAt):
    """One minute of one camera, engine and role as counts that add up."""

    schema_: Literal["fieldgate.rollup/1"] = Field(alias="schema")
    camera: str
    engine: str
    engine_digest: str
    runtime: str
    role: Role
    minute: str = Field(description="wall clock of the minute of the first commit in it")
    monotonic_minute: int
    closed: Literal["minute", "stop", "restart"]
    frames: Count
    replaced: Count
    skipped: Count
    recorded: Count
    outcomes: dict[str, Count]
    dispositions: dict[str, Count]
    classes: dict[str, Count]
    reasons: dict[str, Count]
    screening_histogram: Histogram
    score_histograms: dict[str, Histogram]
    latency_ms: dict[str, LatencyCounts]

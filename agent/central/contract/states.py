"""What is said beside the ledger: presence, status, health, commands with their replies, receipts."""

from typing import Annotated, Any, Literal

from pydantic import Field

from agent.central.contract.envelope import ClockState, Part, Reason, Said, Severity, Utc
from agent.central.contract.records import Count, Mode

CommandId = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,64}$")]


class Online(Part):
    """Whether the agent is there; also its last will."""

    state: Literal["online", "lost", "stopped", "upgrading"]
    boot: str
    connects: int = Field(description="a will with a lower number than one already seen of this boot is stale")


class LedgerFacts(Part):
    """How far the ledger reaches; null where the database cannot be read now."""

    epoch: str | None
    head: Count
    settled: int | None = Field(description="everything up to this number is settled")
    oldest_kept: int | None


class EngineState(Part):
    """What inspects under one engine name."""

    pack: str
    digest: str
    runtime: str


class CameraState(Part):
    """How one camera is doing."""

    name: str
    kind: str
    engine: str
    state: Literal["starting", "running", "offline", "no-frames", "frozen", "ended"]
    reason: str
    since: Utc
    frames: Count
    replaced: Count
    overflow: Count
    attempts: Count


class StandingAlert(Part):
    """An alert that is raised and not cleared."""

    code: str
    about: str
    severity: Severity
    text: str
    since: Utc


class Status(Said):
    """What the agent is and what state it is in."""

    schema_: Literal["fieldgate.status/1"] = Field(alias="schema")
    at: Utc
    clock: ClockState
    monotonic_ns: int
    agent: str
    modes: dict[str, Mode]
    engines: dict[str, EngineState]
    cameras: list[CameraState]
    alerts: list[StandingAlert]
    ledger: LedgerFacts


class StageFigures(Part):
    """One stage's window; None where no frame went through it."""

    frames: Count
    average: float | None
    p95: float | None
    p99: float | None


class Drops(Part):
    """Frames that got no verdict, since the process started."""

    replaced: Count
    skipped: Count
    overflow: Count


class LineFigures(Part):
    """The line in the window since the message before."""

    window_s: float
    images_per_s: float | None
    latency_ms: dict[str, StageFigures]
    frames: Count
    errors: Count
    drops: Drops
    backlog: dict[str, int | None]


class Share(Part):
    """What one class uses of the disk; bytes, a limit of null is none."""

    bytes: Count
    limit: int | None


class Pictures(Share):
    """The pictures on the device."""

    held: Count = Field(description="bytes of pictures under legal hold")
    classes: dict[str, Count] = Field(description="bytes by why they were kept")


class FreeSpace(Part):
    """What is free where the store is, and what should be."""

    bytes: Count
    floor: int | None


class Went(Part):
    """What had to go since the process started."""

    evidence_evicted: Count = Field(description="pictures, to make room")
    evidence_expired: Count = Field(description="pictures that reached the age of their class")
    evidence_missing: Count = Field(description="pictures whose files somebody else has removed")
    ledger_evicted: Count = Field(description="messages, to make room")
    ledger_expired: Count = Field(description="settled messages that were held long enough")


class Budget(Part):
    """What the store uses of the disk."""

    database: Share
    evidence: Pictures
    packs: Share
    free: FreeSpace
    ballast: Literal["held", "released", "none"]
    went: Went


class Health(Said):
    """Figures of the device and of the line."""

    schema_: Literal["fieldgate.health/1"] = Field(alias="schema")
    at: Utc
    clock: ClockState
    monotonic_ns: int
    host: dict[str, Any] = Field(description="what the sensors read; the reference page on health lists it")
    line: LineFigures
    ledger: LedgerFacts
    budget: Budget | None


class Command(Part):
    """One command, checked, carried out once, answered."""

    id: CommandId
    issued_at: Utc
    expires_at: Utc
    by: str = Field(min_length=1, max_length=200)
    reason: str = Field(max_length=1_000)
    args: dict[str, Any]


class Reply(Part):
    """What became of a command."""

    id: CommandId
    verb: str
    state: Literal["accepted", "done", "failed", "refused"]
    reason: Reason | None
    result: dict[str, Any] | None
    at: Utc


class Receipt(Part):
    """A consumer has stored, or seen explained, everything up to a number."""

    epoch: str
    upto: Count

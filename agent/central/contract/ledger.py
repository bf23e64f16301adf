"""What a device has to say beside its records: alerts, gaps, changes, pictures' fates, times."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from agent.central.contract.envelope import Hash, Part, Reason, SealedAt, Severity, Utc
from agent.central.contract.records import Box, Disposition, Outcome, Subject

Number = Annotated[int, Field(ge=1)]


class Alert(SealedAt):
    """Trouble begins or is over."""

    schema_: Literal["fieldgate.alert/1"] = Field(alias="schema")
    code: str
    severity: Severity
    state: Literal["raised", "cleared"]
    about: str = Field(description="the camera, engine or part of the agent")
    figure: float | None
    limit: float | None
    text: str


class Audit(SealedAt):
    """Who changed what, and why."""

    schema_: Literal["fieldgate.audit/1"] = Field(alias="schema")
    what: str
    old: Any
    new: Any
    by: str
    reason: str
    way: str


class MissingNumbers(Part):
    """Messages that had a number and will never come; both ends belong to the run."""

    from_: Number = Field(alias="from")
    to: Number
    count: Number
    last_sha256: Hash = Field(description="of the message numbered `to`: the chain goes on behind the run")
    epoch: str | None = Field(default=None, description="whose numbers, where it is not this message's epoch")


class MissingFrames(Part):
    """Frames that were inspected and whose verdicts could not be written; both ends belong to the run."""

    camera: str
    boot: str
    from_: Number = Field(alias="from")
    to: Number
    count: Number


class EarlierLedger(Part):
    """A ledger that this database does not carry on."""

    epoch: str
    after: int | None = Field(description="the last number that is known of it; null where none is")


_ONE_OF = ("seqs", "frames", "evidence", "ledger")


class Gap(SealedAt):
    """What will never come, and why: exactly one of seqs, frames, evidence and ledger."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [name]} for name in _ONE_OF]})

    schema_: Literal["fieldgate.gap/1"] = Field(alias="schema")
    seqs: MissingNumbers | None = None
    frames: MissingFrames | None = None
    evidence: list[str] | None = Field(default=None, description="ids of records whose pictures are gone")
    ledger: EarlierLedger | None = None
    reason: Reason


class EvidenceFate(SealedAt):
    """What became of a record's picture."""

    schema_: Literal["fieldgate.evidence/1"] = Field(alias="schema")
    record: str
    fate: Literal["stored", "evicted", "failed", "erased"]
    sha256: Hash | None
    url: str | None
    reason: Reason | None


class ClockMark(SealedAt):
    """A boot's monotonic time mapped to wall time."""

    schema_: Literal["fieldgate.clock/1"] = Field(alias="schema")
    wall: Utc
    source: str


class PartVerdict(SealedAt):
    """The worst outcome of the frames of one part."""

    schema_: Literal["fieldgate.part/1"] = Field(alias="schema")
    part: str
    subject: Subject
    frames: list[str]
    missing: list[str]
    outcome: Outcome
    disposition: Disposition
    reason: Reason


class WorkOrder(SealedAt):
    """What somebody has to look at, or mend."""

    schema_: Literal["fieldgate.work-order/1"] = Field(alias="schema")
    record: str
    subject: Subject
    severity: str
    labels: list[str]
    text: str
    state: str


class Review(SealedAt):
    """A person's word on a record."""

    schema_: Literal["fieldgate.review/1"] = Field(alias="schema")
    record: str
    word: Literal["confirmed", "false alarm", "missed defect", "unsure"]
    label: str | None
    box: Box | None
    by: str
    seconds: float | None
    note: str | None

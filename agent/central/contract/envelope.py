"""What all messages share: unknown fields are kept, and every ledger message has its place and its time."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Utc = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$")]
ClockState = Literal["synced", "holdover", "unset"]
Severity = Literal["info", "warning", "critical"]


class Part(BaseModel):
    """A table of a message. Consumers ignore fields that they do not know."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)


class Reason(Part):
    """Why: a code for programs, a sentence for people."""

    code: str
    text: str


class Said(Part):
    """Who says it."""

    site: str
    device: str
    boot: str = Field(description="the process in which the fact arose; new at each start of the agent")
    kernel_boot: str = Field(description="the boot of the kernel in which monotonic_ns counts")


class Sealed(Said):
    """A message of the ledger: its place in the chain, without its time."""

    id: str = Field(description="UUID of version 7; the key against duplicates")
    epoch: str = Field(description="which ledger: made with the database")
    seq: int = Field(ge=1, description="1, 2, 3, ... per epoch, over all kinds, across restarts")
    prev: Hash = Field(description="sha256 of exactly the bytes of the message before; 64 zeros in the first")
    clock: ClockState
    monotonic_ns: int


class SealedAt(Sealed):
    """A message of the ledger that is not a record."""

    at: Utc = Field(description="wall clock, UTC, with microseconds")

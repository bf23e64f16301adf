"""The proof of a collector's whole file, per device and epoch, made from the stored bytes alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agent.central.ledgers import Ledger, LedgerFile
from agent.central.proof import Explained, Link, Proof, prove
from agent.central.reading import Message, Source, read
from agent.ledger.sealing import sha256_hex


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is proved of one ledger.

    Attributes:
        ledger: Which one.
        proof: What its numbers and hashes say.
        at: When the last message of its complete part was made, as the device's clock said; empty where none is.
        conflicts: Numbers of messages that came with two contents.
    """

    ledger: Ledger
    proof: Proof
    at: str
    conflicts: tuple[int, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing is unexplained, broken or contradicted."""
        return self.proof.holds and not self.conflicts

    def to_json(self) -> dict[str, Any]:
        """The verdict for a script."""
        proof, ledger = self.proof, self.ledger
        return {
            "site": ledger.site,
            "device": ledger.device,
            "epoch": ledger.epoch,
            "received": proof.received,
            "missing": proof.missing,
            "explained": proof.explained,
            "unexplained": [list(run) for run in proof.unexplained],
            "breaks": [{"seq": one.seq, "text": one.text} for one in proof.breaks],
            "conflicts": list(self.conflicts),
            "duplicates": ledger.duplicates,
            "frames_lost": ledger.frames_lost,
            "head": ledger.head or None,
            "complete_up_to": proof.complete_up_to,
            "at": self.at or None,
            "holds": self.holds,
        }


def verify(file: LedgerFile) -> Iterator[Verdict]:
    """Prove every ledger of a file, one after the other. Reads every stored byte."""
    for ledger in file.ledgers():
        proof = prove(_links(file, ledger), _explained(file, ledger), head=ledger.head)
        conflicts = tuple(seq for seq, _id in file.conflicts(ledger.number))
        yield Verdict(ledger, proof, file.at(ledger.number, proof.complete_up_to), conflicts)


def _explained(file: LedgerFile, ledger: Ledger) -> Explained:
    """What the device's gaps say about one of its ledgers, whichever ledger they stand in."""
    messages = (_message(ledger, body) for body in file.gap_bodies(ledger.site, ledger.device))
    told = [one.told for one in messages if one and one.told and one.told.epoch == ledger.epoch]
    ends = [one.after for one in told if one.after is not None]
    return Explained((one.gap for one in told if one.gap), min(ends, default=None))


def _links(file: LedgerFile, ledger: Ledger) -> Iterator[Link]:
    """The chain as the bytes say it now; bytes that have changed since fit to nothing."""
    for seq, body in file.bodies(ledger.number):
        message = _message(ledger, body)
        whole = message is not None and (message.epoch, message.seq) == (ledger.epoch, seq)
        yield Link(seq, message.prev if message and whole else "", message.sha256 if message else sha256_hex(body))


def _message(ledger: Ledger, body: bytes) -> Message | None:
    (read_again,) = read(Source(ledger.site, ledger.device, "ledger/stored"), body)
    return read_again if isinstance(read_again, Message) else None

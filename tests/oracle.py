"""The oracle: what an agent said it had recorded, held against what the centre received. From the contract alone.

The agent appends each record's id to an outside log after its commit (`store.recorded_log`). Here that log meets
the deliveries: nothing that was logged may be missing, and every number must have come or be explained by a gap.
"""

import hashlib
import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Numbers = dict[str, set[int]]


@dataclass
class Proof:
    """What the deliveries prove.

    Attributes:
        deliveries: Messages that came, each copy in a batch or alone counted.
        messages: Messages by id, parsed.
        lost: Ids in the outside log that never came.
        unexplained: Numbers by epoch that neither came nor are covered by a gap.
        broken: Places where the hash chain does not hold, and ids that came with two contents.
    """

    deliveries: int = 0
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    unexplained: Numbers = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    @property
    def duplicates(self) -> int:
        """Copies beyond the first."""
        return self.deliveries - len(self.messages)

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """The messages of one kind, such as ``inspection``, in order of id."""
        schema = f"fieldgate.{kind}/1"
        return [message for _, message in sorted(self.messages.items()) if message["schema"] == schema]

    @property
    def holds(self) -> bool:
        """Whether nothing is lost, unexplained or broken."""
        return not (self.lost or self.unexplained or self.broken)

    def figures(self, *, bound: int) -> dict[str, object]:
        """What a story prints; the copies must lie within what the cuts allow."""
        assert self.duplicates <= bound, f"{self.duplicates} copies, and at most {bound} are explained"
        return {
            "records": len(self.of_kind("inspection")),
            "lost": len(self.lost),
            "unexplained": sum(map(len, self.unexplained.values())),
            "boots": len({message["boot"] for message in self.messages.values()}),
            "duplicates": f"{self.duplicates} of at most {bound}",
        }


def prove(recorded: Iterable[str], received: Iterable[tuple[str, bytes]], heads: Mapping[str, int]) -> Proof:
    """Hold the outside log against the deliveries.

    Args:
        recorded: Ids of the outside log.
        received: Topic and body of all that came.
        heads: Last known number of each epoch that the agent has had.
    """
    proof = Proof()
    by_number: dict[str, dict[int, bytes]] = defaultdict(dict)
    contents: dict[str, bytes] = {}
    for body in ledger_bodies(received):
        message = json.loads(body)
        proof.deliveries += 1
        if contents.setdefault(message["id"], body) != body:
            proof.broken.append(f"message {message['id']} came with two contents")
        proof.messages[message["id"]] = message
        if by_number[message["epoch"]].setdefault(message["seq"], body) != body:
            proof.broken.append(f"number {message['seq']} of {message['epoch']} came with two contents")
    gaps = proof.of_kind("gap")
    proof.lost = set(recorded) - set(contents)
    proof.unexplained = _unexplained(by_number, heads, gaps)
    for epoch, bodies in by_number.items():
        proof.broken += _broken(epoch, bodies)
    return proof


def ledger_bodies(received: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """Each ledger message of all topics, batches taken apart."""
    for topic, body in received:
        if "/up/ledger/" not in topic:
            continue
        if topic.endswith("/batch"):
            yield from zlib.decompress(body).splitlines()
        else:
            yield body


def read_log(path: Path) -> list[str]:
    """The ids of an outside log; a last line that was cut by a kill is no claim."""
    if not path.exists():
        return []
    text = path.read_text(encoding="ascii")
    return text[: text.rfind("\n") + 1].split()


def _unexplained(
    by_number: Mapping[str, Mapping[int, bytes]], heads: Mapping[str, int], gaps: Iterable[Mapping[str, Any]]
) -> Numbers:
    heads = dict(heads)
    explained: Numbers = defaultdict(set)
    for gap in gaps:
        if "seqs" in gap:
            run = gap["seqs"]
            explained[run["epoch"]].update(range(run["from"], run["to"] + 1))
        if "ledger" in gap and gap["ledger"]["after"] is not None:
            old = gap["ledger"]["epoch"]
            heads[old] = min(heads.get(old, gap["ledger"]["after"]), gap["ledger"]["after"])
    missing = {}
    for epoch in {*heads, *by_number}:
        came = by_number.get(epoch, {})
        expected = range(1, max(heads.get(epoch, 0), max(came, default=0)) + 1)
        holes = set(expected) - set(came) - explained[epoch]
        if holes:
            missing[epoch] = holes
    return missing


def _broken(epoch: str, bodies: Mapping[int, bytes]) -> list[str]:
    found = []
    for number, body in bodies.items():
        prev = json.loads(body)["prev"]
        before = "0" * 64 if number == 1 else None
        if number - 1 in bodies:
            before = hashlib.sha256(bodies[number - 1]).hexdigest()
        if before is not None and prev != before:
            found.append(f"the chain of {epoch} is broken at {number}")
    return found

"""What a central consumer does with a ledger, written from the contract alone: dedupe, order, prove, add up."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ledger:
    """All messages of one device and epoch, in order, and the bytes that they came as."""

    bodies: tuple[bytes, ...]
    messages: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, received: Iterable[bytes]) -> "Ledger":
        """Dedupe by id and put into the order of ``seq``; the same id must always bring the same bytes."""
        by_id: dict[str, bytes] = {}
        for body in received:
            identity = json.loads(body)["id"]
            assert by_id.setdefault(identity, body) == body, f"message {identity} came with two contents"
        bodies = sorted(by_id.values(), key=lambda body: int(json.loads(body)["seq"]))
        return cls(tuple(bodies), tuple(json.loads(body) for body in bodies))

    def prove_whole(self, head: int | None = None) -> None:
        """``seq`` runs 1..n without a hole, and each ``prev`` is the sha256 of the predecessor's bytes."""
        numbers = [message["seq"] for message in self.messages]
        assert numbers == list(range(1, len(numbers) + 1))
        assert head is None or len(numbers) == head
        assert len({message["epoch"] for message in self.messages}) == 1
        previous = "0" * 64
        for body, message in zip(self.bodies, self.messages, strict=True):
            assert message["prev"] == previous, f"the chain is broken at {message['seq']}"
            previous = hashlib.sha256(body).hexdigest()

    def prove_accounted(self, head: int | None = None) -> set[int]:
        """Every number came or a gap says that it never will, and the chain holds across gaps; the explained ones."""
        hashes = [hashlib.sha256(body).hexdigest() for body in self.bodies]
        came = {message["seq"]: sha256 for message, sha256 in zip(self.messages, hashes, strict=True)}
        assert len(came) == len(self.messages), "one number, two messages"
        explained: dict[int, str | None] = {}
        for gap in (one["seqs"] for one in self.of_kind("gap") if "seqs" in one):
            assert gap["epoch"] == self.messages[0]["epoch"]
            assert gap["count"] == gap["to"] - gap["from"] + 1
            numbers = range(gap["from"], gap["to"] + 1)
            assert not explained.keys() & set(numbers), "a number is told to be gone twice"
            explained.update(dict.fromkeys(numbers))
            explained[gap["to"]] = gap["last_sha256"]
        unexplained = set(range(1, (head or max(came)) + 1)) - came.keys() - explained.keys()
        assert not unexplained, f"nobody knows what became of {sorted(unexplained)[:10]}"
        known = {0: "0" * 64, **{seq: sha256 for seq, sha256 in explained.items() if sha256}, **came}
        for message in self.messages:
            before = known.get(message["seq"] - 1)
            assert before in {None, message["prev"]}, f"the chain is broken at {message['seq']}"
        return set(explained)

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """The messages of one kind, such as ``inspection``."""
        return [message for message in self.messages if message["schema"] == f"fieldgate.{kind}/1"]

    def prove_rollups_add_up(self) -> None:
        """Over all minutes, the rollups count exactly the records (for cameras that record everything)."""
        records, rollups = self.of_kind("inspection"), self.of_kind("rollup")
        assert sum(one["frames"] for one in rollups) == len(records)
        assert sum(one["recorded"] for one in rollups) == len(records)
        for key, field in (("outcomes", "outcome"), ("dispositions", "disposition")):
            assert _summed(rollups, key) == Counter(one[field] for one in records)
        assert _summed(rollups, "reasons") == Counter(one["reason"]["code"] for one in records)
        confirmed = (box for one in records for box in one["detections"] if box["score"] >= box["threshold"])
        assert _summed(rollups, "classes") == Counter(box["label"] for box in confirmed)
        assert sum(sum(one["screening_histogram"]) for one in rollups) == sum(
            one["screening"] is not None for one in records
        )
        for stage in ("wait", "screen", "verify", "total"):
            counted = sum(sum(one["latency_ms"][stage]["counts"]) for one in rollups)
            assert counted == sum(one["latency_ms"][stage] is not None for one in records)


def _summed(rollups: list[dict[str, Any]], key: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in rollups:
        total.update(one[key])
    return total

"""Every message of the outside contract as a typed model, from which the published JSON Schemas are made.

A consumer may import these models. They keep fields that they do not know, as every consumer should.
"""

from collections.abc import Mapping
from typing import Final

from agent.central.contract.envelope import Part
from agent.central.contract.ledger import (
    Alert,
    Audit,
    ClockMark,
    EvidenceFate,
    Gap,
    PartVerdict,
    Review,
    WorkOrder,
)
from agent.central.contract.records import Inspection, Rollup
from agent.central.contract.states import Command, Health, Online, Receipt, Reply, Status

LEDGER: Final[Mapping[str, type[Part]]] = {
    "inspections": Inspection,
    "rollups": Rollup,
    "parts": PartVerdict,
    "alerts": Alert,
    "work-orders": WorkOrder,
    "gaps": Gap,
    "evidence": EvidenceFate,
    "reviews": Review,
    "clock": ClockMark,
    "audit": Audit,
}
"""By kind: what a sealed message on ``up/ledger/{kind}`` holds. Agents may send fewer kinds than these."""

STATES: Final[Mapping[str, type[Part]]] = {
    "online": Online,
    "status": Status,
    "health": Health,
    "replies": Reply,
    "commands": Command,
    "receipt": Receipt,
}
"""By branch of the topic tree: what is said beside the ledger."""


def model_at(topic: str) -> type[Part] | None:
    """The model of what is said on a topic, None for bytes that are no JSON object or a branch that is not known.

    Args:
        topic: The whole topic; what stands before ``up/`` or ``down/`` does not matter.
    """
    words = topic.split("/")
    for place, word in enumerate(words):
        if word in ("up", "down") and place + 1 < len(words):
            branch = words[place + 1]
            kind = words[place + 2] if place + 2 < len(words) else ""
            return LEDGER.get(kind) if branch == "ledger" else STATES.get(branch)
    return None

"""Small valid values with sane defaults, for tests that care about one field of a big thing."""

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from agent.inspection.frame import Frame, Moment, Subject, Trigger
from agent.inspection.record import EngineFacts, Latency, Record, kept_as
from agent.inspection.screening import Screening
from agent.inspection.verdict import Detection, judge
from agent.ledger.sealing import Draft, Origin

MOMENT = Moment(datetime(2026, 11, 22, 9, 0, 0, 123456, tzinfo=timezone.utc), 81_230_011, "synced")
ORIGIN = Origin(site="plant-a", device="cam-7", boot="b" * 32, kernel_boot="k" * 32)
ENGINE = EngineFacts("pcb-trace-v1.0", "4be1", "onnx-cpu")


def a_detection(
    label: str = "short",
    score: float = 0.91,
    threshold: float = 0.7,
    box: tuple[float, float, float, float] = (11.0, 20.5, 42.0, 55.0),
) -> Detection:
    """One detection, confirmed unless told otherwise."""
    return Detection(label, score, threshold, box)


def a_frame(**facts: Any) -> Frame:
    """A frame without pixels."""
    known: dict[str, Any] = {
        "image": None,
        "camera": "top",
        "number": 1,
        "source": None,
        "captured": MOMENT,
        "trigger": Trigger("continuous"),
        "subject": Subject(),
    }
    return Frame(**{**known, **facts})


def a_record(
    screening: Screening | None = None,
    detections: Sequence[Detection] = (),
    *,
    policy: str = "all",
    latency: Latency | None = None,
    **frame: Any,
) -> Record:
    """A record whose verdict is the one that its scores deserve."""
    taken = a_frame(**frame)
    triggered = taken.trigger.triggered
    verdict = judge(screening, detections, triggered=triggered)
    return Record(
        frame=taken,
        engine=ENGINE,
        agent="0.1.0",
        role="active",
        mode="shadow",
        kept=kept_as(verdict, policy=policy, triggered=triggered, audited=False),
        audit_rate=0.001,
        screening=screening,
        detections=tuple(detections),
        verdict=verdict,
        latency=latency or Latency(wait=1.2, screen=6.1, verify=19.8, total=27.6),
    )


def a_draft(body: dict[str, Any] | None = None, *, kind: str = "alerts", number: int = 1) -> Draft:
    """A ledger message without a place in the chain."""
    identity = f"01930000-0000-7000-8000-{number:012x}"
    return Draft(kind, identity, ORIGIN, {"at": "2026-11-22T09:00:00.123456Z"} if body is None else body)


def a_status() -> dict[str, Any]:
    """The body of ``up/status`` of an agent without cameras."""
    return {
        "schema": "fieldgate.status/1",
        "site": ORIGIN.site,
        "device": ORIGIN.device,
        "boot": ORIGIN.boot,
        "kernel_boot": ORIGIN.kernel_boot,
        **MOMENT.to_json(),
        "agent": "0.1.0",
        "modes": {},
        "engines": {},
        "cameras": [],
        "alerts": [],
        "ledger": {"epoch": "e", "head": 0, "settled": 0, "oldest_kept": None},
    }

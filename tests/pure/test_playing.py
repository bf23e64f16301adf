import json
from collections import defaultdict
from datetime import datetime, timezone
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.central.played import BATCH_FROM, Packet, PlayedLedger
from agent.central.playing import TROUBLES, PlayedDevice
from agent.central.proof import Explained, Link, Proof, prove
from agent.central.reading import Message, Source, read
from agent.inspection.frame import Moment
from contract import faults_of
from samples import MOMENT, ORIGIN


def a_device(seed: int, *troubles: str, most_waiting: int = 10_000) -> PlayedDevice:
    """A device whose ids and clock are the same at every run."""
    ids, ticks = count(1), count(1)

    def now() -> Moment:
        return Moment(datetime(2026, 11, 22, 9, 0, 0, tzinfo=timezone.utc), next(ticks) * 10**6, "synced")

    return PlayedDevice(
        site="lab",
        name="simulated-1",
        draw=Random(seed),
        new_id=lambda: f"id-{next(ids)}",
        now=now,
        troubles=troubles,
        most_waiting=most_waiting,
    )


def sent_by(device: PlayedDevice, draw: Random) -> list[Packet]:
    """Everything that waits goes out; at times the line breaks, and the broker has some of what was on its way."""
    sent: list[Packet] = []
    while (packet := device.ledger.next(batches=device.has("batches"))) is not None:
        if draw.random() < 0.1:
            sent += [packet] if draw.random() < 0.5 else []
            device.ledger.give_back([packet])
            continue
        sent.append(packet)
        device.ledger.settle(packet)
    return sent


def proofs(packets: list[Packet]) -> dict[str, Proof]:
    """What a consumer proves of each epoch."""
    messages: dict[str, Message] = {}
    for packet in packets:
        for one in read(Source("lab", "simulated-1", packet.branch), packet.body):
            assert isinstance(one, Message)
            assert messages.setdefault(one.id, one).body == one.body
    told = [one.told for one in messages.values() if one.told]
    links: dict[str, list[Link]] = defaultdict(list)
    for one in sorted(messages.values(), key=lambda one: one.seq):
        links[one.epoch].append(Link(one.seq, one.prev, one.sha256))
    found = {}
    for epoch in {*links, *(one.epoch for one in told)}:
        gaps = [one.gap for one in told if one.epoch == epoch and one.gap]
        ends = [one.after for one in told if one.epoch == epoch and one.after is not None]
        found[epoch] = prove(links[epoch], Explained(gaps, min(ends, default=None)))
    return found


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), troubles=st.sets(st.sampled_from(sorted(TROUBLES))), parts=st.integers(1, 400))
def test_whatever_happens_to_a_simulated_device_a_consumer_can_prove_it(seed, troubles, parts):
    """Evictions, lost databases, copies and broken lines: nothing is unexplained, every epoch's head is known."""
    device, draw = a_device(seed, *troubles, most_waiting=150), Random(seed)
    sent: list[Packet] = []
    for _ in range(parts):
        device.inspect()
        if draw.random() < 0.02:
            sent += sent_by(device, draw)
    device.close_minute("stop")
    sent += sent_by(device, draw)
    found = proofs(sent)
    assert all(proof.holds for proof in found.values())
    present = device.ledger.epoch
    assert found[present].complete_up_to == device.ledger.heads[present]
    assert {epoch for epoch, head in device.ledger.heads.items() if head} == set(found)


def test_what_it_says_keeps_the_contract():
    """Every message of a device with every trouble fits the schemas that real ones are held against."""
    device = a_device(7, *TROUBLES, most_waiting=300)
    for _ in range(1_000):
        device.inspect()
    packets = sent_by(device, Random(7))
    assert {packet.branch for packet in packets} >= {"ledger/batch", "ledger/inspections"}
    root = "fieldgate/1/lab/simulated-1/up"
    said = [(f"{root}/{packet.branch}", packet.body) for packet in packets]
    assert faults_of([*said, (f"{root}/status", json.dumps(device.status()).encode())]) == []


@pytest.mark.parametrize("trouble", sorted(set(TROUBLES) - {"outages"}))
def test_each_trouble_happens(trouble):
    """In 2,000 parts at least once; without it never."""
    marks = [seen(a_device(11, *chosen)) for chosen in ((), (trouble,))]
    assert marks[0] == {"batches": False, "clocks": False, "epochs": False, "gaps": False, "replays": False}
    assert marks[1] == {**marks[0], trouble: True}


def seen(device: PlayedDevice) -> dict[str, bool]:
    """Which troubles can be seen of a device after 2,000 parts."""
    states = set()
    for _ in range(2_000):
        device.inspect()
        states.add(device.moment().state)
        if device.ledger.waiting == BATCH_FROM + 50:
            sent_by(device, Random(1))
    ledger = device.ledger
    return {
        "batches": ledger.batches > 0,
        "clocks": len(states) > 1,
        "epochs": len(ledger.heads) > 1,
        "gaps": device.frames_lost > 0 and (ledger.evicted > 0 or len(ledger.heads) > 1),
        "replays": device.again > 0,
    }


def test_the_same_seed_plays_the_same_device():
    """Byte for byte, so that a consumer's team can repeat what it saw."""

    def played(seed: int) -> list[bytes]:
        device = a_device(seed, *TROUBLES)
        for _ in range(300):
            device.inspect()
        return [packet.body for packet in sent_by(device, Random(0))]

    assert played(3) == played(3)
    assert played(3) != played(4)


def test_a_batch_stays_within_its_size():
    """At most 100 KB, also of messages that cannot be compressed."""
    ledger, noise = PlayedLedger(ORIGIN, (f"id-{number}" for number in count(1)).__next__), Random(1)
    for _ in range(500):
        ledger.say("alerts", {**MOMENT.to_json(), "text": noise.randbytes(400).hex()})
    packet: Any = ledger.next(batches=True)
    assert packet.branch == "ledger/batch"
    assert len(packet.body) <= 100_000
    assert 50 < len(packet.holds) < 500

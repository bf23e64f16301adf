"""The oracle must be able to say no: otherwise its yes would prove nothing."""

import json
import zlib

from agent.ledger.sealing import FIRST_PREV, seal
from oracle import prove
from samples import a_draft


def a_ledger(count: int, *, gap: dict[int, dict] | None = None) -> list[bytes]:
    """Sealed messages 1..count of the epoch ``e``; some of them gaps."""
    bodies, prev = [], FIRST_PREV
    for number in range(1, count + 1):
        kind = "gaps" if number in (gap or {}) else "alerts"
        draft = a_draft((gap or {}).get(number), kind=kind, number=number)
        sealed = seal(draft, epoch="e", seq=number, prev=prev)
        bodies.append(sealed.body)
        prev = sealed.sha256
    return bodies


def delivered(bodies: list[bytes]) -> list[tuple[str, bytes]]:
    """As single messages."""
    return [("x/up/ledger/alerts", body) for body in bodies]


def ids(bodies: list[bytes]) -> list[str]:
    """The ids in them."""
    return [json.loads(body)["id"] for body in bodies]


def test_a_whole_ledger_holds_in_any_order_alone_or_in_batches():
    """Order, copies and batches change nothing but the count of duplicates."""
    bodies = a_ledger(6)
    batch = ("x/up/ledger/batch", zlib.compress(b"\n".join(bodies[2:])))
    proof = prove(ids(bodies), [*delivered(bodies[::-1]), batch], {"e": 6})
    assert proof.holds
    assert proof.duplicates == 4


def test_what_was_logged_and_never_came_is_lost():
    """The last record of a ledger leaves no hole behind, only its id."""
    bodies = a_ledger(3)
    proof = prove(ids(bodies), delivered(bodies[:2]), {})
    assert (proof.lost, proof.unexplained) == ({ids(bodies)[2]}, {})
    assert not proof.holds


def test_a_number_that_never_came_is_unexplained_unless_a_gap_covers_it():
    """A hole, and an end below the head, are unexplained; a gap of numbers explains exactly its own."""
    bodies = a_ledger(5)
    assert prove([], delivered([*bodies[:1], *bodies[3:4]]), {"e": 5}).unexplained == {"e": {2, 3, 5}}
    gap = {"seqs": {"epoch": "e", "from": 2, "to": 2, "count": 1, "last_sha256": None}}
    bodies = a_ledger(5, gap={5: gap})
    assert prove([], delivered([bodies[0], *bodies[3:]]), {"e": 5}).unexplained == {"e": {3}}


def test_an_epoch_gap_ends_the_old_epoch_at_its_last_known_number():
    """What lies above will never come; a hole below is still unexplained."""
    bodies = a_ledger(4, gap={4: {"ledger": {"epoch": "old", "after": 2}}})
    assert prove([], delivered(bodies), {"e": 4, "old": 9}).unexplained == {"old": {1, 2}}


def test_changed_bytes_break_the_chain():
    """Neither another text under the same id nor a changed predecessor goes unseen."""
    bodies = a_ledger(3)
    forged = bodies[1].replace(b"cam-7", b"cam-8")
    assert forged != bodies[1]
    assert prove([], delivered([bodies[0], forged, bodies[2]]), {}).broken
    assert prove([], delivered([*bodies, forged]), {}).broken

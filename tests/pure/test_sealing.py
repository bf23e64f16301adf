import hashlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ledger.sealing import FIRST_PREV, SINGULAR, Sealed, canonical, seal, sha256_hex
from samples import ORIGIN, a_draft

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)  # no lone surrogates: see below
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
bodies = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))

ENVELOPE = ["schema", "id", "site", "device", "boot", "kernel_boot", "epoch", "seq", "prev"]


def chain(length: int) -> list[Sealed]:
    """So many messages, each sealed onto the one before."""
    messages: list[Sealed] = []
    for seq in range(1, length + 1):
        prev = messages[-1].sha256 if messages else FIRST_PREV
        messages.append(seal(a_draft({"note": f"n{seq}"}, number=seq), epoch="e", seq=seq, prev=prev))
    return messages


def whole(wire: list[bytes]) -> bool:
    """What a consumer does: numbers rise by one, and each message names the hash of the one before."""
    prev = FIRST_PREV
    for place, body in enumerate(wire, start=1):
        try:
            message = json.loads(body)
        except ValueError:
            return False
        if message.get("seq") != place or message.get("prev") != prev:
            return False
        prev = hashlib.sha256(body).hexdigest()
    return True


@given(bodies)
def test_what_is_sealed_reads_back_the_same(body):
    """Any JSON body comes back unchanged behind the envelope, whatever its characters."""
    inside = {"body": body}
    message = json.loads(seal(a_draft(inside), epoch="e", seq=1, prev=FIRST_PREV).body.decode("utf-8"))
    assert message.pop("body") == body
    assert list(message) == ENVELOPE


def test_the_envelope_comes_first_and_says_where_from():
    """Each message begins with schema, id, site, device, boots, epoch, seq and prev."""
    sealed = seal(a_draft({"text": "x"}), epoch="e1", seq=3, prev="ab" * 32)
    message = json.loads(sealed.body)
    assert list(message) == [*ENVELOPE, "text"]
    assert [message[key] for key in ENVELOPE[1:]] == [
        sealed.id, ORIGIN.site, ORIGIN.device, ORIGIN.boot, ORIGIN.kernel_boot, "e1", 3, "ab" * 32,
    ]  # fmt: skip
    assert (sealed.seq, sealed.kind) == (3, "alerts")


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        ("inspections", "fieldgate.inspection/1"),
        ("rollups", "fieldgate.rollup/1"),
        ("alerts", "fieldgate.alert/1"),
        ("gaps", "fieldgate.gap/1"),
        ("audit", "fieldgate.audit/1"),
    ],
)
def test_the_schema_names_the_kind_in_the_singular(kind, schema):
    """Each kind of message has its schema, and no kind exists without one."""
    assert json.loads(seal(a_draft(kind=kind), epoch="e", seq=1, prev=FIRST_PREV).body)["schema"] == schema
    assert kind in SINGULAR


def test_the_hash_is_of_exactly_the_bytes():
    """The hash is the SHA-256 of the stored bytes, 64 lower-case hex digits."""
    sealed = seal(a_draft(), epoch="e", seq=1, prev=FIRST_PREV)
    assert sealed.sha256 == hashlib.sha256(sealed.body).hexdigest() == sha256_hex(sealed.body)
    assert sealed.sha256 == sealed.sha256.lower()
    assert len(sealed.sha256) == len(FIRST_PREV) == 64


def test_text_travels_as_it_was_written():
    """Letters outside ASCII are UTF-8 in the message, not escapes, and there is no idle space."""
    assert canonical({"ort": "Halle 3: Prüfstand Łódź"}) == '{"ort":"Halle 3: Prüfstand Łódź"}'.encode()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_cannot_be_sealed(value):
    """JSON has no NaN, so a body that holds one, however deep, is refused before it gets a number."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        seal(a_draft({"deep": [{"score": value}]}), epoch="e", seq=1, prev=FIRST_PREV)


@given(st.integers(1, 8))
def test_an_untouched_chain_is_whole(length):
    """Messages as they were sealed prove themselves complete."""
    assert whole([one.body for one in chain(length)])


@given(st.integers(2, 8), st.data())
def test_a_flipped_bit_shows(length, data):
    """One bit changed in any message that has a successor breaks the chain."""
    wire = [one.body for one in chain(length)]
    place = data.draw(st.integers(0, length - 2))
    bit = data.draw(st.integers(0, len(wire[place]) * 8 - 1))
    touched = bytearray(wire[place])
    touched[bit // 8] ^= 1 << bit % 8
    wire[place] = bytes(touched)
    assert not whole(wire)


@given(st.integers(2, 8), st.data())
def test_a_dropped_message_shows(length, data):
    """A message left out anywhere but at the end breaks the chain; the end is what the published head proves."""
    wire = [one.body for one in chain(length)]
    del wire[data.draw(st.integers(0, length - 2))]
    assert not whole(wire)


@given(st.integers(2, 8), st.data())
def test_swapped_messages_show(length, data):
    """Two messages in each other's place break the chain."""
    wire = [one.body for one in chain(length)]
    one, other = data.draw(st.lists(st.integers(0, length - 1), min_size=2, max_size=2, unique=True))
    wire[one], wire[other] = wire[other], wire[one]
    assert not whole(wire)


def test_renumbering_does_not_hide_a_loss():
    """Whoever drops a message and renumbers the rest is found by the hashes."""
    first, _, third = (json.loads(one.body) for one in chain(3))
    third["seq"] = 2
    assert not whole([canonical(first), canonical(third)])


@given(st.binary(min_size=1, max_size=8))
def test_a_file_name_that_is_not_utf8_can_be_sealed(name):
    """A source whose name is any bytes seals, and reads back as the name that the system gave."""
    source = name.decode("utf-8", "surrogateescape")
    sealed = seal(a_draft({"source": source}), epoch="e", seq=1, prev=FIRST_PREV)
    assert json.loads(sealed.body)["source"] == source

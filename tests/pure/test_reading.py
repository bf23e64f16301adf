import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.central.proof import Missing
from agent.central.reading import Head, Message, Source, Strange, Told, head_in, read, source_of
from chains import Chain

SINGLE = Source("lab", "bench-1", "ledger/alerts")
BATCH = Source("lab", "bench-1", "ledger/batch")


def changed(body: bytes, **fields: Any) -> bytes:
    """A message with other values; None takes a field away."""
    message = {**json.loads(body), **fields}
    return json.dumps({key: value for key, value in message.items() if value is not None}).encode()


def test_a_message_is_read_and_its_bytes_are_kept():
    """Place, key and chain come from the envelope; the bytes stay as they came."""
    sealed = Chain().alerts(3).said[2]
    (one,) = read(SINGLE, sealed.body)
    assert isinstance(one, Message)
    assert (one.epoch, one.seq, one.id, one.kind) == ("epoch-1", 3, "bench-1-epoch-1-3", "alert")
    assert (one.body, one.sha256) == (sealed.body, sealed.sha256)
    assert one.at == "2026-11-22T09:00:00.123456Z"


def test_a_batch_is_its_messages():
    """A batch is zlib of messages, one a line, each unchanged."""
    said = Chain().alerts(5).said
    found = list(read(BATCH, zlib.compress(b"\n".join(one.body for one in said))))
    assert [one.body for one in found] == [one.body for one in said]
    assert all(isinstance(one, Message) for one in found)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"no zlib", "not zlib"),
        (zlib.compress(b"{}")[:-3], "ends in the middle"),
        (zlib.compress(bytes(64 * 1024 * 1024)), "larger than it may be"),
    ],
)
def test_a_batch_that_is_none_is_kept_as_it_came(body, why):
    """Broken, cut, or a bomb that would become 64 MB: one strange thing, never unpacked beyond the limit."""
    (one,) = read(BATCH, body)
    assert isinstance(one, Strange)
    assert why in one.why
    assert one.body == body


@pytest.mark.parametrize(
    "fields",
    [
        {"id": None},
        {"id": ""},
        {"id": "\ud800"},
        {"epoch": 7},
        {"seq": 0},
        {"seq": True},
        {"seq": 2**41},
        {"seq": "3"},
        {"prev": "0" * 63},
        {"schema": None},
        {"site": "other"},
        {"device": "other"},
    ],
)
def test_a_message_without_its_place_is_strange(fields):
    """Without a key, a number, a hash, or under another device's name it proves nothing; it is kept all the same."""
    body = changed(Chain().alerts(1).said[0].body, **fields)
    (one,) = read(SINGLE, body)
    assert isinstance(one, Strange)
    assert one.body == body


def test_a_kind_and_fields_that_are_not_known_are_stored():
    """A newer agent may say more."""
    body = changed(Chain().alerts(1).said[0].body, schema="fieldgate.mood/2", mood="fine")
    (one,) = read(SINGLE, body)
    assert isinstance(one, Message)
    assert one.kind == "mood"


@given(body=st.binary(max_size=200), branch=st.sampled_from(["ledger/batch", "ledger/alerts", "ledger/", "status"]))
def test_whatever_comes_is_something(body, branch):
    """No bytes end the reader, and what is strange comes out as it came in."""
    source = Source("lab", "bench-1", branch)
    for one in read(source, body):
        assert branch == "ledger/batch" or one.body == body
    assert head_in(source, body) is None


@given(lines=st.lists(st.binary(max_size=50), max_size=5))
def test_whatever_a_batch_holds_is_something(lines):
    """Each line that is not empty is a message or strange, in order."""
    found = list(read(BATCH, zlib.compress(b"\n".join(lines))))
    assert b"\n".join(one.body for one in found) == b"\n".join(
        part for one in lines for part in one.split(b"\n") if part
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(
    seqs=json_values | st.dictionaries(st.sampled_from(["from", "to", "count", "last_sha256", "epoch"]), json_values)
)
def test_a_malformed_gap_explains_nothing(seqs):
    """It is stored like any message; numbers that it cannot name properly stay unexplained."""
    chain = Chain().alerts(3)
    chain.missing(1, 2)
    (one,) = read(SINGLE, changed(chain.said[-1].body, seqs=seqs if seqs is not None else 0))
    assert isinstance(one, Message)
    assert one.told is None


def test_what_a_gap_says_is_understood():
    """Runs of this ledger and of an earlier one, the end of a ledger, and lost frames."""
    old, new = Chain(epoch="old").alerts(9), Chain(epoch="new").alerts(4)
    said = [new.missing(2, 3), new.missing(4, 6, of=old), new.ended(old, 7), new.ended(old, None)]
    told = [one.told for sealed in said for one in read(SINGLE, sealed.body) if isinstance(one, Message)]
    assert told == [
        Told("new", gap=Missing(2, 3, new.said[2].sha256)),
        Told("old", gap=Missing(4, 6, old.said[5].sha256)),
        Told("old", after=7),
        Told("old", after=0),
    ]


def test_the_head_is_read_from_status_and_health():
    """Only where it is a number of a named epoch."""
    source = Source("lab", "bench-1", "status")
    assert head_in(source, b'{"ledger": {"epoch": "e", "head": 12}}') == Head("lab", "bench-1", "e", 12)
    assert head_in(source, b'{"ledger": {"epoch": "e", "head": 0}}') is None
    assert head_in(source, b'{"ledger": {"epoch": null, "head": 3}}') is None
    assert head_in(source, b'{"ledger": 3}') is None


@pytest.mark.parametrize(
    ("topic", "source"),
    [
        ("fieldgate/1/lab/bench-1/up/ledger/alerts", SINGLE),
        ("fieldgate/1/lab/bench-1/up/status", Source("lab", "bench-1", "status")),
        ("fieldgate/1/lab/bench-1/down/commands/ping", None),
        ("fieldgate/1/lab/bench-1/up", None),
        ("other/1/lab/bench-1/up/status", None),
    ],
)
def test_a_topic_names_its_device(topic, source):
    """Only what a device says below the root is heard."""
    assert source_of("fieldgate/1", topic) == source

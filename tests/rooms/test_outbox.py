from agent.inspection.record import Latency
from agent.ledger.lanes import LIVE
from agent.store.outbox import LAST, backlog, ledger_facts, outbox_by_kind, unsettled
from agent.store.settlements import SettleEntry
from agent.store.transaction import MessageEntry
from samples import MOMENT
from store_rig import Store, an_entry, ledger, rows


def test_unsettled_messages_come_oldest_first_and_not_all_at_once(tmp_path):
    """The uplink reads numbers above its last one, lowest first, at most as many as it asks for."""
    store = Store(tmp_path)
    for number in range(1, 8):
        store.journal.put(an_entry(number, latency=Latency(0, 1, None, 2)))
    store.journal.put(SettleEntry([2, 4]))
    store.write()
    assert [one.n for one in unsettled(store.db, LIVE, 0, LAST, 3)] == [1, 3, 5]
    assert [one.n for one in unsettled(store.db, LIVE, 5, LAST, 10)] == [6, 7]
    assert unsettled(store.db, LIVE, 7, LAST, 10) == []
    assert backlog(store.db) == 5
    store.stop()


def test_an_outgoing_message_is_the_sealed_bytes(tmp_path):
    """What goes out is the stored body, byte for byte, with the kind that decides its topic."""
    store = Store(tmp_path)
    store.journal.put(an_entry(1, source="größe-\udcff.jpg"))
    store.write()
    (message,) = unsettled(store.db, LIVE, 0, LAST, 10)
    assert (message.kind, message.body) == ("inspections", rows(tmp_path, "SELECT body FROM messages")[0][0])
    assert ledger(tmp_path)[0]["source"] == "größe-\udcff.jpg"
    store.stop()


def test_ledger_facts_say_up_to_where_everything_is_settled(tmp_path):
    """The published head lets a consumer prove completeness: epoch, head, settled and the oldest kept number."""
    store = Store(tmp_path)
    epoch = store.journal.head.epoch
    assert ledger_facts(store.db) == {"epoch": epoch, "head": 0, "settled": 0, "oldest_kept": None}
    for number in range(1, 6):
        store.journal.put(an_entry(number))
    store.write()
    found = []
    for seqs in ([], [2], [1], [3, 4, 5]):
        store.journal.put(SettleEntry(seqs))
        store.write()
        facts = ledger_facts(store.db)
        assert (facts["epoch"], facts["head"], facts["oldest_kept"]) == (epoch, 5, 1)
        found.append(facts["settled"])
    assert found == [0, 0, 2, 5]
    store.stop()


def test_a_settlement_that_comes_twice_is_no_trouble(tmp_path):
    """Settling what is settled, or what never was, changes nothing."""
    store = Store(tmp_path)
    store.journal.put(an_entry(1))
    store.journal.put(an_entry(2))
    store.write()
    for _ in range(2):
        store.journal.put(SettleEntry([1, 99]))
        store.write()
    assert [one.n for one in unsettled(store.db, LIVE, 0, LAST, 10)] == [2]
    store.stop()


def test_the_outbox_can_be_shown_by_kind(tmp_path):
    """For each kind: how many wait, the lowest and highest number, and their bytes."""
    store = Store(tmp_path)
    store.journal.put(MessageEntry("audit", {**MOMENT.to_json(), "what": "mode"}))
    store.journal.put(an_entry(1))
    store.journal.put(an_entry(2))
    store.write()
    sizes = [size for (size,) in rows(tmp_path, "SELECT length(body) FROM messages ORDER BY n")]
    assert outbox_by_kind(store.db) == [
        {"kind": "audit", "waiting": 1, "first": 1, "last": 1, "bytes": sizes[0]},
        {"kind": "inspections", "waiting": 2, "first": 2, "last": 3, "bytes": sizes[1] + sizes[2]},
    ]
    store.stop()

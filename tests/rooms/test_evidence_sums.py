from agent.inspection.record import Evidence
from agent.inspection.screening import Screening
from samples import a_detection
from store_rig import Store, an_entry, rows


def test_what_the_pictures_take_is_always_known(tmp_path):
    """The sums follow every new, changed and removed row of evidence, by worth, state and hold."""
    store = Store(tmp_path)
    entries = [an_entry(number) for number in (1, 2)]
    entries.append(an_entry(3, screening=Screening(0.9, 0.3), detections=[a_detection()]))
    for size, entry in enumerate(entries, start=1):
        store.journal.put(entry.with_evidence(Evidence("0" * 64, size * 100, 64, 48)))
    store.write()
    sums = "SELECT kept, state, held, bytes, pictures FROM evidence_sums WHERE pictures > 0 ORDER BY 1, 2, 3"
    assert rows(tmp_path, sums) == [("all", "kept", 0, 300, 2), ("fail", "kept", 0, 300, 1)]
    store.db.execute("UPDATE evidence SET state = 'stored' WHERE bytes = 200")
    store.db.execute("UPDATE evidence SET held = 1 WHERE kept = 'fail'")
    store.db.execute("DELETE FROM evidence WHERE bytes = 100")
    assert rows(tmp_path, sums) == [("all", "stored", 0, 200, 1), ("fail", "kept", 1, 300, 1)]
    store.stop()

from hypothesis import given
from hypothesis import strategies as st

from agent.sync.delivery import STATUS, Blame, Meaning, meaning_of


@given(st.integers(200, 599))
def test_every_answer_means_something_and_only_a_success_stores(status):
    """No status stores a picture but 200, 201 and 204; one of the server's own troubles never fails a picture."""
    meaning = meaning_of(status)
    assert (meaning is Meaning.STORED) == (status in {200, 201, 204})
    if status >= 500 and status not in STATUS:
        assert meaning is Meaning.LATER
    if 300 <= status < 500 and status not in STATUS:
        assert meaning is Meaning.FORBIDDEN


@given(st.lists(st.sampled_from(["a", "b", "c"])))
def test_a_server_that_takes_nothing_fails_no_picture(failed):
    """However often and in whichever order pictures fail, none is to blame while none is taken."""
    blame = Blame()
    assert not any(blame.failed(record) for record in failed)


@given(st.integers(1, 20))
def test_a_picture_that_fails_while_others_are_taken_is_to_blame(rounds):
    """From its second failure on, each with another picture taken in between, it counts."""
    blame = Blame()
    assert not blame.failed("poison")
    for number in range(rounds):
        blame.stored(f"good-{number}")
        assert blame.failed("poison")
        assert not blame.failed("poison"), "nothing was taken since"


def test_a_picture_that_is_taken_in_the_end_has_a_clean_sheet():
    """What it did before does not count against it when it is asked for again."""
    blame = Blame()
    blame.failed("a")
    blame.stored("a")
    assert not blame.failed("a")


def test_the_memory_of_failures_is_bounded():
    """Of many thousands of pictures the earliest failures are forgotten."""
    blame = Blame()
    blame.failed("first")
    for number in range(2_000):
        blame.failed(f"r{number}")
    blame.stored("other")
    assert not blame.failed("first")
    assert blame.failed("r1999")

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from agent.central.proof import Explained, Frontier, Link, Missing, advance, prove
from agent.ledger.sealing import FIRST_PREV


def sha(number: int) -> str:
    """The hash of a message of the made-up ledger."""
    return FIRST_PREV if number == 0 else f"{number:064x}"


def links(numbers: Iterable[int]) -> list[Link]:
    """These messages of it, in order."""
    return [Link(number, sha(number - 1), sha(number)) for number in sorted(numbers)]


def gap(first: int, last: int) -> Missing:
    """A true gap of it."""
    return Missing(first, last, sha(last))


numbers = st.sets(st.integers(1, 40))
runs = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 15)).map(lambda run: (run[0], run[0] + run[1])), max_size=4
)
endings = st.none() | st.integers(0, 45)


@given(came=numbers, told=runs, after=endings, head=st.integers(0, 50))
def test_a_number_is_received_explained_or_unexplained(came, told, after, head):
    """The three never overlap, together they are every number that is known to exist, and the counts say so."""
    proof = prove(links(came), Explained([gap(*run) for run in told], after), head=head)
    covered = {number for first, last in told for number in range(first, last + 1)}
    top = max([head, after or 0, 0, *came, *covered])
    never = covered | (set() if after is None else set(range(after + 1, top + 1)))
    missing = set(range(1, top + 1)) - came
    unexplained = {number for first, last in proof.unexplained for number in range(first, last + 1)}
    assert proof.top == top
    assert unexplained == missing - never
    assert (proof.received, proof.missing, proof.explained) == (len(came), len(missing), len(missing & never))
    assert proof.breaks == ()


@given(came=numbers, told=runs, after=endings, head=st.integers(0, 50))
def test_complete_is_never_said_of_a_number_that_is_unexplained(came, told, after, head):
    """Every number up to the one that is named came or is covered, and the next one did not and is not."""
    proof = prove(links(came), Explained([gap(*run) for run in told], after), head=head)
    covered = {number for first, last in told for number in range(first, last + 1)}
    for number in range(1, proof.complete_up_to + 1):
        assert number in came or number in covered or (after is not None and number > after)
    assert proof.holds == (proof.complete_up_to == proof.top)


@given(came=numbers, told=runs, after=endings)
def test_walking_on_ends_where_the_whole_proof_ends(came, told, after):
    """A consumer that keeps only how far it was says the same as one that proves everything again."""
    explained = Explained([gap(*run) for run in told], after)
    assert advance(Frontier(), links(came), explained).upto == prove(links(came), explained).complete_up_to


@given(came=numbers, later=numbers, told=runs)
def test_how_far_all_is_there_does_not_depend_on_the_order_of_arrival(came, later, told):
    """What arrives in two parts takes the frontier as far as what arrives at once, and never back."""
    explained = Explained([gap(*run) for run in told])
    first = advance(Frontier(), links(came), explained)
    rest = [link for link in links(came | later) if link.seq > first.upto]
    second = advance(first, rest, explained)
    assert second.upto >= first.upto
    assert second == advance(Frontier(), links(came | later), explained)


@given(came=st.sets(st.integers(1, 30), min_size=2), data=st.data())
def test_a_changed_message_is_found_where_its_neighbour_is_there(came, data):
    """Bytes that were changed do not fit to the message behind them, and nothing else is blamed."""
    pairs = sorted(number for number in came if number - 1 in came)
    changed = data.draw(st.sampled_from(sorted(came)))
    said = [Link(one.seq, one.prev, "f" * 64) if one.seq == changed else one for one in links(came)]
    proof = prove(said, Explained())
    assert [one.seq for one in proof.breaks] == [number for number in pairs if number == changed + 1]
    assert proof.complete_up_to <= changed or not proof.breaks


def test_the_chain_goes_on_behind_a_gap():
    """The hash in a gap takes the place of the message that it ends with: a wrong successor is found."""
    explained = Explained([gap(3, 5)])
    assert prove(links({1, 2, 6, 7}), explained).holds
    wrong = [*links({1, 2}), Link(6, "f" * 64, sha(6)), *links({7})]
    assert [one.seq for one in prove(wrong, explained).breaks] == [6]
    assert advance(Frontier(), wrong, explained) == Frontier(5, sha(5))


def test_a_gap_that_contradicts_a_message_breaks_the_chain():
    """A device that says two things about one number is not believed."""
    said = [Missing(3, 5, "f" * 64)]
    assert [one.seq for one in prove(links(range(1, 8)), Explained(said)).breaks] == [5]


def test_a_first_message_that_names_a_predecessor_is_found():
    """Number 1 follows nothing: 64 zeros."""
    assert [one.seq for one in prove([Link(1, sha(9), sha(1))], Explained()).breaks] == [1]


def test_a_gap_of_a_million_million_numbers_costs_nothing():
    """Gaps are counted by their ends: a hostile one takes neither time nor memory."""
    proof = prove(links({1}), Explained([gap(2, 10**12)]))
    assert (proof.received, proof.explained, proof.complete_up_to) == (1, 10**12 - 1, 10**12)


def test_an_ended_ledger_needs_its_numbers_up_to_the_last_known_one():
    """What the device knew of and nobody received is unexplained; what came after that number is welcome."""
    assert prove(links({1, 2, 3}), Explained((), 5)).unexplained == ((4, 5),)
    assert prove(links({1, 2, 3, 4, 5, 8}), Explained((), 5), head=9).holds

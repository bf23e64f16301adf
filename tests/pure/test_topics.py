"""Which topic says what."""

import pytest

from agent.ledger.sealing import SINGULAR
from agent.sync.topics import ROUTES, Topics

TOPICS = Topics.of("fieldgate/1/", "plant-a", "cam-7")
ROOT = "fieldgate/1/plant-a/cam-7"


def test_every_branch_lies_below_the_device() -> None:
    """The topics are those of the outside contract."""
    assert TOPICS.online == f"{ROOT}/up/online"
    assert TOPICS.status == f"{ROOT}/up/status"
    assert TOPICS.health == f"{ROOT}/up/health"
    assert TOPICS.ledger("inspections") == f"{ROOT}/up/ledger/inspections"
    assert TOPICS.reply("c-1") == f"{ROOT}/up/replies/c-1"
    assert TOPICS.batch == f"{ROOT}/up/ledger/batch"
    everybody = "fieldgate/1/plant-a/all/down/commands/+"
    assert TOPICS.filters == (f"{ROOT}/down/commands/+", everybody, f"{ROOT}/down/receipt/+")


def test_only_states_are_retained_and_only_health_may_be_lost() -> None:
    """A retained ledger message or reply would lie to later subscribers."""
    assert {name for name, route in ROUTES.items() if route.retained} == {"online", "status"}
    assert {name for name, route in ROUTES.items() if route.qos == 0} == {"health"}


@pytest.mark.parametrize("kind", SINGULAR)
def test_every_kind_of_ledger_message_has_its_topic(kind: str) -> None:
    """A kind is the last word of its topic."""
    assert TOPICS.ledger(kind) == f"{ROOT}/up/ledger/{kind}"


def test_a_kind_that_does_not_exist_has_no_topic() -> None:
    """Misuse is found before anything is published."""
    with pytest.raises(KeyError):
        TOPICS.ledger("inspection")


@pytest.mark.parametrize(
    ("topic", "verb"),
    [
        (f"{ROOT}/down/commands/ping", "ping"),
        (f"{ROOT}/down/commands/", None),
        (f"{ROOT}/down/commands/a/b", None),
        ("fieldgate/1/plant-a/all/down/commands/ping", "ping"),
        ("fieldgate/1/plant-b/all/down/commands/ping", None),
        ("fieldgate/1/plant-a/cam-8/down/commands/ping", None),
        (f"{ROOT}/up/commands/ping", None),
        ("", None),
    ],
)
def test_a_verb_is_the_last_word_of_a_command_topic(topic: str, verb: str | None) -> None:
    """Another device's topic, or a deeper one, names no verb."""
    assert TOPICS.verb(topic) == verb


def test_a_receipt_is_for_one_device() -> None:
    """Its last word is the consumer; what all hear is no receipt, since an epoch belongs to one device."""
    assert TOPICS.consumer(f"{ROOT}/down/receipt/db") == "db"
    assert TOPICS.consumer("fieldgate/1/plant-a/all/down/receipt/db") is None
    assert TOPICS.consumer(f"{ROOT}/down/commands/ping") is None


@pytest.mark.parametrize(
    ("topic", "allowed"),
    [
        (f"{ROOT}/up/replies/mine", True),
        (f"{ROOT}/up/answers/desk-3", True),
        (f"{ROOT}/up/", False),
        (f"{ROOT}/up/online", False),
        (f"{ROOT}/up/status", False),
        (f"{ROOT}/up/health", False),
        (f"{ROOT}/up/ledger/inspections", False),
        (f"{ROOT}/down/commands/mode", False),
        (f"{ROOT}x/up/replies/mine", False),
        (f"{ROOT}/up/replies/#", False),
        (f"{ROOT}/up/replies/+", False),
        (f"{ROOT}/up/replies/a\0b", False),
        (f"{ROOT}/up/replies/{'x' * 600}", False),
        ("$SYS/x", False),
        ("", False),
    ],
)
def test_a_response_topic_must_lie_where_nothing_else_is_said(topic: str, allowed: bool) -> None:
    """A command cannot make the agent speak outside its tree, nor as one of its own states."""
    assert TOPICS.may_answer(topic) is allowed

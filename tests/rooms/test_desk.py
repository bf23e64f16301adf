"""The command ``evidence``: what is ordered, what is refused, and when it is answered."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.errors import BadCommand, FieldgateError
from agent.store.reader import Reader
from agent.store.transaction import Entry
from agent.sync.desk import PictureDesk
from agent.sync.envelope import Command
from agent.sync.verbs import check_evidence
from picture_rig import Pictures
from samples import MOMENT
from store_rig import ledger, of_kind


class Desk:
    """A desk on a store with pictures, and the answers that it gave."""

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, Mapping[str, Any] | FieldgateError] = {}
        self.held_back: list[Entry] | None = None
        self.desk = PictureDesk(reader=Reader(folder), put=self._put)
        self.pictures = Pictures(folder, erased=self.desk.erased)
        self.desk.attach(wake=self.pictures.upload.wake, finish=self.answers.__setitem__)

    def _put(self, entry: Entry) -> None:
        if self.held_back is None:
            self.pictures.put(entry)
        else:
            self.held_back.append(entry)

    def order(self, action: str, record: str, *, identity: str = "c-1") -> Mapping[str, Any] | None:
        """Give a command."""
        args = {"record": record, "action": action}
        until = MOMENT.wall + timedelta(minutes=5)
        return self.desk.order(Command(identity, "evidence", MOMENT.wall, until, "anna", "a complaint", args))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk."""
    one = Desk(tmp_path)
    yield one
    one.pictures.store.stop()


def test_an_order_to_send_is_answered_when_it_is_committed(desk: Desk) -> None:
    """The picture goes next, and the ledger says who asked and why."""
    record = desk.pictures.keep(1, kept="all")
    assert desk.order("send", record) is None
    assert desk.answers == {"c-1": {"record": record, "state": "asked"}}
    desk.pictures.steps()
    assert desk.pictures.way.sent == [record]
    (audit,) = of_kind("audit", ledger(desk.pictures.store.folder))
    assert (audit["by"], audit["reason"], audit["way"]) == ("anna", "a complaint", "mqtt")


def test_an_order_to_erase_is_answered_when_the_file_is_gone(desk: Desk) -> None:
    """Not before; a second command for the same picture is answered with it, a later one at once."""
    record = desk.pictures.keep(1)
    path = desk.pictures.file(record)
    assert desk.order("erase", record) is None
    assert desk.order("erase", record, identity="c-2") is None
    assert desk.answers == {}
    desk.pictures.steps()
    assert not path.exists()
    gone = {"record": record, "state": "erased"}
    assert desk.answers == {"c-1": gone, "c-2": gone}
    assert desk.order("erase", record, identity="c-3") == gone
    assert desk.pictures.fates() == [(record, "erased", "erased-on-request")]


@pytest.mark.parametrize("action", ["send", "erase"])
def test_a_picture_that_nobody_knows_is_refused(desk: Desk, action: str) -> None:
    """No such record, or one without a picture."""
    with pytest.raises(BadCommand, match="no picture of a record") as refused:
        desk.order(action, "0193-none")
    assert refused.value.code == "unknown-record"


def test_a_picture_that_is_gone_is_refused(desk: Desk) -> None:
    """Evicted ones can be neither sent nor erased, erased ones not sent."""
    record = desk.pictures.keep(1)
    desk.pictures.store.db.execute("UPDATE evidence SET state = 'evicted'")
    for action in ("send", "erase"):
        with pytest.raises(BadCommand) as refused:
            desk.order(action, record)
        assert refused.value.code == "picture-gone"


def test_a_picture_under_legal_hold_is_not_erased(desk: Desk) -> None:
    """It may be sent."""
    record = desk.pictures.keep(1)
    desk.pictures.store.db.execute("UPDATE evidence SET held = 1")
    with pytest.raises(BadCommand, match="legal hold") as refused:
        desk.order("erase", record)
    assert refused.value.code == "held"
    desk.order("send", record)
    desk.pictures.steps()
    assert desk.pictures.way.sent == [record]


def test_a_hold_that_comes_in_between_wins(desk: Desk) -> None:
    """The command fails, the picture stays, and nothing is recorded."""
    record = desk.pictures.keep(1)
    desk.held_back = []
    desk.order("erase", record)
    desk.pictures.store.db.execute("UPDATE evidence SET held = 1")
    (entry,) = desk.held_back
    desk.pictures.put(entry)
    answer = desk.answers["c-1"]
    assert isinstance(answer, BadCommand)
    assert answer.code == "held"
    assert desk.pictures.file(record).exists()
    assert of_kind("audit", ledger(desk.pictures.store.folder)) == []


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"record": "r"},
        {"record": "r", "action": "burn"},
        {"record": "a/b", "action": "send"},
        {"record": 7, "action": "send"},
    ],
)
def test_arguments_that_do_not_fit_are_refused(args: dict[str, Any]) -> None:
    """A record's id and one of two actions, nothing else."""
    with pytest.raises(BadCommand):
        check_evidence(args)
    with pytest.raises(BadCommand):
        check_evidence({"record": "r", "action": "send", "more": 1})
    check_evidence({"record": "r", "action": "erase"})

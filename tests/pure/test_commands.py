"""Commands: what is obeyed, once, and what is refused with which reason."""

import json
import random
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from agent.errors import BadCommand, CameraError, StoreError
from agent.inspection.frame import Moment
from agent.sync.commands import STATES, Answers, Commands, Verb
from agent.sync.envelope import CODES, DEEPEST, LARGEST, parse
from agent.sync.topics import Topics
from agent.sync.verbs import CHECKS
from agent.sync.wire import Arrived

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=timezone.utc)
TOPICS = Topics.of("fieldgate/1", "plant-a", "cam-7")


def text(moment: datetime) -> str:
    """As commands write times."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def envelope(**changes: Any) -> dict[str, Any]:
    """A good ping with some fields changed; a field given as ... is left out."""
    fields = {
        "id": "c-1",
        "issued_at": text(NOW),
        "expires_at": text(NOW + timedelta(minutes=1)),
        "by": "desk",
        "reason": "",
        "args": {},
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not ...}


def body(**changes: Any) -> bytes:
    """The bytes of such a ping."""
    return json.dumps(envelope(**changes)).encode()


def code_of(raw: bytes, *, retained: bool = False, wall: datetime = NOW, clock: str = "synced") -> str:
    """The reason code with which these bytes are refused."""
    with pytest.raises(BadCommand) as caught:
        parse("ping", raw, retained=retained, wall=wall, clock=clock)
    return caught.value.code


def test_a_whole_command_is_read() -> None:
    """All fields arrive, times as UTC, and fields that are not known are ignored."""
    raw = body(args={"camera": "top"}, issued_at="2026-11-22T08:59:59.5Z", later="ignored")
    command = parse("trigger", raw, retained=False, wall=NOW, clock="synced")
    assert (command.id, command.verb, command.by, command.args) == ("c-1", "trigger", "desk", {"camera": "top"})
    assert command.issued_at == NOW - timedelta(milliseconds=500)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        pytest.param(b"x" * (LARGEST + 1), "oversized", id="too long"),
        pytest.param(b"", "not-json", id="empty"),
        pytest.param(b"{", "not-json", id="broken"),
        pytest.param(b"\xff\xfe{}", "not-json", id="not UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", "not-json", id="byte order mark"),
        pytest.param('{"a":1}'.encode("utf-16"), "not-json", id="UTF-16"),
        pytest.param(b'{"id": NaN}', "not-json", id="NaN"),
        pytest.param(b'{"id": -Infinity}', "not-json", id="infinity"),
        pytest.param(b'{"id": 1e999}', "not-json", id="float out of range"),
        pytest.param(b'{"id": 1' + b"0" * 5_000 + b"}", "not-json", id="huge integer"),
        pytest.param(b'{"id": 1, "id": 2}', "not-json", id="duplicate key"),
        pytest.param(b'{"id": "\\ud800"}', "not-json", id="half a surrogate pair"),
        pytest.param(b"[" * 30_000 + b"]" * 30_000, "not-json", id="nesting bomb"),
        pytest.param(b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), "not-json", id="just too deep"),
        pytest.param(b'{"a":' * 9_000 + b"1" + b"}" * 9_000, "not-json", id="object bomb"),
        pytest.param(b"[]", "not-an-object", id="list"),
        pytest.param(b"7", "not-an-object", id="number"),
        pytest.param(b"null", "not-an-object", id="null"),
        pytest.param(body(id=...), "missing-field", id="no id"),
        pytest.param(body(args=...), "missing-field", id="no args"),
        pytest.param(body(by=...), "missing-field", id="no by"),
        pytest.param(body(expires_at=...), "missing-field", id="no expiry"),
        pytest.param(body(id=7), "bad-id", id="id a number"),
        pytest.param(body(id=""), "bad-id", id="id empty"),
        pytest.param(body(id="a/b"), "bad-id", id="id with a slash"),
        pytest.param(body(id="x" * 65), "bad-id", id="id too long"),
        pytest.param(body(id="c-1\n"), "bad-id", id="id with a newline"),
        pytest.param(body(args=[]), "bad-field", id="args a list"),
        pytest.param(body(by=""), "bad-field", id="by empty"),
        pytest.param(body(by="x" * 201), "bad-field", id="by too long"),
        pytest.param(body(reason=None), "bad-field", id="reason null"),
        pytest.param(body(issued_at=0), "bad-field", id="time a number"),
        pytest.param(body(issued_at="2026-11-22T09:00:00"), "bad-field", id="time without zone"),
        pytest.param(body(issued_at="2026-11-22T09:00:00+01:00"), "bad-field", id="time not UTC"),
        pytest.param(body(issued_at="2026-02-30T09:00:00Z"), "bad-field", id="a day that is not"),
        pytest.param(body(issued_at="\uff12\uff10\uff12\uff16-11-22T09:00:00Z"), "bad-field", id="other digits"),
        pytest.param(body(expires_at=text(NOW)), "expired", id="expires now"),
        pytest.param(body(expires_at="2026-11-21T09:00:00Z"), "expired", id="expired yesterday"),
        pytest.param(body(issued_at=text(NOW + timedelta(minutes=6))), "not-yet", id="from the future"),
    ],
)
def test_a_bad_command_is_refused_with_its_reason(raw: bytes, code: str) -> None:
    """Each fault has one code, and none of them a traceback."""
    assert code_of(raw) == code


def test_a_retained_command_is_refused_whatever_it_says() -> None:
    """It would be obeyed again at every connection."""
    assert code_of(body(), retained=True) == "retained"


def test_an_unsynced_clock_does_not_call_a_command_too_early() -> None:
    """A device that woke up in 1970 obeys; only a synced clock may doubt the sender's."""
    for clock in ("holdover", "unset"):
        early = datetime(1970, 1, 2, tzinfo=timezone.utc)
        assert parse("ping", body(), retained=False, wall=early, clock=clock).id == "c-1"
    assert code_of(body(), wall=datetime(1970, 1, 2, tzinfo=timezone.utc)) == "not-yet"


def test_two_thousand_damaged_commands_are_each_read_or_refused() -> None:
    """Whatever bytes arrive, the parser answers with a command or a reason of its table."""
    draw = random.Random(20261122)
    seeds = [body(), body(args={"camera": "top", "metadata": {"a": [1, 2.5, None, True]}}), b"[[[]]]", b'"x"']
    outcomes = set()
    for _ in range(2_000):
        raw = bytearray(draw.choice(seeds))
        for _ in range(draw.randrange(1, 12)):
            at = draw.randrange(len(raw) + 1)
            kind = draw.randrange(4)
            if kind == 0:
                raw[at:at] = draw.choice([b"\xff", b"{", b"NaN", b"1e400", b'"', b"\\ud800", b"[" * 40, b"\0"])
            elif kind == 1:
                del raw[at : at + draw.randrange(1, 9)]
            elif kind == 2 and at < len(raw):
                raw[at] = draw.randrange(256)
            else:
                raw[at:at] = draw.randbytes(draw.randrange(4))
        try:
            outcomes.add(parse("ping", bytes(raw), retained=False, wall=NOW, clock="synced").verb)
        except BadCommand as bad:
            outcomes.add(bad.code)
    assert outcomes <= {"ping", *CODES}
    assert {"ping", "not-json"} <= outcomes


@pytest.mark.parametrize(
    ("verb", "args", "good"),
    [
        ("ping", {}, True),
        ("ping", {"x": 1}, False),
        ("trigger", {"camera": "top"}, True),
        ("trigger", {"camera": "top", "metadata": {"shift": "B"}, "subject": {"part": "A-17"}}, True),
        ("trigger", {"camera": "top", "subject": {"part": None}}, True),
        ("trigger", {}, False),
        ("trigger", {"camera": "top/.."}, False),
        ("trigger", {"camera": ["top"]}, False),
        ("trigger", {"camera": "top", "metadata": []}, False),
        ("trigger", {"camera": "top", "metadata": {"a": "x" * 5_000}}, False),
        ("trigger", {"camera": "top", "subject": {"colour": "red"}}, False),
        ("trigger", {"camera": "top", "subject": {"part": 7}}, False),
        ("trigger", {"camera": "top", "speed": 1}, False),
        ("mode", {"engine": "pcb", "mode": "manual"}, True),
        ("mode", {"engine": "pcb", "mode": "off"}, False),
        ("mode", {"engine": "pcb", "mode": ["manual"]}, False),
        ("mode", {"mode": "manual"}, False),
    ],
)
def test_each_verb_checks_its_arguments(verb: str, args: dict[str, Any], good: bool) -> None:
    """An argument that is missing, unknown or of the wrong type is refused."""
    if good:
        assert CHECKS[verb](args) is None
        return
    with pytest.raises(BadCommand) as caught:
        CHECKS[verb](args)
    assert caught.value.code == "bad-args"


class Bench:
    """Commands with a store in memory; ``done`` lists what was carried out."""

    def __init__(self, store: dict[str, Mapping[str, Any]] | None = None) -> None:
        self.store = {} if store is None else store
        self.done: list[str] = []
        self.failing_disk = False
        self.strange = False
        self.woken = 0
        self.minutes = 0
        verbs = {
            "ping": Verb(CHECKS["ping"], lambda command: self.act(command.id, {"boot": "b"})),
            "trigger": Verb(CHECKS["trigger"], lambda command: self.act(command.id, None)),
            "mode": Verb(CHECKS["mode"], self.fail),
        }
        self.commands = Commands(
            topics=TOPICS,
            verbs=verbs,
            now=lambda: Moment(NOW, self.minutes * 60 * 10**9, "synced"),
            remembered=self.remembered,
            remember=self.remember,
        )
        self.commands.attach(self.wake)

    def wake(self) -> None:
        self.woken += 1

    def act(self, command_id: str, result: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        self.done.append(command_id)
        return result

    def fail(self, _: object) -> Mapping[str, Any]:
        if self.strange:
            raise BadCommand("no such camera", code="unknown-camera")
        raise CameraError("no such engine")

    def remembered(self, command_id: str) -> Mapping[str, Any] | None:
        if self.failing_disk:
            raise StoreError("the disk is gone")
        return self.store.get(command_id)

    def remember(self, command_id: str, _verb: str, reply: Mapping[str, Any]) -> None:
        if self.failing_disk:
            raise StoreError("the disk is gone")
        self.store[command_id] = reply

    def take(self, verb: str = "ping", raw: bytes | None = None, **more: Any) -> Answers:
        raw = body() if raw is None else raw
        return self.commands.take(Arrived(1, f"{TOPICS.root}/down/commands/{verb}", raw, **more))


def states(answers: Answers) -> list[str]:
    """The states of the replies, in order."""
    return [reply.body["state"] for reply in answers.replies]


def test_a_command_is_accepted_then_done_then_acknowledged() -> None:
    """Two replies, the last one journaled before the broker may forget the command."""
    bench = Bench()
    answers = bench.take()
    assert states(answers) == ["accepted", "done"]
    assert answers.replies[1].body == {
        "id": "c-1",
        "verb": "ping",
        "state": "done",
        "reason": None,
        "result": {"boot": "b"},
        "at": "2026-11-22T09:00:00.000000Z",
    }
    assert bench.store["c-1"]["state"] == "done"
    assert len(answers.acknowledge) == 1


def test_the_same_id_is_done_once_also_after_a_restart() -> None:
    """The stored reply is sent again, by this process and by the next."""
    first = Bench()
    final = first.take().replies[1].body
    again = first.take()
    second = Bench(first.store)
    later = second.take(raw=body(expires_at="2026-01-01T00:00:00Z"))
    assert [reply.body for reply in again.replies] == [final]
    assert [reply.body for reply in later.replies] == [final]
    assert (first.done, second.done) == (["c-1"], [])
    assert len(later.acknowledge) == 1


def test_a_later_answer_is_sent_and_acknowledged_when_it_comes() -> None:
    """``finish`` wakes the uplink; the message stays with the broker until then."""
    bench = Bench()
    first = bench.take("trigger", body(args={"camera": "top"}))
    assert (states(first), first.acknowledge) == (["accepted"], ())
    assert bench.commands.finished() == Answers()
    bench.commands.finish("c-1", {"record": "r", "outcome": "pass"})
    assert bench.woken == 1
    last = bench.commands.finished()
    assert last.replies[0].body["result"] == {"record": "r", "outcome": "pass"}
    assert len(last.acknowledge) == 1


def test_a_command_that_comes_again_while_it_is_carried_out_is_not_done_twice() -> None:
    """It is accepted again, and the later message is the one that is acknowledged."""
    bench = Bench()
    bench.take("trigger", body(args={"camera": "top"}), mid=1)
    again = bench.take("trigger", body(args={"camera": "top"}), mid=2)
    assert states(again) == ["accepted"]
    bench.commands.finish("c-1", {})
    assert [arrived.mid for arrived in bench.commands.finished().acknowledge] == [2]
    assert bench.done == ["c-1"]


def test_a_failure_is_answered_with_its_reason() -> None:
    """What the verb raises is what the sender reads; so is a failure that comes later."""
    bench = Bench()
    answers = bench.take("mode", body(args={"engine": "pcb", "mode": "manual"}))
    assert answers.replies[1].body["reason"] == {"code": "failed", "text": "no such engine"}
    bench.take("trigger", body(id="c-2", args={"camera": "top"}))
    bench.commands.finish("c-2", CameraError("no picture"))
    assert states(bench.commands.finished()) == ["failed"]


def test_what_cannot_be_meant_for_this_device_is_refused_not_failed() -> None:
    """A verb that finds no such camera refuses: nothing was tried, nothing is journaled."""
    bench = Bench()
    bench.strange = True
    answers = bench.take("mode", body(args={"engine": "pcb", "mode": "manual"}))
    assert states(answers) == ["refused"]
    assert answers.replies[0].body["reason"]["code"] == "unknown-camera"
    assert (bench.store, bench.commands.snapshot()["pending"]) == ({}, 0)


def test_an_answer_to_nothing_is_ignored() -> None:
    """``finish`` for an id that is not pending changes nothing."""
    bench = Bench()
    bench.commands.finish("other", {})
    assert bench.commands.finished() == Answers()


def test_a_refused_command_with_a_readable_id_is_answered() -> None:
    """Refused, with the code, not journaled, and not brought again."""
    bench = Bench()
    answers = bench.take("reboot")
    assert states(answers) == ["refused"]
    assert answers.replies[0].body["reason"]["code"] == "unknown-verb"
    assert (bench.store, len(answers.acknowledge)) == ({}, 1)


def test_a_command_without_a_readable_id_is_counted_and_not_answered() -> None:
    """There is nobody to answer; the count shows in the snapshot."""
    bench = Bench()
    answers = bench.take(raw=b"garbage")
    assert (answers.replies, len(answers.acknowledge)) == ((), 1)
    shown = bench.commands.snapshot()
    assert shown["refused"] == {"not-json": 1}
    assert shown["last_refusal"]["code"] == "not-json"


def test_refused_commands_are_logged_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    """A flood of garbage is one line, and one more in the next minute."""
    bench = Bench()
    for _ in range(500):
        bench.take(raw=b"garbage")
    assert capsys.readouterr().out.count("command-refused") == 1
    bench.minutes = 1
    bench.take(raw=b"garbage")
    assert capsys.readouterr().out.count("command-refused") == 1


def test_a_disk_that_cannot_be_read_does_nothing_twice() -> None:
    """Whether it was done cannot be known: failed, not carried out, and the broker may bring it again."""
    bench = Bench()
    bench.failing_disk = True
    answers = bench.take()
    assert (states(answers), answers.acknowledge, bench.done) == (["failed"], (), [])
    assert answers.replies[0].body["reason"]["code"] == "store"


def test_a_reply_goes_also_where_the_sender_wants_it_if_that_is_ours() -> None:
    """The response topic and correlation data of MQTT 5; a foreign topic is dropped, the reply is not."""
    bench = Bench()
    mine = bench.take(response_topic=f"{TOPICS.root}/up/answers/x", correlation=b"7")
    foreign = bench.take(raw=body(id="c-2"), response_topic="other/device", correlation=b"7")
    assert {(reply.response_topic, reply.correlation) for reply in mine.replies} == {
        (f"{TOPICS.root}/up/answers/x", b"7")
    }
    assert {reply.response_topic for reply in foreign.replies} == {None}


def test_replies_know_only_the_states_of_the_contract() -> None:
    """accepted, then done or failed; or refused."""
    assert set(STATES) == {"accepted", "done", "failed", "refused"}

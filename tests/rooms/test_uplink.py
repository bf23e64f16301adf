"""The uplink: steered over the fake broker, exactly; and over a real Mosquitto that is stopped, killed, frozen."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from agent.config.sections import MqttSection
from agent.sync.broker import PahoBroker
from fakes import FakeBroker
from mosquitto import Central, Mosquitto, needs_mosquitto, running
from uplink_rig import LEDGER, TOPICS, Desk, Outbox, Running, an_uplink, arrived, everything
from waiting import until


def test_after_a_connection_come_online_then_status_then_the_backlog() -> None:
    """The centre learns who speaks before it hears anything, and every message is settled once."""
    desk = Desk(rows=50)
    desk.work()
    topics = [topic for topic, _, _ in desk.server.published]
    assert topics[:2] == [TOPICS.online, TOPICS.status]
    assert desk.sent == list(range(1, 51))
    assert desk.disk.told == list(range(1, 51))
    assert desk.said(TOPICS.online) == [{"state": "online", "boot": "boot-1", "connects": 1}]
    assert [retain for topic, _, retain in desk.server.published if topic == TOPICS.status] == [True]
    assert desk.broker.subscriptions == list(TOPICS.filters)
    assert desk.uplink.drained


def test_what_is_committed_later_is_sent_after_a_wake() -> None:
    """The uplink sleeps on one queue; a wake is enough."""
    desk = Desk()
    drained = [desk.uplink.drained]
    desk.work()
    drained.append(desk.uplink.drained)
    desk.add(3)
    drained.append(desk.uplink.drained)
    desk.work()
    drained.append(desk.uplink.drained)
    assert desk.disk.told == [1, 2, 3]
    assert drained == [False, True, False, True]


@pytest.mark.parametrize(("ours", "theirs", "most"), [(5, 20, 5), (20, 3, 3), (20, 1, 1), (1, 65_535, 1)])
def test_no_more_is_in_flight_than_both_sides_allow(ours: int, theirs: int, most: int) -> None:
    """The window is the smaller of ours and the broker's, and online, status and replies count too."""
    desk = Desk(rows=30, window=ours)
    desk.server.receive_maximum = theirs
    desk.server.patient = True
    desk.work()
    for _ in range(40):
        desk.server.answer_waiting(1)
        desk.work()
    assert desk.server.most_waiting == most
    assert desk.disk.told == list(range(1, 31))


def test_what_was_in_flight_at_a_cut_is_sent_again_and_the_settled_is_not() -> None:
    """Only an acknowledgement settles; after a cut the disk says what is left."""
    desk = Desk(rows=30)
    desk.server.patient = True
    desk.work()
    desk.server.answer_waiting(12)  # online, status and ten messages
    desk.work()
    desk.broker.cut()
    desk.server.patient = False
    desk.work()
    desk.work(after_s=2)
    assert desk.disk.told == list(range(1, 31))
    assert {seq for seq in desk.sent if desk.sent.count(seq) > 1} <= set(range(11, 31))
    assert desk.shown["resent"] == len(desk.sent) - 30
    assert desk.said(TOPICS.online)[-1] == {"state": "online", "boot": "boot-1", "connects": 2}
    assert {"state": "lost", "boot": "boot-1", "connects": 1} in desk.said(TOPICS.online)


def test_a_settled_message_whose_commit_is_still_to_come_is_not_sent_twice() -> None:
    """Also when the disk is read again from its start, after a cut."""
    desk = Desk(rows=10, at_once=False)
    desk.work()
    desk.broker.cut()
    desk.work()
    desk.work(after_s=2)
    assert desk.sent == list(range(1, 11))
    desk.disk.commit()
    desk.add(1)
    desk.work()
    assert desk.sent == list(range(1, 12))


def test_while_nobody_listens_one_message_is_tried_every_five_seconds() -> None:
    """Nothing is settled, the state says so, and a subscriber gets all of it."""
    desk = Desk(rows=40, listening=False)
    desk.work()
    assert desk.disk.told == []
    assert desk.shown["state"] == "nobody-listens"
    tried = len(desk.sent)
    for _ in range(3):
        desk.work(after_s=4)
        desk.work(after_s=1)
    assert len(desk.sent) == tried + 3
    assert set(desk.sent[tried:]) == {1}
    desk.listen()
    desk.work(after_s=5)
    assert desk.disk.told == list(range(1, 41))
    assert desk.shown["state"] == "connected"


def test_a_broker_whose_rules_consume_settles_without_subscribers() -> None:
    """With ``require_subscriber = false`` the code 0x10 is a success."""
    desk = Desk(rows=5, listening=False, require_subscriber=False)
    desk.work()
    assert desk.disk.told == [1, 2, 3, 4, 5]


def test_a_quota_pauses_and_then_goes_on() -> None:
    """0x97 settles nothing and loses nothing; the pauses grow; nothing is sent within one."""
    desk = Desk(rows=10)
    desk.server.answer = lambda topic, _body: 0x97 if topic.startswith(LEDGER) else None
    desk.work()
    assert desk.shown["state"] == "backing-off"
    tried = len(desk.sent)
    desk.work(after_s=0.9)
    assert len(desk.sent) == tried
    desk.work(after_s=0.2)
    assert len(desk.sent) == tried + 1
    desk.work(after_s=1.9)
    assert len(desk.sent) == tried + 1
    desk.server.answer = lambda _topic, _body: None
    desk.work(after_s=0.2)
    assert desk.disk.told == list(range(1, 11))
    assert desk.shown["state"] == "connected"


def test_a_device_that_may_not_publish_waits_the_longest_time() -> None:
    """0x87 on the ledger is shown as forbidden and tried once per longest pause, without a reconnect."""
    desk = Desk(rows=1, retry_max_s=60)
    desk.server.answer = lambda topic, _body: 0x87 if topic.startswith(LEDGER) else None
    desk.work()
    assert desk.shown["state"] == "forbidden"
    for _ in range(59):
        desk.work(after_s=1)
    assert len(desk.sent) == 1
    desk.work(after_s=2)
    assert len(desk.sent) == 2
    assert desk.server.attempts == 1


@pytest.mark.parametrize("code", [0x90, 0x99])
def test_a_message_that_the_broker_rejects_is_a_dead_letter_and_the_others_go_on(code: int) -> None:
    """It stays on the disk with the broker's words, is sent no more, and again when a person says so."""
    desk = Desk(rows=5)
    desk.server.answer = lambda topic, body: code if topic.startswith(LEDGER) and int(body) == 2 else None
    desk.work()
    assert desk.disk.told == [1, 3, 4, 5]
    assert list(desk.disk.rows) == [2]
    assert list(desk.disk.dead) == [2]
    assert f"0x{code:02X}" in desk.disk.dead[2]
    desk.work(after_s=3_600)
    assert desk.sent.count(2) == 1
    desk.server.answer = lambda _topic, _body: None
    desk.disk.dead.clear()
    desk.uplink.reread()
    desk.work()
    assert sorted(desk.disk.told) == [1, 2, 3, 4, 5]
    assert desk.uplink.drained


def test_a_message_larger_than_the_broker_takes_is_never_sent() -> None:
    """It would end the connection; it waits for a broker that takes it."""
    desk = Desk(rows=2)
    desk.server.maximum_packet_size = 1_000
    desk.disk.add(1, size=2_000)
    desk.disk.add(2)
    desk.work()
    assert desk.disk.told == [1, 2, 4, 5]
    assert desk.shown["held_messages"][0]["code"] == "too-large"
    desk.server.maximum_packet_size = None
    desk.broker.cut()
    desk.work(after_s=2)
    desk.work(after_s=2)
    assert sorted(desk.disk.told) == [1, 2, 3, 4, 5]


def test_a_message_at_which_the_broker_hangs_up_does_not_block_the_others_for_ever() -> None:
    """One at a time finds it; after five failures in a row it is held, and everything else arrives."""
    desk = Desk(rows=30)
    poison = 7

    def hang_up(topic: str, body: bytes) -> int | None:
        if topic.startswith(LEDGER) and int(body) == poison:
            desk.server.patient = True
        return None

    desk.server.answer = hang_up
    for _ in range(20):
        desk.work(after_s=61)
        if desk.server.patient:
            desk.broker.cut(0x95)
            desk.server.patient = False
    assert sorted(desk.disk.told) == [seq for seq in range(1, 31) if seq != poison]
    assert desk.shown["held_messages"][0]["code"] == "broker-fails"


def test_refused_credentials_are_one_state_and_one_line_and_rare_attempts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The daemon goes on; the log does not fill up; a correct password is found later."""
    desk = Desk(rows=3)
    desk.server.refusal = 0x87
    for _ in range(600):
        desk.work(after_s=1)
    assert desk.shown["state"] == "refused"
    assert desk.shown["reason"]["code"] == "bad-credentials"
    lines = [line for line in capsys.readouterr().out.splitlines() if "uplink" in line]
    assert len(lines) == 1
    assert "bad-credentials" in lines[0]
    assert 10 <= desk.server.attempts <= 20
    desk.server.refusal = None
    desk.work(after_s=61)
    assert desk.disk.told == [1, 2, 3]


def test_attempts_are_never_closer_than_a_second() -> None:
    """Whatever the jitter draws, an unreachable broker is tried at most once a second."""
    desk = Desk(draw=lambda: 0.0)
    desk.server.reachable = False
    for _ in range(100):
        desk.work(after_s=0.1)
    assert desk.server.attempts <= 11
    assert desk.shown["state"] == "offline"
    assert desk.shown["reason"]["code"] == "network"


def test_a_broker_that_acknowledges_nothing_is_given_up() -> None:
    """After ``ack_timeout_s`` with something in flight the line is cut and everything is sent again."""
    desk = Desk(rows=5, ack_timeout_s=40)
    desk.server.patient = True
    desk.work()
    desk.work(after_s=39)
    assert desk.server.attempts == 1
    desk.work(after_s=1.1)
    assert desk.shown["reason"]["code"] == "no-acknowledgement"
    desk.server.patient = False
    desk.work(after_s=2)
    assert desk.disk.told == [1, 2, 3, 4, 5]


def test_a_broker_without_retained_messages_still_gets_everything() -> None:
    """Online and status are published unretained, and so is the next will."""
    desk = Desk(rows=2)
    desk.server.retain_available = False
    desk.work()
    assert not any(retain for _, _, retain in desk.server.published)
    desk.broker.cut()
    desk.work(after_s=2)
    desk.work(after_s=2)
    desk.broker.cut()
    assert not desk.server.published[-1][2]
    assert desk.disk.told == [1, 2]


def test_health_is_published_when_connected_and_forgotten_when_not() -> None:
    """Old figures are worth nothing."""
    desk = Desk()
    desk.uplink.publish_health({"at": "early"})
    desk.work()
    desk.work()
    desk.uplink.publish_health({"at": "later"})
    desk.work()
    assert desk.said(TOPICS.health) == [{"at": "later"}]


def test_a_change_of_status_is_published_again() -> None:
    """Many changes while one waits for its acknowledgement are one more message."""
    desk = Desk()
    desk.server.patient = True
    desk.work()
    for _ in range(10):
        desk.uplink.status_changed()
        desk.work()
    assert len(desk.said(TOPICS.status)) == 1
    desk.server.patient = False
    desk.server.answer_waiting()
    desk.work()
    assert len(desk.said(TOPICS.status)) == 2


def test_a_stop_says_stopped_and_the_will_stays_quiet() -> None:
    """The last retained word is that the agent stopped on purpose."""
    desk = Desk()
    desk.work()
    desk.uplink.close()
    assert json.loads(desk.server.retained[TOPICS.online]) == {"state": "stopped", "boot": "boot-1", "connects": 1}
    assert desk.shown["state"] == "stopped"


def test_a_stop_waits_for_the_acknowledgements_that_are_on_their_way() -> None:
    """The line is closed when the broker has answered everything, the goodbye too; a broker cut off speaks the will."""
    desk = Desk(rows=3)
    desk.server.patient = True
    desk.work()
    answered: list[int] = []

    def disconnect(*, graceful: bool, wait_s: float = 0.0) -> None:
        answered.append(len(desk.server.waiting_words()))
        FakeBroker.disconnect(desk.broker, graceful=graceful, wait_s=wait_s)

    desk.broker.disconnect = disconnect  # type: ignore[method-assign]
    threading.Timer(0.1, desk.server.answer_waiting).start()
    desk.uplink.close()
    assert answered == [0]
    assert desk.disk.told == [1, 2, 3]
    assert desk.said(TOPICS.online)[-1]["state"] == "stopped"


def test_a_stop_does_not_wait_for_ever_for_a_silent_broker() -> None:
    """After a second the agent goes all the same."""
    desk = Desk(rows=3)
    desk.server.patient = True
    desk.work()
    began = time.monotonic()
    desk.uplink.close()
    assert time.monotonic() - began < 3
    assert desk.shown["state"] == "stopped"


def test_a_disk_that_cannot_be_read_is_a_state_and_ends_by_itself() -> None:
    """Nothing is lost, nothing raised; sending goes on when reading does."""
    desk = Desk(rows=3)
    desk.disk.broken = True
    desk.work()
    assert desk.shown["state"] == "disk"
    desk.disk.broken = False
    desk.work(after_s=2)
    assert desk.disk.told == [1, 2, 3]
    assert desk.shown["state"] == "connected"


def command(command_id: str) -> bytes:
    """A ping that is valid for a minute."""
    now = datetime.now(timezone.utc)
    times = {"issued_at": now, "expires_at": now + timedelta(minutes=1)}
    texts = {name: moment.strftime("%Y-%m-%dT%H:%M:%SZ") for name, moment in times.items()}
    return json.dumps({"id": command_id, **texts, "by": "desk", "reason": "", "args": {}}).encode()


def test_a_command_is_answered_on_its_topic_and_on_the_senders() -> None:
    """Accepted, then done, on both; the correlation data comes back."""
    desk = Desk()
    desk.work()
    wanted = f"{TOPICS.root}/up/answers/desk"
    topic = f"{TOPICS.root}/down/commands/ping"
    desk.broker.arrive(topic, command("c-1"), response_topic=wanted, correlation=b"77")
    desk.work()
    assert [reply["state"] for reply in desk.said(TOPICS.reply("c-1"))] == ["accepted", "done"]
    assert [reply["state"] for reply in desk.said(wanted)] == ["accepted", "done"]
    assert desk.broker.correlation == b"77"


def test_what_is_said_to_all_devices_of_a_site_is_obeyed_and_answered_on_the_own_topic() -> None:
    """Each device answers for itself; the same id on its own topic is the same command."""
    desk = Desk()
    desk.work()
    desk.broker.arrive("fieldgate/1/plant-a/all/down/commands/ping", command("c-1"))
    desk.broker.arrive(f"{TOPICS.root}/down/commands/ping", command("c-1"))
    desk.work()
    assert [reply["state"] for reply in desk.said(TOPICS.reply("c-1"))] == ["accepted", "done", "done"]
    assert desk.shown["commands"]["repeated"] == 1


def test_receipts_reach_the_store_and_those_that_do_not_fit_are_counted() -> None:
    """Garbage, half numbers and numbers beyond the head are refused, counted, and an alert; retained ones are taken."""
    desk = Desk(rows=5)
    desk.work()
    topic = f"{TOPICS.root}/down/receipt/db"
    rubbish = [b"", b"\xff", b"[]", b"7", b'{"epoch":"e"}', b'{"epoch":"e","upto":true}', b'{"epoch":"e","upto":-1}']
    rubbish += [b'{"epoch":"e","upto":1.5}', b'{"epoch":7,"upto":1}', b'{"epoch":"\\ud800","upto":1}', b"[" * 900]
    for body in [*rubbish, b'{"epoch":"e","upto":99}', b" " * 2_000]:
        desk.broker.arrive(topic, body)
    desk.broker.arrive(f"{TOPICS.root}/down/receipt/a b", b'{"epoch":"e","upto":1}')
    desk.work()
    assert desk.shown["receipts"]["refused"] == {"malformed": len(rubbish) + 2, "beyond-head": 1}
    assert desk.disk.alerts[0] == ("raised", "receipts-refused", "db")
    desk.broker.arrive(topic, b'{"epoch":"e","upto":5,"more":1}', retained=True)
    desk.work()
    assert desk.disk.receipts[-1] == ("db", "e", 5)
    assert desk.shown["receipts"]["taken"] == 1
    assert desk.disk.alerts[-1] == ("cleared", "receipts-refused", "db")


@pytest.mark.parametrize(("code", "alert"), [(0x10, "nobody-listens"), (0x87, "broker-forbids")])
def test_a_broker_that_keeps_everything_back_is_an_alert_until_it_takes_a_message(code: int, alert: str) -> None:
    """Raised with the first answer, and cleared by a settlement, not by a new connection."""
    desk = Desk(rows=3)
    desk.server.answer = lambda topic, _body: code if topic.startswith(LEDGER) else None
    desk.work()
    assert ("raised", alert, "broker") in desk.disk.alerts
    desk.broker.cut()
    desk.work(after_s=2)
    desk.work(after_s=70)
    assert ("cleared", alert, "broker") not in desk.disk.alerts
    desk.server.answer = lambda _topic, _body: None
    desk.work(after_s=70)
    assert desk.disk.alerts[-1] == ("cleared", alert, "broker")
    assert desk.disk.told == [1, 2, 3]


def test_a_reply_that_a_cut_has_overtaken_is_sent_on_the_next_connection() -> None:
    """The sender learns what became of the command."""
    desk = Desk()
    desk.work()
    desk.server.patient = True
    desk.broker.arrive(f"{TOPICS.root}/down/commands/ping", command("c-1"))
    desk.work()
    desk.broker.cut()
    desk.server.patient = False
    before = len(desk.said(TOPICS.reply("c-1")))
    desk.work(after_s=2)
    desk.work(after_s=2)
    assert [reply["state"] for reply in desk.said(TOPICS.reply("c-1"))[before:]] == ["accepted", "done"]


def test_a_subscription_that_the_broker_refuses_is_shown() -> None:
    """Commands will not come, and ``status`` says why; everything else goes on."""
    desk = Desk(rows=2)
    desk.server.permission = 0x87
    desk.work()
    assert desk.shown["not_permitted"] == dict.fromkeys(TOPICS.filters, "not authorized (0x87)")
    assert desk.disk.told == [1, 2]


def test_a_reply_larger_than_the_broker_takes_does_not_end_the_connection() -> None:
    """It is shown instead, and the others are sent."""
    desk = Desk(rows=2)
    desk.server.maximum_packet_size = 500
    desk.work()
    desk.uplink.reply("c-1", {"result": "x" * 600})
    desk.uplink.reply("c-2", {"result": "y"})
    desk.work()
    assert list(desk.shown["not_permitted"]) == [TOPICS.reply("c-1")]
    assert desk.said(TOPICS.reply("c-2")) == [{"result": "y"}]


def test_replies_wait_for_a_connection_and_a_flood_of_them_is_bounded() -> None:
    """The newest 256 are kept: a command may be asked about again."""
    desk = Desk()
    desk.server.reachable = False
    desk.work()
    for number in range(300):
        desk.uplink.reply(f"c-{number}", {"n": number})
    desk.work()
    desk.server.reachable = True
    desk.work(after_s=2)
    desk.work(after_s=2)
    numbers = [one["n"] for one in desk.said(f"{TOPICS.root}/up/replies/")]
    assert numbers == list(range(300 - 256, 300))
    assert desk.said(TOPICS.online)[-1]["state"] == "online"


def test_events_of_an_earlier_connection_are_ignored() -> None:
    """An acknowledgement that was still in the queue settles nothing of the new connection."""
    desk = Desk(rows=3)
    desk.server.patient = True
    desk.work()
    desk.server.answer_waiting(2)
    desk.work()
    stale = desk.server.waiting_words()
    desk.broker.cut()
    desk.work()
    for word in stale:
        desk.broker.events.put(word)
    desk.work()
    assert desk.disk.told == []


# Over a real broker.


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that a test may stop and start."""
    # By default Mosquitto drops, after its PUBACK, what a slow subscriber has not taken within 1,000 messages.
    broker = Mosquitto(tmp_path / "broker", lines=("max_queued_messages 0",))
    yield broker
    broker.kill()


@needs_mosquitto
@pytest.mark.broker
def test_a_backlog_made_offline_is_drained_when_a_broker_appears(mosquitto: Mosquitto) -> None:
    """No broker at the start is normal; later each message arrives and is settled once."""
    agent = Running(mosquitto.port, rows=300, draw=lambda: 0.0)
    try:
        assert until(lambda: agent.uplink.snapshot()["state"] == "offline")
        mosquitto.start()
        with Central(mosquitto.port, f"{TOPICS.root}/up/#") as central:
            assert until(lambda: agent.uplink.drained, within_s=20)
            assert until(lambda: set(arrived(central)) == everything(300))
            assert sorted(agent.disk.told) == list(range(1, 301))
    finally:
        agent.end()


@needs_mosquitto
@pytest.mark.broker
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_broker_that_goes_in_the_middle_loses_nothing(mosquitto: Mosquitto, how: str) -> None:
    """Stopped or killed while messages flow: after its return what was not settled arrives, each settled once."""
    mosquitto.start()
    agent = Running(mosquitto.port, rows=4_000, batch_bytes=0)
    first = Central(mosquitto.port, f"{TOPICS.root}/up/#")
    try:
        assert until(lambda: len(agent.disk.told) >= 200)
        getattr(mosquitto, how)()
        assert until(lambda: agent.uplink.snapshot()["state"] == "offline")
        left = everything(4_000) - {b"%d" % seq for seq in agent.disk.told}
        assert left, "the broker went too late for this test to mean anything"
        mosquitto.start()
        with Central(mosquitto.port, f"{TOPICS.root}/up/#") as central:
            assert until(lambda: agent.uplink.drained, within_s=30)
            # The first listener may have come back before the second was there: between them nothing is missed.
            assert until(lambda: left <= {*arrived(first), *arrived(central)})
        assert sorted(agent.disk.told) == list(range(1, 4_001))
    finally:
        agent.end()
        first.close()


@needs_mosquitto
@pytest.mark.broker
def test_a_frozen_broker_is_left_and_found_again(mosquitto: Mosquitto) -> None:
    """A broker that keeps the line open and says nothing is noticed by the missing acknowledgement."""
    mosquitto.start()
    agent = Running(mosquitto.port, rows=5, ack_timeout_s=1)
    try:
        with Central(mosquitto.port, f"{TOPICS.root}/up/#") as central:
            assert until(lambda: agent.uplink.drained)
            mosquitto.freeze()
            agent.disk.add(5)
            agent.uplink.wake()
            assert until(lambda: agent.uplink.snapshot()["state"] == "offline")
            assert agent.uplink.snapshot()["reason"]["code"] in {"no-acknowledgement", "no-answer"}
            mosquitto.thaw()
            assert until(lambda: agent.uplink.drained, within_s=30)
            assert until(lambda: set(arrived(central)) == everything(10))
    finally:
        agent.end()


@needs_mosquitto
@pytest.mark.broker
def test_a_refusing_broker_is_shown_and_a_new_password_file_is_enough(tmp_path: Path) -> None:
    """The file is read at each attempt: no restart is needed. A missing file is a state with its reason."""
    word = tmp_path / "password"
    word.write_text("wrong\n", encoding="utf-8")
    users = {"device": "right", "central": "right"}
    with running(tmp_path / "broker", users=users) as mosquitto:
        section = {"username": "device", "password_file": word}
        agent = Running(mosquitto.port, rows=1, section=section, draw=lambda: 0.0)
        try:
            assert until(lambda: agent.uplink.snapshot()["state"] == "refused")
            assert agent.uplink.snapshot()["reason"]["code"] == "bad-credentials"
            word.unlink()
            assert until(lambda: agent.uplink.snapshot()["reason"]["code"] == "password-file")
            with Central(mosquitto.port, f"{TOPICS.root}/up/#", user="central", password="right"):
                word.write_text("right\n", encoding="utf-8")
                assert until(lambda: agent.uplink.drained)
            assert "right" not in json.dumps(agent.uplink.snapshot())
        finally:
            agent.end()


@needs_mosquitto
@pytest.mark.broker
def test_a_command_travels_to_the_agent_and_its_replies_back(mosquitto: Mosquitto) -> None:
    """Over a real broker, with garbage and an oversized message before it; a stop leaves ``stopped`` behind."""
    mosquitto.start()
    agent = Running(mosquitto.port, rows=0)
    down = f"{TOPICS.root}/down/commands/ping"
    try:
        with Central(mosquitto.port, f"{TOPICS.root}/up/#") as central:
            assert until(lambda: central.bodies(TOPICS.online))
            central.publish(down, b"\xff" * 100)
            central.publish(down, b"x" * 100_000)
            central.publish(down, b"x" * 1_000_000)
            answers = f"{TOPICS.root}/up/answers/desk"
            central.publish(down, command("c-9"), response_topic=answers, correlation=b"9")
            assert until(lambda: len(central.bodies(answers)) == 2)
            replies = [json.loads(body) for body in central.bodies(TOPICS.reply("c-9"))]
            assert [reply["state"] for reply in replies] == ["accepted", "done"]
            assert b"9" in central.correlations
            assert agent.uplink.snapshot()["commands"]["refused"] == {"not-json": 1, "oversized": 1}
            began = time.monotonic()
            agent.end()
            assert time.monotonic() - began < 5
            assert until(lambda: json.loads(central.bodies(TOPICS.online)[-1])["state"] == "stopped")
    finally:
        agent.end()


@needs_mosquitto
@pytest.mark.broker
def test_a_stop_in_the_middle_of_a_backlog_leaves_stopped_behind_every_time(mosquitto: Mosquitto) -> None:
    """Twenty stops while messages flow: what stays retained is ``stopped``, never the will."""
    mosquitto.start()
    with Central(mosquitto.port, f"{TOPICS.root}/up/ledger/#"):
        for _ in range(20):
            agent = Running(mosquitto.port, rows=2_000)
            assert until(lambda: agent.disk.told)  # noqa: B023 - asked at once
            agent.end()
            with Central(mosquitto.port, TOPICS.online) as late:
                assert until(lambda: late.received)
                assert [json.loads(body)["state"] for _, body, _ in late.received] == ["stopped"]


@needs_mosquitto
@pytest.mark.broker
def test_a_killed_agent_is_declared_lost_with_its_connection_number(mosquitto: Mosquitto) -> None:
    """The will carries the boot and the number of the connection that it belongs to."""
    mosquitto.start()
    broker = PahoBroker(MqttSection(host="127.0.0.1", port=mosquitto.port), client_id="device")
    uplink = an_uplink(broker, Outbox())
    with Central(mosquitto.port, f"{TOPICS.root}/up/#") as central:

        def online() -> bool:
            uplink.step(0.05)
            return bool(central.bodies(TOPICS.online))

        assert until(online)
        broker.disconnect(graceful=False)
        assert until(lambda: len(central.bodies(TOPICS.online)) == 2)
        first, last = (json.loads(body) for body in central.bodies(TOPICS.online))
        assert (first["state"], last["state"]) == ("online", "lost")
        assert {**first, "state": ""} == {**last, "state": ""}

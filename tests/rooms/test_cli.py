"""The verbs, called as a person calls them, beside a real daemon and without one."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
import typer.main

from agent import __version__
from agent.cli import main, status
from agent.cli.commands import app
from agent.cli.printing import span, volume
from agent.config import parse
from agent.control.client import ask
from agent.store.schema import hold_write_lock
from daemon import Daemon, daemon, toml
from tiny_models import a_pack
from waiting import until

Config = dict[str, Any]


class Said(NamedTuple):
    """What a verb printed, and how it ended."""

    code: int
    out: str
    err: str


Call = Callable[..., Said]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls the command line with these words."""

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["fieldgate", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Said(code, printed.out, printed.err)

    return run


def a_config(folder: Path) -> Config:
    """A camera that sends pictures, and one that is not there."""
    return {
        "device": {"site": "lab", "name": "dev-1"},
        "cameras": [
            {"name": "sim", "kind": "simulated", "engine": "tiny-trace", "fps": 5.0, "record": "all"},
            {"name": "usb", "kind": "v4l2", "device": "/dev/video99", "engine": "tiny-trace"},
        ],
        "engines": {"tiny-trace": {"pack": a_pack(folder / "pack")}},
        "store": {"dir": folder / "store"},
    }


@pytest.fixture
def resting(tmp_path: Path) -> Path:
    """The config of a device on which no daemon has ever run."""
    path = tmp_path / "config.toml"
    path.write_text(toml(a_config(tmp_path)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that has stored its first records."""
    folder = tmp_path_factory.mktemp("daemon")
    with daemon(folder, a_config(folder)) as one:
        one.start()
        assert until(lambda: one.count("records") >= 2, within_s=60), one.told()
        yield one
        assert one.terminate() == 0


# -- every verb


def every_verb() -> Iterator[tuple[str, Any]]:
    """Each verb with its command."""
    groups = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, command in groups.items():
        inner = getattr(command, "commands", {"": command})
        yield from ((f"{name} {verb}".strip(), one) for verb, one in inner.items())


def test_every_verb_shows_an_example():
    """The help of each verb ends with an example that begins with its own name."""
    verbs = dict(every_verb())
    assert {"run", "demo", "status", "mode", "doctor", "outbox show", "camera list", "config check"} <= set(verbs)
    for name, command in verbs.items():
        assert re.search(rf"Example: fieldgate {name}\b", command.help), name


def test_every_option_is_explained():
    """Each argument and option of each verb has a sentence in --help."""
    assert [(name, one.name) for name, verb in every_verb() for one in verb.params if not one.help] == []


def test_the_version_is_printed(call: Call):
    """--version prints the version and exits with 0."""
    assert call("--version") == Said(0, f"fieldgate {__version__}\n", "")


@pytest.mark.parametrize(
    "words",
    [
        ("no-such-verb",),
        ("run", "--no-such-option"),
        ("demo", "--seconds", "soon"),
        ("demo", "--broker", "host:port"),
        ("camera", "snapshot", "sim"),
        ("mode", "tiny-trace", "shadow", "more"),
        ("outbox",),
        (),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(call: Call, words: tuple[str, ...]):
    """A verb that is called wrongly prints nothing on stdout, one sentence on stderr and exits with 2."""
    said = call(*words)
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("fieldgate: ")
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize("verb", ["status", "mode", "outbox show", "camera list", "config check", "config show"])
def test_a_missing_config_is_exit_code_78(call: Call, tmp_path: Path, verb: str):
    """Every verb that reads the config exits with 78 and one sentence where it cannot."""
    said = call(*verb.split(), "--config", str(tmp_path / "none.toml"))
    assert said.code == 78
    assert "there is no such file" in said.err
    assert len(said.err.splitlines()) == 1


# -- status


def test_status_without_a_daemon_says_so_and_shows_what_the_files_say(call: Call, resting: Path):
    """Where no daemon has run status exits with 1, says that none runs, and shows modes; it writes nothing."""
    said = call("status", "--config", str(resting))
    assert said.code == 1
    assert said.out.startswith("fieldgate is not running on dev-1 at lab.\n")
    assert re.search(r"tiny-trace +shadow", said.out)
    assert not (resting.parent / "store").exists()


def test_status_without_a_daemon_reads_the_database(call: Call, resting: Path):
    """Where a database is left status shows the ledger, what waits and the latest records, also as JSON."""
    assert call("mode", "tiny-trace", "manual", "--reason", "test", "--config", str(resting)).code == 0
    said = call("status", "--json", "--config", str(resting))
    told = json.loads(said.out)
    assert said.code == 1
    assert told["running"] is False
    assert told["modes"] == {"tiny-trace": "manual"}
    assert told["ledger"]["head"] == told["backlog"]["outbox"] == 1
    assert told["latest"] == []


def test_status_begins_with_what_is_wrong(call: Call, agent: Daemon):
    """Beside a daemon status exits with 0; the first section names the camera that is missing and what to do."""
    said = call("status", "--config", str(agent.config))
    assert said.code == 0
    head = said.out.split("\nEngines\n")[0]
    assert "What is wrong" in head
    assert "! camera usb: offline" in head
    assert "/dev/video99 is not there" in head
    assert re.search(r"sim +simulated +running", said.out)
    assert "broker: none is configured" in said.out
    assert re.search(r"milliseconds, p50 / p99: capture to verdict \d+\.\d / \d+\.\d, ", said.out)


def test_status_as_json_is_what_the_daemon_says(call: Call, agent: Daemon):
    """Status --json is the daemon's own answer with running: true."""
    told = json.loads(call("status", "--json", "--config", str(agent.config)).out)
    assert told["running"] is True
    assert told["device"] == "dev-1"
    assert {camera["name"] for camera in told["cameras"]} == {"sim", "usb"}


WELL: dict[str, Any] = {
    "alerts": [],
    "journal": {"state": "writing", "reason": None, "frames_lost": 0},
    "evidence": {"state": "writing", "reason": None, "failed": 0},
    "cameras": [
        {"name": "top", "state": "running", "reason": "", "since": "2026-11-22T09:00:00.000000Z", "overflow": 0}
    ],
    "mode_files": {},
    "uplink": {"state": "connected", "reason": None, "for_s": 3.0, "held": 0, "not_permitted": {}, "commands": {}},
    "upload": {"state": "idle", "reason": None, "failed": 0},
    "backlog": {"outbox": 1_234},
}


@pytest.mark.parametrize(
    ("room", "change", "says"),
    [
        ("journal", {"state": "failing", "reason": "disk full"}, "journal: disk full"),
        ("journal", {"frames_lost": 7}, "journal: 7 frames were inspected and could not be stored"),
        ("evidence", {"state": "failing", "reason": "disk full"}, "evidence: disk full"),
        ("evidence", {"failed": 2}, "evidence: 2 pictures could not be stored"),
        ("mode_files", {"pcb": "is missing"}, "mode of pcb: is missing"),
        (
            "uplink",
            {"state": "offline", "reason": {"code": "network", "text": "no route"}, "for_s": 90.0},
            "broker: offline for 1 min 30 s: no route. 1,234 messages wait on the disk; none is lost.",
        ),
        ("uplink", {"not_permitted": {"up/online": "not authorised"}}, "broker: does not permit up/online"),
        ("upload", {"state": "waiting", "reason": {"code": "http-507", "text": "507"}}, "pictures: waiting: 507"),
        ("upload", {"failed": 3}, "pictures: 3 could not be sent"),
        ("uplink", {"held": 1, "held_messages": [{"seq": 1, "text": "too large"}]}, "1 messages are held"),
    ],
)
def test_what_is_wrong_is_one_sentence_each(room: str, change: dict[str, Any], says: str):
    """Each kind of trouble yields exactly one sentence, and a healthy agent none."""
    assert status.problems(WELL) == []
    (sentence,) = status.problems({**WELL, room: {**WELL[room], **change}})
    assert says in sentence


def test_alerts_about_the_store_are_shown():
    """What the store is short of stands among what is wrong."""
    alert = {"code": "disk-low", "about": "store", "severity": "warning", "text": "3 MB are free", "since": ""}
    assert status.problems({**WELL, "alerts": [alert, {**alert, "about": "broker"}]}) == ["store: 3 MB are free"]


# -- mode


def test_a_change_of_mode_needs_a_reason(call: Call, resting: Path):
    """Mode without --reason exits with 2, shows how it is written, and changes nothing."""
    said = call("mode", "tiny-trace", "manual", "--config", str(resting))
    assert said.code == 2
    assert "--reason" in said.err
    assert json.loads(call("mode", "--json", "--config", str(resting)).out) == {"tiny-trace": "shadow"}


@pytest.mark.parametrize(("engine", "mode"), [("no-such", "manual"), ("tiny-trace", "automatic")])
def test_an_unknown_engine_or_mode_is_wrong_usage(call: Call, resting: Path, engine: str, mode: str):
    """Mode with a name that does not exist exits with 2 and lists those that do."""
    said = call("mode", engine, mode, "--reason", "test", "--config", str(resting))
    assert said.code == 2
    assert "tiny-trace" in said.err or "shadow, production, manual" in said.err


def test_a_mode_can_be_changed_without_a_daemon(call: Call, resting: Path):
    """Without a daemon the file changes and one audit message in the ledger says who, why and by which way."""
    said = call("mode", "tiny-trace", "manual", "--reason", "lamp", "--by", "jo", "--config", str(resting))
    assert said == Said(0, "tiny-trace: shadow -> manual\n", "")
    store = Daemon(resting.parent, {**a_config(resting.parent)})
    assert json.loads((store.store / "modes" / "tiny-trace.json").read_text())["mode"] == "manual"
    ((body,),) = store.ask("SELECT body FROM messages WHERE kind = 'audit'")
    told = json.loads(body)
    assert {key: told[key] for key in ("what", "old", "new", "by", "reason", "way")} == {
        "what": "mode of tiny-trace",
        "old": "shadow",
        "new": "manual",
        "by": "jo",
        "reason": "lamp",
        "way": "cli",
    }


def test_a_change_to_the_same_mode_is_not_recorded(call: Call, resting: Path):
    """A change that changes nothing exits with 0, says so, and adds nothing to the ledger."""
    said = call("mode", "tiny-trace", "shadow", "--reason", "test", "--config", str(resting))
    assert said.code == 0
    assert "nothing was changed" in said.out
    assert Daemon(resting.parent, a_config(resting.parent)).count("messages") == 0


def test_a_mode_is_not_changed_behind_the_back_of_a_process_that_holds_the_store(call: Call, resting: Path):
    """Where the store is held and no daemon answers mode exits with 1 and the mode stays."""
    with hold_write_lock(resting.parent / "store"):
        said = call("mode", "tiny-trace", "manual", "--reason", "test", "--config", str(resting))
    assert said.code == 1
    assert "another fieldgate is running" in said.err
    assert json.loads(call("mode", "--json", "--config", str(resting)).out) == {"tiny-trace": "shadow"}


def test_a_mode_is_changed_through_the_running_daemon(call: Call, agent: Daemon):
    """Beside a daemon the change takes effect there at once, and its audit message names who asked."""
    words = ("tiny-trace", "production", "--reason", "go-live", "--by", "jo", "--config", str(agent.config))
    assert call("mode", *words).out == "tiny-trace: shadow -> production\n"
    assert ask(agent.store / "control.sock", "status")["modes"] == {"tiny-trace": "production"}
    assert until(lambda: agent.ask("SELECT 1 FROM messages WHERE kind = 'audit'"))
    back = ("tiny-trace", "shadow", "--reason", "test over", "--config", str(agent.config), "--json")
    assert json.loads(call("mode", *back).out)["old"] == "production"


# -- evidence


def test_a_picture_is_held_through_the_running_daemon(call: Call, agent: Daemon):
    """Beside a daemon and without one, a record without a picture is one sentence, and a reason is needed."""
    words = ("evidence", "hold", "no-such-record", "--config", str(agent.config))
    assert call(*words).code == 2
    said = call(*words, "--reason", "claim")
    assert (said.code, "no picture of a record 'no-such-record'" in said.err) == (1, True)


# -- outbox, camera, config


def test_the_outbox_shows_what_waits_by_kind(call: Call, agent: Daemon):
    """Outbox show names each kind with count and oldest, and how things stand with the broker."""
    told = json.loads(call("outbox", "show", "--json", "--config", str(agent.config)).out)
    (records,) = [one for one in told["kinds"] if one["kind"] == "inspections"]
    assert records["waiting"] >= 2
    assert records["bytes"] > 0
    assert records["oldest"].endswith("Z")
    assert told["waiting"] == sum(one["waiting"] for one in told["kinds"])
    shown = call("outbox", "show", "--config", str(agent.config))
    assert shown.code == 0
    assert "Broker: none is configured" in shown.out


def test_the_outbox_of_a_device_that_never_ran_is_an_error(call: Call, resting: Path):
    """Without a database outbox show exits with 1 and says that there is none yet."""
    said = call("outbox", "show", "--config", str(resting))
    assert said.code == 1
    assert "there is no database yet" in said.err


def test_cameras_are_listed_with_their_state(call: Call, agent: Daemon, resting: Path):
    """Camera list shows every camera of the config, with its state where a daemon runs."""
    rows = json.loads(call("camera", "list", "--json", "--config", str(agent.config)).out)
    assert [(row["name"], row["kind"], row["state"]) for row in rows] == [
        ("sim", "simulated", "running"),
        ("usb", "v4l2", "offline"),
    ]
    alone = json.loads(call("camera", "list", "--json", "--config", str(resting)).out)
    assert [row["state"] for row in alone] == [None, None]


@pytest.mark.parametrize("beside_a_daemon", [True, False])
def test_a_snapshot_is_a_picture(call: Call, agent: Daemon, resting: Path, tmp_path: Path, *, beside_a_daemon: bool):
    """Camera snapshot writes a JPEG of the camera's size, from the daemon or from the camera itself."""
    path = agent.config if beside_a_daemon else resting
    to = tmp_path / "sim.jpg"
    said = call("camera", "snapshot", "sim", "--to", str(to), "--config", str(path))
    assert said.code == 0
    image = cv2.imdecode(np.fromfile(to, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (480, 640, 3)
    assert "640 x 480" in said.out


@pytest.mark.parametrize(("name", "code"), [("usb", 1), ("no-such", 2)])
def test_a_snapshot_of_a_camera_that_is_not_there_fails(
    call: Call, resting: Path, tmp_path: Path, name: str, code: int
):
    """Camera snapshot exits with 1 for a camera that does not answer, 2 for a name that does not exist."""
    said = call("camera", "snapshot", name, "--to", str(tmp_path / "x.jpg"), "--config", str(resting))
    assert said.code == code
    assert len(said.err.splitlines()) == 1
    assert not (tmp_path / "x.jpg").exists()


def test_a_good_config_is_said_to_be_good(call: Call, resting: Path):
    """Config check exits with 0 where everything that the file names is there."""
    said = call("config", "check", "--config", str(resting))
    assert (said.code, said.err) == (0, "")


def test_every_fault_of_a_config_is_told(call: Call, tmp_path: Path):
    """Config check exits with 78 and tells each fault of what the file points to on a line of its own."""
    config = a_config(tmp_path)
    config["engines"]["tiny-trace"]["pack"] = tmp_path / "nowhere"
    config["mqtt"] = {"host": "broker", "username": "dev", "password_file": tmp_path / "no-secret"}
    path = tmp_path / "config.toml"
    path.write_text(toml(config), encoding="utf-8")
    said = call("config", "check", "--config", str(path))
    assert said.code == 78
    assert [word in line for word, line in zip(("nowhere", "no-secret"), said.err.splitlines(), strict=True)] == [
        True,
        True,
    ]


def test_the_effective_settings_are_shown_with_where_they_come_from(
    call: Call, resting: Path, monkeypatch: pytest.MonkeyPatch
):
    """Config show prints valid TOML that means the same as what is in effect, and tells file, variable and default."""
    monkeypatch.setenv("FIELDGATE_MQTT__WINDOW", "7")
    monkeypatch.setenv("FIELDGATE_CAMERAS__0__FPS", "9")
    said = call("config", "show", "--config", str(resting))
    assert 'site = "lab"  # from the file' in said.out
    assert "window = 7  # from FIELDGATE_MQTT__WINDOW" in said.out
    assert "fps = 9.0  # from FIELDGATE_CAMERAS__0__FPS" in said.out
    assert "port = 1883  # default" in said.out
    assert parse(said.out, where="shown").mqtt.window == 7


def test_a_password_is_never_shown(call: Call, resting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Config show names the file of a password and never holds its content."""
    secret = tmp_path / "secret"
    secret.write_text("open sesame\n", encoding="utf-8")
    monkeypatch.setenv("FIELDGATE_MQTT__PASSWORD_FILE", str(secret))
    for words in (("config", "show"), ("config", "show", "--json"), ("config", "check"), ("status",)):
        said = call(*words, "--config", str(resting))
        assert "sesame" not in said.out + said.err
    assert str(secret) in call("config", "show", "--config", str(resting)).out


# -- words


@pytest.mark.parametrize(
    ("seconds", "says"), [(0.2, "0 s"), (8, "8 s"), (725, "12 min 5 s"), (3600, "1 h"), (273_600, "3 d 4 h")]
)
def test_a_span_is_told_in_its_two_largest_units(seconds: float, says: str):
    """A time span reads as a person would say it."""
    assert span(seconds) == says


@pytest.mark.parametrize(("count", "says"), [(512, "512 B"), (1_400_000, "1.4 MB"), (None, "?")])
def test_a_volume_is_told_in_the_unit_that_fits(count: int | None, says: str):
    """A number of bytes reads as a person would say it."""
    assert volume(count) == says

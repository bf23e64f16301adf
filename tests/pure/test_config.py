from pathlib import Path

import pytest

pytest.importorskip("pydantic_settings")

from agent.config import Config, build, environment_keys, load, parse
from agent.errors import ConfigError

ENGINE = '[engines.pcb]\npack = "packs/pcb"\n'
CAMERA = '[[cameras]]\nname = "top"\nengine = "pcb"\nkind = "simulated"\n'
GOOD = ENGINE + CAMERA
RTSP = ENGINE + CAMERA.replace("simulated", "rtsp")
FOLDER = ENGINE + CAMERA.replace("simulated", "folder") + 'path = "in"\n'


def complaint(text: str) -> str:
    """What is said about a wrong file, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        parse(text, where="f.toml")
    message = str(caught.value)
    assert message.startswith("f.toml: ")
    assert "\n" not in message
    return message.removeprefix("f.toml: ")


def test_an_empty_file_is_all_defaults():
    """Every key but a camera's and an engine's own has a default."""
    config = parse("", where="f.toml")
    assert config.cameras == ()
    assert config.topic_root == "fieldgate/1/site/device"
    assert config.client_id == "fieldgate-site-device"
    assert config.control_socket == Path("/var/lib/fieldgate/control.sock")


def test_settings_cannot_be_changed():
    """What was read stays as it was read."""
    config = parse(GOOD, where="f.toml")
    with pytest.raises(ValueError, match="frozen"):
        config.store.queue = 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "[stoore]\n", "unknown key 'stoore'; did you mean 'store'?"),
        (GOOD + "[store]\ndri = 'x'\n", "unknown key 'store.dri'; did you mean 'dir'?"),
        (GOOD + "[store]\nzzzzzz = 1\n", "unknown key 'store.zzzzzz'"),  # nothing is near
        (GOOD + "fsp = 3\n", "unknown key 'cameras.0.fsp'; did you mean 'fps'?"),
        (GOOD + "[cameras.subject]\nprat = 'x'\n", "unknown key 'cameras.0.subject.prat'; did you mean 'part'?"),
        (GOOD + "url = 'rtsp://h/p'\n", "'cameras.0.url': a camera of kind 'simulated' has no such key"),
        (ENGINE + "pakc = 'x'\n", "unknown key 'engines.pcb.pakc'; did you mean 'pack'?"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(text, message):
    """A key that does not exist is an error that says where it stands and what was probably meant."""
    assert complaint(text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[engines.pcb]\n", "'engines.pcb.pack' is missing"),
        (GOOD.replace('name = "top"\n', ""), "'cameras.0.name' is missing"),
        (RTSP, "'cameras.0.url' is missing"),
        (
            GOOD.replace('kind = "simulated"\n', ""),
            "'cameras.0.kind' is missing; it says what sort of camera this is",
        ),
        (GOOD + "region = [0, 0, 5]\n", "'cameras.0.region.3' is missing"),
    ],
)
def test_what_is_missing_is_named(text, message):
    """A key without a default that is not there is named with its place."""
    assert complaint(text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[store]\nqueue = 'many'\n", "'store.queue': must be a whole number (found 'many')"),
        ("[store]\nqueue = 9.5\n", "'store.queue': must be a whole number (found 9.5)"),
        ("[store]\nqueue = 1\n", "'store.queue': must be at least 8 (found 1)"),
        ("[store]\ndir = 3\n", "'store.dir': must be a path (found 3)"),
        ("[mqtt]\nport = 70000\n", "'mqtt.port': must be at most 65535 (found 70000)"),
        ("[mqtt]\nack_timeout_s = 0\n", "'mqtt.ack_timeout_s': must be more than 0.0 (found 0)"),
        ("[mqtt]\nack_timeout_s = inf\n", "'mqtt.ack_timeout_s': must be a number, not infinite (found inf)"),
        ("[mqtt]\nack_timeout_s = nan\n", "'mqtt.ack_timeout_s': must be a number, not infinite (found nan)"),
        ("[mqtt]\nack_timeout_s = 'x'\n", "'mqtt.ack_timeout_s': must be a number (found 'x')"),
        ("[mqtt]\ntls = 'perhaps'\n", "'mqtt.tls': must be true or false (found 'perhaps')"),
        ("[mqtt]\nhost = 5\n", "'mqtt.host': must be text (found 5)"),
        (
            "[monitor]\nlog_level = 'loud'\n",
            "'monitor.log_level': must be 'debug', 'info', 'warning' or 'error' (found 'loud')",
        ),
        (
            "[device]\ntimezone = 'Mars/Olympus'\n",
            "'device.timezone': no such time zone; write one such as Europe/Berlin (found 'Mars/Olympus')",
        ),
        ("store = 3\n", "'store': must be a table (found 3)"),
        ("cameras = 3\n", "'cameras': must be a list (found 3)"),
        (
            "[cameras]\nname = 'top'\n",
            "'cameras': write [[cameras]] in the file, and FIELDGATE_CAMERAS__0__KEY in the environment",
        ),
        (
            GOOD.replace("simulated", "webcam"),
            "'cameras.0.kind': there is no 'webcam'; it is one of 'folder', 'video', 'v4l2', 'rtsp', 'simulated'",
        ),
        (
            GOOD + "region = [10, 10, 5, 20]\n",
            "'cameras.0.region': a region is x1, y1, x2, y2 with 0 <= x1 < x2 and 0 <= y1 < y2 (found [10, 10, 5, 20])",
        ),
        (
            FOLDER + "trigger = 'mqtt'\n",
            "'cameras.0': a folder or video file cannot be triggered over mqtt; use continuous or interval",
        ),
    ],
)
def test_a_wrong_value_says_what_is_wanted_and_what_was_found(text, message):
    """A value of the wrong type or out of its range names the key, what it must be, and what stands there."""
    assert complaint(text) == message


@pytest.mark.parametrize("name", ["", "to p", "a/b", "a+b", "#", "ü", "a" * 65])
@pytest.mark.parametrize("place", ["device.site", "device.name", "cameras.0.name"])
def test_names_fit_into_topics(name, place):
    """Names are 1 to 64 letters, digits, '-' or '_', since they become parts of topics."""
    section, _, key = place.rpartition(".")
    text = GOOD.replace('"top"', f'"{name}"') if section == "cameras.0" else f'[{section}]\n{key} = "{name}"\n'
    assert complaint(text).startswith(f"'{place}': use 1 to 64 letters, digits, '-' or '_' (found ")


def test_no_device_is_called_all():
    """'all' addresses every device of a site, so no device is called that."""
    assert "'all' addresses every device" in complaint("[device]\nname = 'all'\n")


def test_two_cameras_need_two_names():
    """Two cameras of one name are refused."""
    assert complaint(GOOD + CAMERA) == "cameras: two cameras are called 'top'"


@pytest.mark.parametrize(
    ("text", "there"), [(GOOD.replace('engine = "pcb"', 'engine = "pbc"'), "pcb"), (CAMERA, "none")]
)
def test_a_camera_needs_its_engine(text, there):
    """A camera that names an engine without a table is refused, and the message says which tables exist."""
    message = complaint(text)
    assert "'top' names the engine 'p" in message
    assert message.endswith(f"(there: {there})")


def test_all_problems_are_said_at_once():
    """Several mistakes make one message that names them all."""
    message = complaint(GOOD + "[store]\nqueue = 1\ndri = 'x'\n[mqtt]\nport = 'x'\n")
    assert [key in message for key in ("store.queue", "store.dri", "mqtt.port")] == [True] * 3


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://operator:hunter2@10.0.0.9/stream",
        "rtsp://operator:hun/ter2@10.0.0.9/stream",
        "rtsps://hunter2@10.0.0.9/stream",
        "http://operator:hunter2@10.0.0.9/stream",
        "rtsp:operator:hunter2@10.0.0.9",
        "rtsp://operator:it's hunter2@10.0.0.9/stream",
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(url):
    """An address that holds a user or password is refused, and the message holds neither."""
    message = complaint(RTSP + f'url = "{url}"\n')
    assert "'cameras.0.url'" in message
    assert "ter2" not in message
    assert "operator" not in message


@pytest.mark.parametrize("url", ["rtsp://", "rtsp:///stream", "rtsp://host:port/x", "rtsp://a b/x"])
def test_an_address_needs_a_host(url):
    """An address without a host, or with a port that is no number, is refused."""
    assert "must be rtsp://host:port/path" in complaint(RTSP + f'url = "{url}"\n')


@pytest.mark.parametrize("url", ["rtsp://cam-7.local/stream", "rtsps://10.0.0.9:554/a?b=c", "rtsp://[fe80::1]:8554/x"])
def test_good_addresses(url):
    """Names, IPv4 and IPv6 addresses, with or without a port, are fine."""
    assert parse(RTSP + f'url = "{url}"\n', where="f.toml").cameras[0].kind == "rtsp"


def test_a_missing_file_says_what_to_do(tmp_path):
    """A file that is not there is named, with the way to give another one."""
    with pytest.raises(ConfigError, match=r"config\.toml: there is no such file\. Give one with --config"):
        load(tmp_path / "config.toml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[store\n", "is not valid TOML: .*line 1"),
        (b"\xff\xfe\x00", "cannot be read: "),
        (b"a = 1\na = 2\n", "is not valid"),
    ],
)
def test_a_malformed_file_says_where(tmp_path, content, message):
    """What is not TOML, or not text, is named with its file."""
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"{path}: {message}"):
        load(path)


def test_a_folder_is_no_file(tmp_path):
    """A folder in place of the file is an error of the settings, not a crash."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "read", "expected"),
    [
        ("FIELDGATE_STORE__QUEUE", "99", lambda c: c.store.queue, 99),
        ("fieldgate_store__queue", "99", lambda c: c.store.queue, 99),
        ("FIELDGATE_MQTT__TLS", "true", lambda c: c.mqtt.tls, True),
        ("FIELDGATE_MQTT__PASSWORD_FILE", "/run/x", lambda c: c.mqtt.password_file, Path("/run/x")),
        ("FIELDGATE_CAMERAS__0__FPS", "3.5", lambda c: c.cameras[0].fps, 3.5),
        ("FIELDGATE_CAMERAS__1__NAME", "left", lambda c: [one.name for one in c.cameras], ["top", "left"]),
        ("FIELDGATE_CAMERAS__0__SUBJECT__PART", "A", lambda c: c.cameras[0].subject.part, "A"),
        ("FIELDGATE_CAMERAS__0__REGION", "0, 0, 64, 48", lambda c: c.cameras[0].region, (0, 0, 64, 48)),
        ("FIELDGATE_ENGINES__PCB__PACK", "/q", lambda c: c.engines["pcb"].pack, Path("/q")),
    ],
)
def test_every_key_can_be_set_in_the_environment(monkeypatch, name, value, read, expected):
    """A variable stands above the file; cameras are reached by their place in it."""
    monkeypatch.setenv(name, value)
    second = CAMERA.replace("top", "second")
    config = parse(GOOD + second, where="f.toml")
    assert read(config) == expected
    assert config.cameras[0].name == "top"  # the file's other keys stand
    assert environment_keys() == [name]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("FIELDGATE_STORE__QEUE", "1", "unknown key 'store.qeue'; did you mean 'queue'?"),
        ("FIELDGATE_STORE__QUEUE", "x", "'store.queue': must be a whole number (found 'x')"),
        (
            "FIELDGATE_STROE__QUEUE",
            "1",
            "the variable FIELDGATE_STROE__QUEUE sets nothing: unknown key 'stroe'; did you mean 'store'?",
        ),
        ("FIELDGATE_CAMERAS__TOP__FPS", "3", "'cameras': write [[cameras]] in the file, and "),
        ("FIELDGATE_CAMERAS", "[1", "the environment holds a value that cannot be read: "),
    ],
)
def test_a_wrong_variable_is_an_error_too(monkeypatch, name, value, message):
    """A variable with a mistyped key or a wrong value is named like a key of the file."""
    monkeypatch.setenv(name, value)
    assert complaint(GOOD).startswith(message)


def test_other_variables_are_left_alone(monkeypatch):
    """A variable that only shares the prefix, without a section and a key, is not ours."""
    monkeypatch.setenv("FIELDGATE_HOME", "/x")
    assert parse(GOOD, where="f.toml").engines["pcb"].pack == Path("packs/pcb")


def test_a_table_is_as_good_as_a_file():
    """The demo and the tests may give the settings as a table; its mistakes are told the same way."""
    assert isinstance(build({"device": {"name": "cam-7"}}, where="the demo"), Config)
    with pytest.raises(ConfigError, match=r"^the demo: unknown key 'devise'; did you mean 'device'\?$"):
        build({"devise": {}}, where="the demo")


@pytest.mark.parametrize(
    ("text", "untriggered", "triggered"),
    [
        (GOOD, "notable", "all"),  # a live camera
        (GOOD + "trigger = 'interval'\n", "notable", "all"),
        (GOOD + "trigger = 'mqtt'\n", "all", "all"),
        (FOLDER, "all", "all"),
        (GOOD + "record = 'all'\n", "all", "all"),
        (FOLDER + "record = 'notable'\n", "notable", "notable"),
    ],
)
def test_what_is_recorded_by_default(text, untriggered, triggered):
    """With record auto, files and triggered frames are all recorded, a live camera's other frames where notable."""
    camera = parse(text, where="f.toml").cameras[0]
    assert (camera.records(triggered=False), camera.records(triggered=True)) == (untriggered, triggered)

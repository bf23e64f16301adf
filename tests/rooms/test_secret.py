import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest
import structlog

from agent import logs
from agent.errors import ConfigError
from agent.secret import CONCEALED, conceal, located, secret


def test_a_secret_is_the_first_line_of_its_file(tmp_path):
    """The password is the first line, without its end; no file named is no password."""
    path = tmp_path / "password"
    path.write_text("hunter2 \nsecond line\n", encoding="utf-8")
    assert secret(path, what="mqtt.password_file") == "hunter2 "
    assert secret(None, what="mqtt.password_file") is None


@pytest.mark.parametrize("content", [b"", b"\nhunter2\n"])
def test_an_empty_secret_is_an_error(tmp_path, content):
    """A file without a password in its first line is named, and nothing of its content is shown."""
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"mqtt.password_file: the file {path} is empty") as caught:
        secret(path, what="mqtt.password_file")
    assert "hunter2" not in str(caught.value)


def test_a_secret_that_cannot_be_read_is_an_error(tmp_path):
    """A file that is missing or not text is named with the reason, and nothing of its content is shown."""
    path = tmp_path / "password"
    with pytest.raises(ConfigError, match=f"the file {path} cannot be read: No such file"):
        secret(path, what="mqtt.password_file")
    path.write_bytes(b"hunter2\xff")
    with pytest.raises(ConfigError, match="cannot be read: it is not text") as caught:
        secret(path, what="mqtt.password_file")
    assert "hunter2" not in str(caught.value)
    assert os.fspath(path) in str(caught.value)


def test_a_credential_of_systemd_is_read_like_a_file(tmp_path, monkeypatch):
    """``credential:NAME`` is the file of that name in the folder that systemd made for this process."""
    (tmp_path / "mqtt-password").write_text("opened by systemd\n", encoding="utf-8")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert secret(Path("credential:mqtt-password"), what="mqtt.password_file") == "opened by systemd"


def test_a_credential_without_systemd_is_an_error_that_says_what_to_do(monkeypatch):
    """Started by hand there are no credentials: the message names the key and the line of the unit."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConfigError, match=r"mqtt\.key_file: .*LoadCredential=device-key:"):
        located(Path("credential:device-key"), what="mqtt.key_file")


@pytest.mark.parametrize("name", ["", "../etc/shadow", "a/b", ".hidden"])
def test_a_credentials_name_leads_nowhere_else(tmp_path, monkeypatch, name):
    """It is one plain name, so that no path leaves the folder of the credentials."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(ConfigError, match="is no credential"):
        located(Path(f"credential:{name}"), what="mqtt.key_file")


@pytest.mark.parametrize("value", ['hunter2"', "a\\b c/d?e", "höchst geheim", "x1"])
def test_a_secret_that_was_read_is_taken_out_of_every_text(tmp_path, value):
    """As it is, inside JSON, inside an address, and in the form that Python shows."""
    path = tmp_path / "password"
    path.write_text(value, encoding="utf-8")
    secret(path, what="mqtt.password_file")
    for text in (
        f"refused: {value}!",
        json.dumps({"said": value}),
        repr(value),
        f"https://host/{quote(value, safe='')}",
    ):
        assert CONCEALED in conceal(text)
        assert value not in conceal(text)


def test_a_short_secret_does_not_spoil_other_words(tmp_path):
    """One of three characters or fewer is taken out only where it stands alone."""
    path = tmp_path / "password"
    path.write_text("qz\n", encoding="utf-8")
    secret(path, what="mqtt.password_file")
    assert conceal("qz and aqzb") == f"{CONCEALED} and aqzb"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("rtsp://admin:letmein@camera:554/1", "camera:554/1"),
        ("Authorization: Bearer abc.def-123", "Authorization"),
        ('{"password": "letmein", "x": 1}', '"x": 1'),
        ("token=letmein&part=3", "part=3"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEv\n-----END PRIVATE KEY-----\nafter", "after"),
    ],
)
def test_what_has_the_form_of_a_secret_is_taken_out_too(text, kept):
    """Also where nobody told the agent that it is one; what stands around it stays."""
    shown = conceal(text)
    assert kept in shown
    assert not any(word in shown for word in ("letmein", "abc.def", "MIIEv", "admin"))


def test_the_names_of_keys_are_no_secrets():
    """Paths of secrets' files stay readable."""
    text = 'mqtt.password_file = "/etc/fieldgate/password", token_file = "credential:upload"'
    assert conceal(text) == text


def test_no_line_of_the_log_holds_a_secret(tmp_path):
    """Whatever a library puts into its message, and in whichever form lines are written."""
    path = tmp_path / "password"
    path.write_text("correct horse\n", encoding="utf-8")
    secret(path, what="mqtt.password_file")
    with (tmp_path / "log").open("w+", encoding="utf-8") as log:
        logs.set_up("info", log)
        structlog.get_logger().warning("uplink", reason="login with correct horse failed", url="rtsp://a:b@host/")
        structlog.reset_defaults()
        log.seek(0)
        said = log.read()
    assert "uplink" in said
    assert "correct horse" not in said
    assert "a:b" not in said

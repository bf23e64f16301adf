"""Pictures by HTTPS, against a real server that cuts the line, refuses, is full, slow or a stranger."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.config.upload import UploadSection
from agent.store.pictures import KeptPicture
from agent.sync.delivery import Meaning, Outcome
from agent.sync.https import Https
from certificates import authority, certificate
from picture_server import PictureServer
from waiting import until

Ways = Callable[..., Https]
BODY = bytes(range(256)) * 800
"""204,800 bytes: more than sockets buffer before anybody reads."""
RECORD = "0193-a"
PATH = f"/plant-a/cam-7/{RECORD}.jpg"


def a_picture(body: bytes = BODY, record: str = RECORD) -> KeptPicture:
    """The row of a picture with these bytes."""
    sha256 = hashlib.sha256(body).hexdigest()
    at = "2026-11-22T09:00:00.123456Z"
    path = f"2026-11-22/{record}.jpg"
    return KeptPicture(record, "top", "fail", path, len(body), sha256, at, "kept", asked=False, held=False, attempts=0)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two authorities, and the server's certificate."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ca", "stranger"):
        authority(folder, name)
    certificate(folder, "server", address="IP:127.0.0.1")
    return folder


@pytest.fixture
def server(keys: Path) -> Iterator[PictureServer]:
    """A server that takes everything."""
    with PictureServer(keys).running() as one:
        yield one


@pytest.fixture
def way_to(keys: Path) -> Iterator[Callable[..., Https]]:
    """Makes ways to a server, with settings beside its address; they are closed at the end."""
    made: list[Https] = []

    def make(server: PictureServer, *, stop: threading.Event | None = None, **settings: object) -> Https:
        known = {"how": "https", "url": server.url, "ca_file": keys / "ca.crt", "timeout_s": 5}
        section = UploadSection.model_validate({**known, **settings})
        made.append(Https(section, site="plant-a", device="cam-7", stop=stop or threading.Event()))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def way(server: PictureServer, way_to: Ways) -> Https:
    """The way to that server."""
    return way_to(server)


def test_a_picture_arrives_as_it_is(way: Https, server: PictureServer) -> None:
    """The server gets its bytes, its hash and its type, at the address that the template makes."""
    outcome = way.send(a_picture(), BODY)
    assert outcome == Outcome(Meaning.STORED, sent=len(BODY), url=f"https://127.0.0.1:{server.port}{PATH}")
    assert server.stored == {PATH: BODY}
    (put,) = server.puts()
    assert put.headers["content-type"] == "image/jpeg"
    assert put.headers["repr-digest"].startswith("sha-256=:")
    assert "content-range" not in put.headers


def test_the_connection_is_used_again(way: Https, server: PictureServer) -> None:
    """Ten pictures go over one connection."""
    for number in range(10):
        assert way.send(a_picture(record=f"r{number}"), BODY).meaning is Meaning.STORED
    assert len(server.stored) == 10
    assert server.connections == 1


def test_what_the_server_has_already_is_not_sent_again(way: Https, server: PictureServer) -> None:
    """After a restart between the answer and the commit not one byte goes a second time."""
    server.stored[PATH] = BODY
    outcome = way.send(a_picture(), BODY)
    assert (outcome.meaning, outcome.sent) == (Meaning.STORED, 0)
    assert server.puts() == []


def test_after_a_cut_the_rest_goes_where_the_server_kept_the_beginning(way: Https, server: PictureServer) -> None:
    """The first 50,000 bytes are not sent again, and what is stored is the whole."""
    server.resumes = True
    server.steps.append(("cut", 50_000))
    cut = way.send(a_picture(), BODY)
    assert (cut.meaning, cut.code) == (Meaning.LATER, "network")
    again = way.send(a_picture(), BODY)
    assert (again.meaning, again.sent) == (Meaning.STORED, len(BODY) - 50_000)
    assert server.puts()[1].headers["content-range"] == f"bytes 50000-{len(BODY) - 1}/{len(BODY)}"
    assert server.stored == {PATH: BODY}


def test_after_a_cut_a_plain_server_gets_the_whole(way: Https, server: PictureServer) -> None:
    """A server that says nothing about what it kept is never sent a part that it would take for the whole."""
    server.steps.append(("cut", 50_000))
    assert way.send(a_picture(), BODY).meaning is Meaning.LATER
    again = way.send(a_picture(), BODY)
    assert (again.meaning, again.sent) == (Meaning.STORED, len(BODY))
    assert server.stored == {PATH: BODY}


def test_a_server_that_refuses_the_rest_gets_the_whole(way: Https, server: PictureServer) -> None:
    """It promised to resume and then did not: the next attempt begins anew."""
    server.resumes = True
    server.steps.extend([("cut", 50_000), 409])
    assert way.send(a_picture(), BODY).code == "network"
    assert way.send(a_picture(), BODY).code == "rest-refused"
    assert way.send(a_picture(), BODY).meaning is Meaning.STORED
    assert "content-range" not in server.puts()[2].headers
    assert server.stored == {PATH: BODY}


def test_a_server_without_head_gets_the_picture_all_the_same(way: Https, server: PictureServer) -> None:
    """HEAD is a question, not a condition."""
    server.answers_head = False
    assert way.send(a_picture(), BODY).meaning is Meaning.STORED


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (400, Meaning.REFUSED),
        (413, Meaning.REFUSED),
        (403, Meaning.FORBIDDEN),
        (404, Meaning.FORBIDDEN),
        (301, Meaning.FORBIDDEN),
        (429, Meaning.LATER),
        (500, Meaning.LATER),
        (503, Meaning.LATER),
        (507, Meaning.LATER),
    ],
)
def test_an_answer_in_the_middle_of_the_body_is_understood(
    way: Https, server: PictureServer, status: int, meaning: Meaning
) -> None:
    """The server answers before it has read the picture; the next one finds a connection again."""
    server.steps.append(status)
    outcome = way.send(a_picture(), BODY)
    assert (outcome.meaning, outcome.code) == (meaning, f"http-{status}")
    assert str(status) in outcome.text
    assert outcome.alarming == (status == 507)
    assert server.stored == {}
    assert way.send(a_picture(record="next"), BODY).meaning is Meaning.STORED


def test_a_token_is_read_at_each_picture_and_never_shown(way_to: Ways, server: PictureServer, tmp_path: Path) -> None:
    """A wrong one is refused without being told; a new one needs no restart."""
    server.token = "the right one"
    token = tmp_path / "token"
    token.write_text("the wrong one\n", encoding="utf-8")
    way = way_to(server, token_file=token)
    refused = way.send(a_picture(), BODY)
    assert (refused.meaning, refused.code) == (Meaning.FORBIDDEN, "http-401")
    assert "the wrong one" not in refused.text
    token.write_text("the right one\n", encoding="utf-8")
    assert way.send(a_picture(), BODY).meaning is Meaning.STORED


def test_a_token_that_cannot_be_read_is_a_matter_of_settings(
    way_to: Ways, server: PictureServer, tmp_path: Path
) -> None:
    """The message names the key and the file; nothing is sent."""
    way = way_to(server, token_file=tmp_path / "nowhere")
    outcome = way.send(a_picture(), BODY)
    assert (outcome.meaning, outcome.code) == (Meaning.FORBIDDEN, "settings")
    assert "upload.token_file" in outcome.text
    assert server.requests == []


def test_a_server_of_a_strange_authority_gets_nothing(way_to: Ways, server: PictureServer, keys: Path) -> None:
    """Its certificate is not signed by ``upload.ca_file``."""
    way = way_to(server, ca_file=keys / "stranger.crt")
    outcome = way.send(a_picture(), BODY)
    assert (outcome.meaning, outcome.code) == (Meaning.FORBIDDEN, "tls")
    assert "upload.ca_file" in outcome.text
    assert server.requests == []


def test_a_server_that_is_not_there_is_a_reason_and_no_crash(way_to: Ways, server: PictureServer) -> None:
    """Nobody listens on the port."""
    way = way_to(server, url="https://127.0.0.1:1/{record}")
    assert (way.send(a_picture(), BODY).meaning, way.send(a_picture(), BODY).code) == (Meaning.LATER, "network")


def test_a_silent_server_is_given_up(way_to: Ways, server: PictureServer) -> None:
    """After ``upload.timeout_s`` the attempt ends; nobody waits for ever."""
    server.answering.clear()
    way = way_to(server, timeout_s=0.3)
    assert way.send(a_picture(), BODY).code == "timeout"


def test_a_stop_ends_a_picture_on_its_way(way_to: Ways, server: PictureServer) -> None:
    """The bytes go slowly, the agent stops, and the attempt is over at once."""
    stop = threading.Event()
    way = way_to(server, stop=stop, kb_per_s=20)
    came: list[Outcome] = []
    thread = threading.Thread(target=lambda: came.append(way.send(a_picture(), BODY)))
    thread.start()
    assert until(lambda: server.puts() and server.puts()[0].read > 0)
    stop.set()
    thread.join(5)
    assert came[0].code == "stopped"
    assert 0 < came[0].sent < len(BODY)


def test_bytes_go_no_faster_than_allowed(way_to: Ways, server: PictureServer) -> None:
    """With 400 kB per second 200 kB take half a second, less the last piece that is not waited for."""
    way = way_to(server, kb_per_s=400)
    began = time.monotonic()
    assert way.send(a_picture(), BODY).meaning is Meaning.STORED
    assert time.monotonic() - began >= 0.9 * (len(BODY) - 16_384) / 400_000


def test_a_server_that_wants_a_certificate_gets_it(way_to: Ways, keys: Path) -> None:
    """Mutual TLS for pictures too: without the device's certificate the line is cut, with it the picture is stored."""
    certificate(keys, "device", address="DNS:device")
    with PictureServer(keys, client_authority="ca").running() as server:
        assert way_to(server).send(a_picture(), BODY).meaning is not Meaning.STORED
        files = {"cert_file": keys / "device.crt", "key_file": keys / "device.key"}
        assert way_to(server, **files).send(a_picture(), BODY).meaning is Meaning.STORED

"""Pictures by HTTPS PUT, and the only file that knows httpx.

A ``HEAD`` asks first what the server has. A server that keeps what came before a line broke says so with
``Upload-Offset``, and gets the rest with ``Content-Range``; every other gets the whole picture by a plain PUT, and is
never sent a part that it would take for the whole. docs/reference/upload.md is the server's side of it.
"""

import base64
import re
import threading
import time
from collections.abc import Iterator
from typing import Final

import httpx

from agent.config.upload import UploadSection
from agent.errors import ConfigError
from agent.secret import conceal, secret
from agent.store.pictures import KeptPicture
from agent.sync.credentials import Unusable, tls_context
from agent.sync.delivery import FULL, Meaning, Outcome, meaning_of

_CHUNK: Final = 16 * 1024
_NOT_THERE: Final = frozenset({404, 410})
_NO_HEAD: Final = frozenset({405, 501})
_NOT_THE_REST: Final = frozenset({400, 409, 416, 422, 501})
_OK: Final = range(200, 300)
_DIGEST: Final = re.compile(r"sha-256=:([A-Za-z0-9+/=]+):")
_CONNECTIONS: Final = httpx.Limits(max_connections=1, keepalive_expiry=60)


class Https:
    """Sends pictures to one server, on the caller's thread.

    Certificates are read at each connection, the token at each picture: replacing a file needs no restart.

    Args:
        settings: Where and how.
        site: This device's.
        device: This device's.
        stop: Set: what is being sent is given up.
    """

    name = "https"

    def __init__(self, settings: UploadSection, *, site: str, device: str, stop: threading.Event) -> None:
        self._settings = settings
        self._names = {"site": site, "device": device}
        self._stop = stop
        self._client: httpx.Client | None = None
        self._whole: str | None = None

    def send(self, picture: KeptPicture, body: bytes) -> Outcome:
        """Send one picture, or what the server does not have of it yet."""
        passage = _Passage(body, self._settings.kb_per_s * 1000, self._stop)
        try:
            outcome = self._delivered(picture, body, passage)
        except (Unusable, ConfigError) as fault:
            outcome = Outcome(Meaning.FORBIDDEN, "settings", str(fault))
        except _Stopped:
            outcome = Outcome(Meaning.LATER, "stopped", "the agent stops", passage.sent)
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            outcome = _broken(fault, passage.sent)
        if outcome.meaning is not Meaning.STORED:
            self.close()
        return outcome

    def close(self) -> None:
        """Give up the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _delivered(self, picture: KeptPicture, body: bytes, passage: "_Passage") -> Outcome:
        url = self._settings.url.format(
            record=picture.record, camera=picture.camera, day=picture.captured_at[:10], **self._names
        )
        if self._client is None:
            self._client = httpx.Client(
                verify=tls_context(self._settings, "upload"),
                timeout=self._settings.timeout_s,
                limits=_CONNECTIONS,
                trust_env=False,
            )
        identity = {"Authorization": f"Bearer {token}"} if (token := self._token()) else {}
        digest = base64.b64encode(bytes.fromhex(picture.sha256)).decode()
        looked = self._client.head(url, headers=identity)
        if (known := _known(looked, len(body), digest)) is not None:
            return known
        offset = 0 if self._whole == picture.record else _offset(looked, len(body), digest)
        headers = {
            **identity,
            "Content-Type": "image/jpeg",
            "Content-Length": str(len(body) - offset),
            "Repr-Digest": f"sha-256=:{digest}:",
        }
        if offset:
            headers["Content-Range"] = f"bytes {offset}-{len(body) - 1}/{len(body)}"
        answer = self._client.put(url, content=passage.chunks(offset), headers=headers)
        if offset and answer.status_code in _NOT_THE_REST:
            self._whole = picture.record
            text = f"the server does not take the rest ({answer.status_code}); the whole picture is next"
            return Outcome(Meaning.LATER, "rest-refused", text, passage.sent)
        self._whole = None
        return _judged(answer, url, passage.sent)

    def _token(self) -> str | None:
        return secret(self._settings.token_file, what="upload.token_file")


def _known(looked: httpx.Response, size: int, digest: str) -> Outcome | None:
    """What the server's answer to HEAD settles by itself; None: the picture is to be sent."""
    if looked.status_code in _OK:
        length = looked.headers.get("Upload-Offset", looked.headers.get("Content-Length"))
        whole = length == str(size) and _digest_of(looked, digest) == digest
        return Outcome(Meaning.STORED, url=str(looked.url)) if whole else None
    if looked.status_code in _NOT_THERE | _NO_HEAD:
        return None
    return _judged(looked, str(looked.url), 0)


def _offset(looked: httpx.Response, size: int, digest: str) -> int:
    """How many bytes the server keeps from an earlier attempt at this very picture."""
    told = looked.headers.get("Upload-Offset", "")
    if looked.status_code not in _OK or not re.fullmatch(r"[0-9]{1,12}", told) or _digest_of(looked, digest) != digest:
        return 0
    return int(told) if int(told) < size else 0


def _digest_of(answer: httpx.Response, unsaid: str) -> str:
    found = _DIGEST.search(answer.headers.get("Repr-Digest", ""))
    return found[1] if found else unsaid


def _judged(answer: httpx.Response, url: str, sent: int) -> Outcome:
    status = answer.status_code
    meaning = meaning_of(status)
    if answer.request.method == "HEAD" and meaning in {Meaning.STORED, Meaning.REFUSED}:
        meaning = Meaning.LATER  # only a PUT is answered about the picture
    if meaning is Meaning.STORED:
        return Outcome(meaning, sent=sent, url=url)
    asked = answer.request.method
    text = f"{url}: {asked} was answered with {status} {answer.reason_phrase}".rstrip()
    return Outcome(meaning, f"http-{status}", conceal(text), sent, alarming=status == FULL)


def _broken(fault: Exception, sent: int) -> Outcome:
    text = conceal(f"the server cannot be reached: {str(fault) or type(fault).__name__}")
    if "CERTIFICATE" in text or "certificate" in text:
        return Outcome(Meaning.FORBIDDEN, "tls", f"{text}. Check upload.ca_file, upload.cert_file and the clock", sent)
    if isinstance(fault, httpx.TimeoutException):
        return Outcome(Meaning.LATER, "timeout", "the server was silent for too long", sent)
    return Outcome(Meaning.LATER, "network", text, sent)


class _Stopped(Exception):
    """The agent stops while a picture is on its way."""


class _Passage:
    """The bytes of one picture on their way, no faster than allowed, and how many have left."""

    def __init__(self, body: bytes, per_s: int, stop: threading.Event) -> None:
        self._body = body
        self._per_s = per_s
        self._stop = stop
        self.sent = 0

    def chunks(self, offset: int) -> Iterator[bytes]:
        """The bytes from ``offset`` on.

        Raises:
            _Stopped: The agent stops.
        """
        began = time.monotonic()
        for start in range(offset, len(self._body), _CHUNK):
            due = began + self.sent / self._per_s if self._per_s else 0.0
            if self._stop.wait(max(0.0, due - time.monotonic())):
                raise _Stopped
            part = self._body[start : start + _CHUNK]
            self.sent += len(part)
            yield part

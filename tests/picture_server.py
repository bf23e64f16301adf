"""A small HTTPS server that takes pictures, and misbehaves as a test wants it."""

import contextlib
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TAKEN = 201
Step = int | tuple[str, int]
"""What the server does at one PUT: answers with a status, or ``("cut", n)``: hangs up after n bytes of the body."""


@dataclass
class Request:
    """What a client asked, and how much of its body was read."""

    method: str
    path: str
    headers: dict[str, str]
    read: int = 0


@dataclass
class PictureServer:
    """Keeps what is PUT. ``steps`` are taken by PUTs in order; without one a PUT is answered with 201.

    ``resumes``: it keeps what came before a cut, says so, and takes the rest. While ``answering`` is not set it is
    silent. ``token``: what it wants to see. ``client_authority``: who signs its clients' certificates.
    """

    keys: Path
    client_authority: str | None = None
    resumes: bool = False
    token: str | None = None
    answers_head: bool = True
    stored: dict[str, bytes] = field(default_factory=dict)
    partial: dict[str, bytes] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    steps: deque[Step] = field(default_factory=deque)
    connections: int = 0
    answering: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.answering.set()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.keys / "server.crt", self.keys / "server.key")
        if self.client_authority is not None:
            context.load_verify_locations(self.keys / f"{self.client_authority}.crt")
            context.verify_mode = ssl.CERT_REQUIRED
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.pictures = self
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @contextlib.contextmanager
    def running(self) -> Iterator["PictureServer"]:
        """Serve for the length of a ``with``."""
        self._thread.start()
        try:
            yield self
        finally:
            self.answering.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(5)

    @property
    def url(self) -> str:
        """What goes into ``upload.url``."""
        return f"https://127.0.0.1:{self.port}/{{site}}/{{device}}/{{record}}.jpg"

    def puts(self) -> list[Request]:
        """The PUTs so far."""
        return [one for one in self.requests if one.method == "PUT"]

    def head(self, path: str) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer to a HEAD."""
        if not self.answers_head:
            return 405, {}
        if path in self.stored:
            return 200, {"Content-Length": str(len(self.stored[path]))}
        if path in self.partial and self.resumes:
            return 200, {"Content-Length": "0", "Upload-Offset": str(len(self.partial[path]))}
        return 404, {"Content-Length": "0"}

    def take(self, request: Request, body: bytes, *, whole: bool) -> int:
        """Store what came; the status of the answer."""
        offset = 0
        if (told := request.headers.get("content-range")) is not None:
            offset = int(told.removeprefix("bytes ").split("-")[0])
        had = self.partial.get(request.path, b"")[:offset]
        if len(had) < offset:
            return 416
        if not whole:
            self.partial[request.path] = had + body
            return 0
        self.stored[request.path] = had + body
        self.partial.pop(request.path, None)
        return 201


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    pictures: PictureServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up, or a certificate that is not taken, is what tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.pictures.connections += 1

    def do_HEAD(self) -> None:
        pictures = self.server.pictures
        self._note()
        pictures.answering.wait(30)
        self._answer(*((401, {}) if self._stranger() else pictures.head(self.path)))

    def do_PUT(self) -> None:
        pictures = self.server.pictures
        request = self._note()
        step = pictures.steps.popleft() if pictures.steps else TAKEN
        if isinstance(step, tuple):
            pictures.take(request, self._body(step[1], request), whole=False)
            self.close_connection = True
            self.connection.shutdown(2)
        elif self._stranger() or step != TAKEN:
            self._answer(401 if self._stranger() else step, {"Connection": "close"})
        else:
            body = self._body(int(self.headers["Content-Length"]), request)
            self._answer(pictures.take(request, body, whole=True), {})

    def _body(self, size: int, request: Request) -> bytes:
        body = b""
        while len(body) < size and (part := self.rfile.read(min(4096, size - len(body)))):
            body += part
            request.read = len(body)
        return body

    def _note(self) -> Request:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers)
        self.server.pictures.requests.append(request)
        return request

    def _stranger(self) -> bool:
        token = self.server.pictures.token
        return token is not None and self.headers.get("Authorization") != f"Bearer {token}"

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = "Connection" in headers

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Requests are kept, not printed."""

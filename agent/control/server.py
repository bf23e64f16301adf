"""The daemon's side of the control socket."""

import contextlib
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from agent.errors import ControlError, FieldgateError

Verb = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Takes the arguments, returns a JSON-ready result, raises ``FieldgateError`` when it refuses."""

LONGEST_REQUEST = 65_536
LONGEST_PATH = 107  # sockaddr_un
_PATIENCE_S = 2.0

_log = structlog.get_logger()


class ControlServer:
    """The thread ``control``: answers one request after the other.

    Args:
        path: Where the socket is made; a stale one is replaced.
        verbs: What may be asked.
    """

    def __init__(self, path: Path, verbs: Mapping[str, Verb]) -> None:
        self._path = path
        self._verbs = verbs
        self._socket: socket.socket | None = None
        self._stopping = False

    def open(self) -> None:
        """Make the socket; readable by its owner and group.

        Raises:
            ControlError: It cannot be made.
        """
        if len(str(self._path).encode()) > LONGEST_PATH:
            raise ControlError(
                f"{self._path}: is too long for a socket's path ({LONGEST_PATH} bytes); set device.control_socket"
            )
        try:
            self._path.unlink(missing_ok=True)
            made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            made.bind(str(self._path))
            self._path.chmod(0o660)
            made.listen(8)
        except OSError as error:
            raise ControlError(f"{self._path}: the control socket cannot be made: {error.strerror}") from None
        self._socket = made

    def run(self) -> None:
        """The thread's body: until ``close``."""
        while not self._stopping and self._socket is not None:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # closed
            with connection:
                self._serve(connection)

    def close(self) -> None:
        """Stop listening and take the socket away."""
        self._stopping = True
        if self._socket is not None:
            self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            with contextlib.suppress(OSError):  # a read-only disk keeps the name; the next start takes it over
                self._path.unlink()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(_PATIENCE_S)
        try:
            request = _read_line(connection)
            if not request:
                return  # somebody only looked whether we are here
            answer = self._answer(request)
            connection.sendall(json.dumps(answer).encode() + b"\n")
        except OSError as error:
            _log.info("control.client-lost", reason=str(error))

    def _answer(self, request: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(request)
            verb, args = asked["verb"], asked["args"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return {"error": "the request is not a line of JSON with verb and args"}
        if not isinstance(args, dict) or verb not in self._verbs:
            return {"error": f"the daemon does not know '{verb}'"}
        try:
            return {"result": self._verbs[verb](args)}
        except FieldgateError as error:
            return {"error": str(error)}


def _read_line(connection: socket.socket) -> bytes:
    """Everything up to a newline; nothing where the other side hung up without a word.

    Raises:
        OSError: The other side was too slow, said too much or hung up.
    """
    request = b""
    while not request.endswith(b"\n"):
        part = connection.recv(4096)
        if not part and not request:
            return b""
        if not part or len(request) > LONGEST_REQUEST:
            raise OSError("the request did not end")
        request += part
    return request

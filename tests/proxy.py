"""A TCP proxy between an agent and its broker that misbehaves on request."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

PASS, DROP, HOLE, TRICKLE = "pass", "drop", "hole", "trickle"
"""Passes everything on; closes what it accepts; keeps the line and moves nothing; a few bytes at a time."""

_CHUNK, _FEW, _PAUSE_S = 65536, 64, 0.01


class Proxy:
    """Listens on a port of its own and passes bytes on to ``target``.

    Attributes:
        port: Where it listens.
        mode: What it does with bytes; may be changed at any time.
        attempts: When each connection was accepted (monotonic seconds).
    """

    def __init__(self, target: int) -> None:
        self.mode = PASS
        self.attempts: list[float] = []
        self._target = target
        self._lines: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.port = self._listen(0)

    def reject(self) -> None:
        """Nobody listens: whoever connects is refused at once, and open lines break."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut()

    def accept(self) -> None:
        """Listen again on the same port."""
        if self._listener is None:
            self._listen(self.port)

    def cut(self) -> None:
        """Reset every open line."""
        lines, self._lines = self._lines, []
        for line in lines:
            with contextlib.suppress(OSError):
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                line.shutdown(socket.SHUT_RDWR)
            line.close()

    def _listen(self, port: int) -> int:
        listener = socket.create_server(("127.0.0.1", port))
        self._listener = listener
        threading.Thread(target=self._serve, args=(listener,), daemon=True).start()
        return int(listener.getsockname()[1])

    def _serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = listener.accept()
                self.attempts.append(time.monotonic())
                if self.mode == DROP:
                    line.close()
                    continue
                try:
                    beyond = socket.create_connection(("127.0.0.1", self._target), timeout=5)
                except OSError:  # the broker itself is away
                    line.close()
                    continue
                beyond.settimeout(None)
                self._lines += [line, beyond]
                for source, sink in ((line, beyond), (beyond, line)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(_FEW if self.mode == TRICKLE else _CHUNK):
                while self.mode == HOLE:
                    time.sleep(_PAUSE_S)
                if self.mode == TRICKLE:
                    time.sleep(_PAUSE_S)
                sink.sendall(chunk)
        for line in (source, sink):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """A proxy for the length of a ``with``."""
    one = Proxy(target)
    try:
        yield one
    finally:
        one.mode = PASS
        one.reject()

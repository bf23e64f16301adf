"""The command line's side of the control socket."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.errors import ControlError

_PATIENCE_S = 10.0


def ask(path: Path, verb: str, args: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Ask the running daemon for something.

    Raises:
        ControlError: No daemon listens there, or it refused; the message says which.
    """
    request = json.dumps({"verb": verb, "args": dict(args or {})}).encode() + b"\n"
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_PATIENCE_S)
            connection.connect(str(path))
            connection.sendall(request)
            while not answer.endswith(b"\n"):
                part = connection.recv(65_536)
                if not part:
                    break
                answer += part
    except PermissionError:
        raise ControlError(
            f"{path}: you may not talk to the daemon. Use sudo, or join the group that owns this file."
        ) from None
    except OSError as error:
        raise ControlError(
            f"{path}: no running fieldgate answers there ({error.strerror or error}). Start it with: fieldgate run"
        ) from None
    try:
        told = json.loads(answer)
    except ValueError:
        raise ControlError(f"{path}: the daemon hung up without an answer") from None
    if "error" in told:
        raise ControlError(told["error"])
    return dict(told["result"])


def listens(path: Path) -> bool:
    """Whether a daemon answers on this socket."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_PATIENCE_S)
            connection.connect(str(path))
    except OSError:
        return False
    return True

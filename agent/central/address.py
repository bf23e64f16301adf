"""Where the broker is and who we are there, from the command line's words."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import ValidationError

from agent.config.sections import MqttSection
from agent.errors import UsageError

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


def broker_at(
    url: str,
    *,
    username: str = "",
    password_file: Path | None = None,
    ca_file: Path | None = None,
    cert_file: Path | None = None,
    key_file: Path | None = None,
    session_s: int = 0,
) -> MqttSection:
    """The settings of a connection to ``mqtt://host:port`` or, encrypted, ``mqtts://host:port``.

    Raises:
        UsageError: It is no such address, or holds a password, which belongs into a file.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as fault:
        raise UsageError(f"--broker {url} is no address: {fault}") from fault
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
        raise UsageError(f"--broker {url} is no address; write mqtt://HOST[:PORT], or mqtts://HOST[:PORT] for TLS")
    if parts.password is not None:
        raise UsageError("--broker holds a password, which everyone on this machine can read; use --password-file")
    try:
        return MqttSection(
            host=parts.hostname,
            port=port or _PORTS[parts.scheme],
            username=username or parts.username or "",
            password_file=password_file,
            tls=parts.scheme == "mqtts",
            ca_file=ca_file,
            cert_file=cert_file,
            key_file=key_file,
            session_s=session_s,
        )
    except ValidationError as fault:
        raise UsageError(f"--broker {url}: {fault.errors()[0]['msg']}") from fault

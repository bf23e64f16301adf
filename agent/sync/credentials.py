"""The password and the certificates, read from their files when a connection is attempted."""

import ssl
from pathlib import Path

from agent.config.sections import MqttSection
from agent.config.upload import UploadSection
from agent.errors import ConfigError
from agent.secret import located, secret


class Unusable(Exception):
    """A file on this device prevents the connection.

    Attributes:
        cause: ``password-file`` or ``tls``.
    """

    def __init__(self, message: str, *, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class _TidySocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho leaves it to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature of ssl's own
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def password(settings: MqttSection) -> str | None:
    """The first line of ``mqtt.password_file``; None if no file is named.

    Raises:
        Unusable: The file cannot be read, is empty, or is not UTF-8.
    """
    try:
        return secret(settings.password_file, what="mqtt.password_file")
    except ConfigError as fault:
        raise Unusable(str(fault), cause="password-file") from None


def tls_context(settings: MqttSection | UploadSection, section: str) -> ssl.SSLContext:
    """The authority and, for mutual TLS, the device's certificate. Host names are always checked.

    Args:
        settings: Names the files.
        section: Of the settings, for messages.

    Raises:
        Unusable: One of the files cannot be read, or they do not fit together.
    """
    keys = ("ca_file", "cert_file", "key_file")
    try:
        files = {key: _found(getattr(settings, key), f"{section}.{key}") for key in keys}
    except ConfigError as fault:
        raise Unusable(str(fault), cause="tls") from None
    try:
        context = ssl.create_default_context(cafile=files["ca_file"])
        context.sslsocket_class = _TidySocket
        if files["cert_file"] is not None:
            context.load_cert_chain(files["cert_file"], files["key_file"])
    except (OSError, ValueError) as fault:
        names = ", ".join(str(name) for name in files.values() if name is not None)
        raise Unusable(f"the certificates ({names}) cannot be used: {fault}", cause="tls") from fault
    return context


def _found(path: Path | None, what: str) -> Path | None:
    return None if path is None else located(path, what=what)

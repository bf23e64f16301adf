"""The password and the certificates, read from their files when a connection is attempted."""

import ssl

from agent.config.sections import MqttSection
from agent.errors import in_words


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
        Unusable: The file cannot be read, or is not UTF-8.
    """
    if settings.password_file is None:
        return None
    try:
        return settings.password_file.read_text(encoding="utf-8").split("\n", 1)[0].rstrip("\r")
    except (OSError, UnicodeError) as fault:
        raise Unusable(
            f"{settings.password_file}: the password cannot be read: {in_words(fault)}", cause="password-file"
        ) from fault


def tls_context(settings: MqttSection) -> ssl.SSLContext:
    """The authority and, for mutual TLS, the device's certificate. Host names are always checked.

    Raises:
        Unusable: One of the files cannot be read, or they do not fit together.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.sslsocket_class = _TidySocket
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ValueError) as fault:
        files = [settings.ca_file, settings.cert_file, settings.key_file]
        names = ", ".join(str(name) for name in files if name is not None)
        raise Unusable(f"the certificates ({names}) cannot be used: {fault}", cause="tls") from fault
    return context

"""Checks of the way to the broker, from its name to its rules."""

import ipaddress
import socket
from typing import Final

from agent.doctor.check import Answer, Check, fail, ok, skip, warn
from agent.doctor.installation import Installation
from agent.errors import in_words
from agent.sync.retry import bad_credentials, puback_text
from agent.sync.wire import Refused, Unreachable

NO_SUBSCRIBER: Final = 0x10
_FAILURE: Final = 0x80
_PATIENCE_S: Final = 5.0


def _name(installation: Installation, _about: str) -> Answer:
    host = installation.config.mqtt.host
    if not host:
        return skip("no broker is configured (mqtt.host)")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return ok(f"{host} is an address")
    try:
        found = socket.getaddrinfo(host, installation.config.mqtt.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return fail(
            f"{host}: {in_words(error)}",
            cause="the name is mistyped, or this device reaches no name server",
            fix=f"getent hosts {host}; then correct mqtt.host in {installation.path} or /etc/resolv.conf",
        )
    return ok(f"{host} is {', '.join(sorted({str(one[4][0]) for one in found}))}")


def _reachable(installation: Installation, _about: str) -> Answer:
    mqtt = installation.config.mqtt
    try:
        with socket.create_connection((mqtt.host, mqtt.port), timeout=_PATIENCE_S):
            pass
    except OSError as error:
        return fail(
            f"{mqtt.host}:{mqtt.port}: {error.strerror or error}",
            cause="no broker listens on that port, or a firewall is between",
            fix=f"nc -vz {mqtt.host} {mqtt.port}; then correct mqtt.port in {installation.path} or start the broker",
        )
    return ok(f"{mqtt.host}:{mqtt.port} accepts connections")


def _encrypted(installation: Installation, _about: str) -> Answer:
    mqtt = installation.config.mqtt
    if not mqtt.tls:
        return skip("mqtt.tls is off")
    failed = installation.broker.failed
    if isinstance(failed, Unreachable) and failed.cause == "tls":
        return fail(
            failed.text,
            cause="the authority is not the one that signed the broker's certificate, its name differs, "
            "or this device's clock is wrong",
            fix=f"openssl s_client -connect {mqtt.host}:{mqtt.port}; then correct mqtt.ca_file in {installation.path}",
        )
    return ok("the certificates fit")


def _login(installation: Installation, _about: str) -> Answer:
    seen, mqtt = installation.broker, installation.config.mqtt
    user = f"as {mqtt.username}" if mqtt.username else "without a user name"
    if seen.connected:
        return ok(f"accepted {user}, MQTT {mqtt.version}")
    if isinstance(seen.failed, Refused):
        cause = "user name or password are wrong" if bad_credentials(seen.failed.code) else "the broker's own rules"
        return fail(
            f"{seen.failed.text} ({user})",
            cause=cause,
            fix=f"correct mqtt.username and mqtt.password_file in {installation.path}; the broker's log says more",
        )
    if isinstance(seen.failed, Unreachable) and seen.failed.cause == "tls":
        return skip("not tried, since broker-tls failed")
    text = seen.failed.text if seen.failed else "the broker does not answer"
    return fail(
        text,
        cause="the password file cannot be read, the port speaks no MQTT, or only TLS",
        fix=f"check mqtt.port, mqtt.tls, mqtt.version and mqtt.password_file in {installation.path}",
    )


def _publish(installation: Installation, _about: str) -> Answer:
    seen = installation.broker
    if seen.published is None:
        return fail(
            f"no acknowledgement for a message to {seen.topic}",
            cause="the broker is overloaded, or cuts the connection at its rules",
            fix="look into the broker's log",
        )
    if seen.published >= _FAILURE:
        return fail(
            f"{seen.topic}: {puback_text(seen.published)}",
            cause="the broker's rules (ACL) do not let this device publish there",
            fix=f"allow this user to write {_root(installation)}/up/#",
        )
    if installation.config.mqtt.version != "5":
        return ok(f"{seen.topic}: acknowledged; MQTT 3.1.1 does not say whether the rules let it through")
    return ok(f"{seen.topic}: acknowledged")


def _subscriber(installation: Installation, _about: str) -> Answer:
    seen = installation.broker
    if seen.published != NO_SUBSCRIBER:
        return ok("the broker does not say that nobody listens")
    return warn(
        f"{seen.topic}: the broker says that nobody subscribes to it",
        cause="the central consumer is not connected, or subscribes to other topics",
        fix=f"subscribe centrally to {_root(installation)}/up/#; until then messages wait here",
    )


def _commands(installation: Installation, _about: str) -> Answer:
    code = installation.broker.subscribed
    if code is None or code < _FAILURE:
        return ok("commands can be received")
    return warn(
        f"{_root(installation)}/down/commands/+: {puback_text(code)}",
        cause="the broker's rules (ACL) do not let this device read its commands",
        fix=f"allow this user to read {_root(installation)}/down/#",
    )


def _root(installation: Installation) -> str:
    return installation.config.topic_root


CHECKS = (
    Check("broker-dns", "The broker's name is known", _name, needs=("config-valid",)),
    Check("broker-tcp", "Its port can be reached", _reachable, needs=("broker-dns",)),
    Check("broker-tls", "The encrypted connection is trusted", _encrypted, needs=("broker-tcp",)),
    Check("broker-login", "It accepts this device", _login, needs=("broker-tcp",)),
    Check("broker-publish", "It takes this device's messages", _publish, needs=("broker-login",)),
    Check("broker-subscriber", "Somebody listens", _subscriber, needs=("broker-publish",)),
    Check("broker-commands", "Commands can be received", _commands, needs=("broker-login",)),
)

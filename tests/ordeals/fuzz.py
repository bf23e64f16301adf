"""Commands that nobody in his right mind would send: the agent answers or ignores them, and nothing else happens."""

import contextlib
import json
import random
import string
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ordeals.ground import ENGINE, Ground, folder_camera, ground, pictures
from ordeals.outcome import Outcome, Stopwatch, Tick, nobody_watches
from waiting import until

UP, DOWN = "fieldgate/1/lab/bench-1/up", "fieldgate/1/lab/bench-1/down"
VERBS = ("ping", "trigger", "mode", "review", "evidence", "replay", "diagnostics", "engine-activate", "engine-install")
TOGETHER = 500
GROWTH_MB = 12.0
RARELY = 0.1

Send = Callable[[str, bytes, bytes | None, str | None], None]
"""Publishes at QoS 1: topic, body, correlation data, response topic."""


def fuzzed_commands(folder: Path, *, seed: int, commands: int, tick: Tick = nobody_watches) -> Outcome:
    """Send them all to an agent over a real broker; it keeps its state and its memory, and it goes on answering."""
    draw, watch = random.Random(seed), Stopwatch()
    camera = folder_camera(pictures(folder / "images", 0))  # no frames: whatever the ledger says, a command made it say
    with ground(folder, camera) as stage, _sender(stage.broker.port) as send:
        stage.agent.start()
        assert until(lambda: b'"online"' in b"".join(stage.central.bodies(f"{UP}/online")), within_s=30)
        for _ in range(TOGETHER):  # every path once, before the memory is weighed
            _send_one(send, draw)
        _still_answers(stage, send, "warm")
        state, memory = _state(stage), stage.agent.resident_mb()
        for number in range(commands):
            _send_one(send, draw)
            if number % TOGETHER == TOGETHER - 1:
                _still_answers(stage, send, f"alive-{number}")
            tick()
        _still_answers(stage, send, "end")
        assert _state(stage) == state
        grown = stage.agent.resident_mb() - memory
        assert grown < GROWTH_MB, f"memory grew by {grown:.0f} MB"
        counts = stage.agent.status()["uplink"]["commands"]
        assert stage.agent.terminate() == 0
        assert "Traceback" not in stage.agent.told()
        figures = {
            "refused": sum(counts["refused"].values()),
            "in so many ways": len(counts["refused"]),
            "done": counts["done"],
            "failed": counts["failed"],
            "memory": f"{grown:+.1f} MB",
        }
    return Outcome("fuzzed commands", seed, commands, watch.seconds, figures)


def _state(stage: Ground) -> object:
    """What no such command may change: the ledger, the records, the modes, the files."""
    status = stage.agent.status()
    files = sorted(path.name for path in stage.agent.store.rglob("*.json"))
    return stage.agent.ask("SELECT epoch, seq FROM head"), stage.agent.count("records"), status["modes"], files


def _still_answers(stage: Ground, send: Send, identity: str) -> None:
    """Whatever came before it, a good command is answered."""
    send(f"{DOWN}/commands/ping", json.dumps(_envelope(identity)).encode(), None, None)
    topic = f"{UP}/replies/{identity}"
    assert until(lambda: any(b'"done"' in body for body in stage.central.bodies(topic)), within_s=60), (
        stage.agent.told()[-4000:]
    )
    stage.central.received.clear()  # the answers to nonsense are many


def _send_one(send: Send, draw: random.Random) -> None:
    topic = draw.choice(TOPICS)(draw)
    body = draw.choice(BODIES)(draw)
    correlation = draw.randbytes(draw.randint(0, 64)) if draw.random() < RARELY else None
    response = draw.choice(RESPONSE_TOPICS) if draw.random() < RARELY else None
    send(topic, body, correlation, response)


# -- what is sent


def _envelope(identity: str, args: Any = None) -> dict[str, Any]:
    now = datetime.now(timezone.utc)
    issued, expires = (moment.isoformat().replace("+00:00", "Z") for moment in (now, now + timedelta(minutes=5)))
    who = {"by": "fuzz", "reason": "to see what happens"}
    return {"id": identity, "issued_at": issued, "expires_at": expires, **who, "args": args or {}}


HARMLESS: tuple[dict[str, Any], ...] = (
    {},
    {"engine": ENGINE, "mode": "shadow"},
    {"camera": "top"},
    {"camera": "nowhere", "metadata": {"a": 1}, "subject": {"part": "A-17"}},
    {"epoch": "none", "from": 1, "to": 2},
    {"record": "01930000-0000-7000-8000-000000000001"},
)
"""Arguments that are right for some verb, and change nothing where they are carried out."""

ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1e308,
    2**70,
    "",
    "\x00",
    "\u202e",
    "a" * 5000,
    [],
    {},
    [[]],
    {"": None},
    "2026-13-45T99:99:99Z",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "../../etc/passwd",
    "'; DROP TABLE records; --",
)

RESPONSE_TOPICS = ("x", "fieldgate/1/lab/bench-1/up/online", "fieldgate/1/lab/other/up/replies/x", f"{UP}/replies/own")


def _good(draw: random.Random) -> dict[str, Any]:
    return _envelope(f"f-{draw.getrandbits(64):x}", dict(draw.choice(HARMLESS)))


def _bytes(draw: random.Random) -> bytes:
    return draw.randbytes(draw.choice((0, 1, 2, 40, 400, 4000)))


def _carried_out(draw: random.Random) -> bytes:
    return json.dumps(_good(draw)).encode()


def _flipped(draw: random.Random) -> bytes:
    body = bytearray(json.dumps(_good(draw)).encode())
    for _ in range(draw.randint(1, 4)):
        body[draw.randrange(len(body))] = draw.randrange(256)
    return bytes(body)


def _cut_short(draw: random.Random) -> bytes:
    body = json.dumps(_good(draw)).encode()
    return body[: draw.randrange(len(body))]


def _odd_field(draw: random.Random) -> bytes:
    command = _good(draw)
    command[draw.choice(list(command))] = draw.choice(ODD)
    return json.dumps(command).encode()


def _odd_argument(draw: random.Random) -> bytes:
    command = _good(draw)
    name = draw.choice(("engine", "mode", "camera", "metadata", "subject", "epoch", "from", "to", "record", "x"))
    command["args"][name] = draw.choice(ODD)
    return json.dumps(command).encode()


def _without_a_field(draw: random.Random) -> bytes:
    command = _good(draw)
    del command[draw.choice(list(command))]
    return json.dumps(command).encode()


def _deep(draw: random.Random) -> bytes:
    depth = draw.choice((10, 100, 2000))
    return b"[" * depth + b"]" * depth


def _no_json(draw: random.Random) -> bytes:
    text = draw.choice(
        ('{"id": NaN}', '{"id": 1, "id": 2}', '"\\ud800"', "Infinity", "[]", "7", "null", "{", "1" * 900)
    )
    return text.encode()


def _huge(draw: random.Random) -> bytes:
    return json.dumps(_envelope("huge", {"a": "x" * draw.choice((60_000, 66_000, 200_000))})).encode()


BODIES = (
    *((_bytes, _carried_out, _flipped, _cut_short, _odd_field, _odd_argument, _without_a_field) * 6),
    *(_deep, _no_json, _huge),
)


def _verb(draw: random.Random) -> str:
    return f"{DOWN}/commands/{draw.choice(VERBS)}"


def _no_verb(draw: random.Random) -> str:
    return f"{DOWN}/commands/{''.join(draw.choices(string.ascii_letters + ' ü$', k=draw.randint(0, 80)))}"


def _elsewhere(draw: random.Random) -> str:
    return f"{DOWN}/{draw.choice(('desired', 'receipt/db', 'commands', 'commands/a/b', 'receipt/'))}"


TOPICS = (*((_verb,) * 8), _no_verb, _elsewhere)


@contextlib.contextmanager
def _sender(port: int) -> Iterator[Send]:
    """A client that does not wait for acknowledgements."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()

    def send(topic: str, body: bytes, correlation: bytes | None, response: str | None) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if correlation is not None:
            properties.CorrelationData = correlation
        if response is not None:
            properties.ResponseTopic = response
        client.publish(topic, body, 1, properties=properties)

    try:
        yield send
    finally:
        client.disconnect()
        client.loop_stop()

"""The page docs/reference/mqtt.md says what the code does."""

import json
import re
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from agent.config.sections import MqttSection
from agent.ledger.sealing import SINGULAR
from agent.sync.broker import PahoBroker
from agent.sync.commands import FAILURES
from agent.sync.commands import STATES as REPLY_STATES
from agent.sync.envelope import CODES
from agent.sync.limits import Limits
from agent.sync.receipts import REFUSALS
from agent.sync.retry import PUBACK_CODES
from agent.sync.standing import STATES
from agent.sync.topics import ROUTES
from agent.sync.verbs import CHECKS, MODES
from mosquitto import Central, needs_mosquitto, running
from uplink_rig import TOPICS, Outbox, an_uplink, arrived
from waiting import until

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "mqtt.md").read_text(encoding="utf-8")


def rows(header: str) -> list[list[str]]:
    """The cells of every table with this header, code marks removed from the first cell."""
    found, inside = [], False
    for line in PAGE.splitlines():
        if line == header:
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("|---"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            found.append([cells[0].strip("`"), *cells[1:]])
    return found


def test_the_topics_are_those_of_the_code() -> None:
    """Every branch with its QoS, whether it is retained, and what it says."""
    expected = [
        [route.topic, str(route.qos), "yes" if route.retained else "no", route.body] for route in ROUTES.values()
    ]
    assert rows("| topic | QoS | retained | body |") == expected


def test_the_kinds_are_those_of_the_ledger() -> None:
    """A kind that is not on the page would surprise a consumer."""
    named = PAGE.split("Kinds of ledger messages now: ")[1].split(".")[0]
    assert set(re.findall(r"`([^`]+)`", named)) == set(SINGULAR)


def test_the_settlement_table_is_that_of_the_code() -> None:
    """Every reason code of a PUBACK, its name, and what follows."""
    expected = [[f"0x{code:02X}", name, meaning.value] for code, (meaning, name) in PUBACK_CODES.items()]
    assert rows("| code | name | what the agent does |") == expected


def test_the_states_are_those_of_the_code() -> None:
    """States of the uplink, of which ``off`` is the absence of one, and of a reply."""
    expected = {"off": "No broker is configured.", **STATES, **REPLY_STATES}
    assert {row[0]: row[1] for row in rows("| state | meaning |")} == expected


def test_the_reason_codes_are_those_of_the_code() -> None:
    """Refusals and failures, each with its sentence."""
    assert {row[0]: row[1] for row in rows("| code | meaning |")} == {**CODES, **FAILURES}


def limits(column: int) -> dict[str, Any]:
    """The keys of one broker in the table of limits, as a config file holds them."""
    header = "| key | Mosquitto 2 | EMQX 5 | HiveMQ | AWS IoT Core | Azure Event Grid |"
    return {row[0]: json.loads(row[column]) for row in rows(header)}


@pytest.mark.parametrize("column", range(1, 6))
def test_the_limits_of_every_broker_are_settings_that_fit(column: int) -> None:
    """A column can be copied into the config."""
    keys = limits(column)
    assert set(keys) >= {"window", "batch_bytes", "packet_bytes", "messages_per_s", "bytes_per_s", "require_subscriber"}
    section = MqttSection(host="broker", **keys)
    assert Limits.of(section).window == keys["window"]


@needs_mosquitto
@pytest.mark.broker
def test_mosquittos_limits_are_what_it_bears(tmp_path: Path) -> None:
    """With its column a backlog arrives without a pause, a cut or a refusal, in the window that Mosquitto names."""
    keys = limits(1)
    with running(tmp_path / "broker", lines=("max_queued_messages 0", "max_keepalive 15")) as broker:
        section = MqttSection(host="127.0.0.1", port=broker.port, **keys)
        with Central(broker.port, f"{TOPICS.root}/up/#") as central:
            disk, stop = Outbox(5_000), threading.Event()
            uplink = an_uplink(PahoBroker(section, client_id="device"), disk, stop=stop, **asdict(Limits.of(section)))
            thread = threading.Thread(target=uplink.run)
            thread.start()
            try:
                assert until(lambda: uplink.drained)
                shown = uplink.snapshot()
            finally:
                stop.set()
                uplink.wake()
                thread.join(10)
            assert until(lambda: sorted(map(int, arrived(central))) == list(range(1, 5_001)))
    assert (shown["connects"], shown["resent"], shown["held"]) == (1, 0, 0)
    assert shown["broker"] == {"window": 20, "largest_packet": None, "retain": True, "keepalive_s": 15}


def test_the_refusals_of_receipts_are_those_of_the_code() -> None:
    """Each with its sentence."""
    assert {row[0]: row[1] for row in rows("| receipt | meaning |")} == REFUSALS


def test_the_verbs_are_those_of_the_code() -> None:
    """Every verb is described, and every mode named."""
    described = {row[0]: row[1] for row in rows("| verb | arguments | result |")}
    assert set(described) == set(CHECKS)
    assert all(f"`{mode}`" in described["mode"] for mode in MODES)


@pytest.mark.parametrize("key", sorted(set(re.findall(r"`mqtt\.([a-z_]+)", PAGE))))
def test_every_key_that_the_page_names_exists(key: str) -> None:
    """``mqtt.KEY`` is a key of the settings."""
    assert key in MqttSection.model_fields

from pathlib import Path

import pytest

from mosquitto import needs_mosquitto
from ordeals.network import network_troubles
from ordeals.refusals import refusing_broker

pytestmark = [needs_mosquitto, pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(400)]


def test_every_trouble_of_the_network_and_the_broker_ends_drained(tmp_path: Path) -> None:
    """Whatever the line and the broker do, inspection goes on, and all is drained afterwards.

    Rejected, dropped, flapping, half open, trickling, stopped, frozen, nobody listening: with at most one attempt to
    connect a second, and without growing.
    """
    print(network_troubles(tmp_path, seed=2026, rounds=1).line())


def test_negative_acknowledgements_settle_nothing(tmp_path: Path) -> None:
    """A broker with a window of one that refuses with every code in turn accepts each message once in the end."""
    print(refusing_broker(tmp_path, seed=2026, refusals=20).line())

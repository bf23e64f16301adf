"""Fixtures that several shelves share. Needs pytest, hypothesis and numpy only."""

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("fieldgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fieldgate")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the person who runs the tests do not reach them."""
    for name in [name for name in os.environ if name.upper().startswith("FIELDGATE_")]:
        monkeypatch.delenv(name)

"""The table of all checks, in the order in which they are run: each after those that it needs."""

from typing import Final

from agent.doctor import broker, cameras, engines, settings, store
from agent.doctor.check import Check

ALL: Final[tuple[Check, ...]] = (
    *settings.CHECKS,
    *engines.CHECKS,
    *cameras.CHECKS,
    *store.CHECKS,
    *broker.CHECKS,
)

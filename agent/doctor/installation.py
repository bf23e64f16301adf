"""What the doctor looks at: a config file, what it names, and the daemon if one runs."""

import functools
from pathlib import Path
from typing import Any

from agent.config import Config
from agent.control.client import ask
from agent.doctor.visit import Visit, visit
from agent.engine.loading import Engine
from agent.errors import ControlError
from agent.inspection.frame import Image


class Installation:
    """One installation; what is costly to find out is found out once.

    Args:
        path: The config file.

    Attributes:
        settings: What it says; None until the check of the config has read it.
        engines: By name, loaded by the check of the models.
        pictures: By camera name, taken by the check of the cameras.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings: Config | None = None
        self.engines: dict[str, Engine] = {}
        self.pictures: dict[str, Image] = {}

    @property
    def config(self) -> Config:
        """The settings, for checks that need a valid config."""
        if self.settings is None:
            raise ValueError("a check that needs the config must name config-valid among its needs")
        return self.settings

    @functools.cached_property
    def daemon(self) -> dict[str, Any] | None:
        """What the running daemon says of itself; None where none answers."""
        try:
            return ask(self.config.control_socket, "status")
        except ControlError:
            return None

    @functools.cached_property
    def broker(self) -> Visit:
        """What one visit to the broker showed."""
        return visit(self.config)

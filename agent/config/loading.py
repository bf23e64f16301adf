"""From one TOML file and the environment to frozen settings, and from a mistake to a sentence."""

import difflib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from agent.config.sections import (
    Camera,
    DeviceSection,
    EngineSection,
    InferenceSection,
    MonitorSection,
    MqttSection,
    Name,
    StoreSection,
)
from agent.config.sentences import sentences
from agent.config.upload import UploadSection
from agent.errors import ConfigError, in_words

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT_PATH = Path("/etc/fieldgate/config.toml")
PREFIX = "FIELDGATE_"


class Config(BaseSettings):
    """All settings of one agent."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    device: DeviceSection = DeviceSection()
    cameras: tuple[Camera, ...] = ()
    inference: InferenceSection = InferenceSection()
    engines: dict[Name, EngineSection] = {}
    store: StoreSection = StoreSection()
    mqtt: MqttSection = MqttSection()
    upload: UploadSection = UploadSection()
    monitor: MonitorSection = MonitorSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment stands above the file, whose content arrives as arguments."""
        del settings_cls, dotenv_settings, file_secret_settings
        return (env_settings, init_settings)

    @field_validator("cameras", mode="before")
    @classmethod
    def _cameras_in_order(cls, cameras: object) -> object:
        # Keyed by place while file and environment are merged, see _by_place.
        if isinstance(cameras, dict):
            if not all(key.isdigit() for key in cameras):
                raise ValueError("write [[cameras]] in the file, and FIELDGATE_CAMERAS__0__KEY in the environment")
            return [cameras[key] for key in sorted(cameras, key=int)]
        return cameras

    @model_validator(mode="after")
    def _names_fit_together(self) -> "Config":
        names = [camera.name for camera in self.cameras]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"cameras: two cameras are called '{name}'")
        if self.upload.how != "off" and not self.mqtt.host:
            raise ValueError("upload.how: pictures go after their records, so this needs a broker (mqtt.host)")
        for camera in self.cameras:
            if camera.engine not in self.engines:
                known = ", ".join(self.engines) or "none"
                raise ValueError(
                    f"cameras: '{camera.name}' names the engine '{camera.engine}', which has no table "
                    f"[engines.{camera.engine}] (there: {known})"
                )
        return self

    @property
    def control_socket(self) -> Path:
        """Where the control socket is."""
        return Path(self.device.control_socket) if self.device.control_socket else self.store.dir / "control.sock"

    @property
    def client_id(self) -> str:
        """The MQTT client id."""
        return self.mqtt.client_id or f"fieldgate-{self.device.site}-{self.device.name}"

    @property
    def topic_root(self) -> str:
        """What this device's topics begin with, without a slash at the end."""
        return f"{self.mqtt.root}/{self.device.site}/{self.device.name}"


def load(path: Path) -> Config:
    """Read a TOML file and the environment.

    Raises:
        ConfigError: The file is missing or malformed, or a key or value is wrong; the message names the
            file, the key, and the nearest known key where one is unknown.
    """
    return build(read_toml(path), where=str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file, as they are written there.

    Raises:
        ConfigError: The file is missing, cannot be read or is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file. Give one with --config, or copy config.example.toml."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {in_words(error)}") from None
    return _tables(text, where=str(path))


def parse(text: str, *, where: str) -> Config:
    """The settings in a TOML text, under the environment.

    Raises:
        ConfigError: As for ``load``; ``where`` is how messages call the text.
    """
    return build(_tables(text, where=where), where=where)


def _tables(text: str, *, where: str) -> dict[str, Any]:
    try:
        return dict(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: is not valid TOML: {error}") from None


def build(table: Mapping[str, Any], *, where: str) -> Config:
    """The settings in a table that looks like the file, under the environment.

    Raises:
        ConfigError: As for ``load``.
    """
    _refuse_unknown_variables(where)
    try:
        return Config(**_by_place(table))
    except ValidationError as error:
        raise ConfigError(f"{where}: {sentences(error, Config)}") from None
    except ValueError as error:  # pydantic-settings' own word for JSON that it cannot read
        raise ConfigError(f"{where}: the environment holds a value that cannot be read: {error}") from None


def _by_place(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table with its list of cameras keyed by place, so that the environment can reach into it."""
    cameras = table.get("cameras")
    if not isinstance(cameras, list):
        return dict(table)
    return {**table, "cameras": {str(place): camera for place, camera in enumerate(cameras)}}


def _refuse_unknown_variables(where: str) -> None:
    """A mistyped section in a variable's name would otherwise set nothing, without a word."""
    for name in environment_keys():
        section, nested, _ = name[len(PREFIX) :].lower().partition("__")
        if nested and section not in Config.model_fields:
            near = difflib.get_close_matches(section, Config.model_fields, n=1, cutoff=0.5)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ConfigError(f"{where}: the variable {name} sets nothing: unknown key '{section}'{hint}")


def environment_keys(environ: Mapping[str, str] | None = None) -> list[str]:
    """The names of the variables that set something here, for ``config show``."""
    names = os.environ if environ is None else environ
    return sorted(name for name in names if name.upper().startswith(PREFIX))

"""The settings: frozen sections, read from one TOML file and the environment.

Every key can be set in the environment as ``FIELDGATE_SECTION__KEY`` (cameras by their place in the file:
``FIELDGATE_CAMERAS__0__URL``). Secrets are paths of files, never values.
"""

from agent.config.loading import DEFAULT_PATH, Config, build, environment_keys, load, parse

__all__ = ["DEFAULT_PATH", "Config", "build", "environment_keys", "load", "parse"]

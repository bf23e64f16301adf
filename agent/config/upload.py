"""The section ``[upload]``: how pictures reach the centre."""

import re
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, field_validator, model_validator

from agent.config.sections import HOST_AND_PORT, Section

FIELDS: Final = ("record", "site", "device", "camera", "day")
"""What may stand in braces in ``upload.url``."""


class UploadSection(Section):
    """How pictures reach the centre, each after its record."""

    how: Literal["off", "mqtt", "https"] = Field(
        default="off", description="How: mqtt, https, or off: only those that the centre asks for go, over MQTT."
    )
    classes: tuple[Literal["fail", "inconclusive", "archive", "audit", "all"], ...] = Field(
        default=("fail", "inconclusive", "archive", "audit"),
        description="Which pictures, by why their record was kept; the first class goes first.",
    )
    url: str = Field(
        default="",
        description="With https, where each is PUT: https://HOST/PATH with {record} and, if wanted, {site}, {device}, "
        "{camera}, {day}.",
    )
    token_file: Path | None = Field(
        default=None, description="File whose first line is the server's bearer token, or credential:NAME."
    )
    ca_file: Path | None = Field(
        default=None, description="Authority that signed the server's certificate; none: the system's."
    )
    cert_file: Path | None = Field(default=None, description="This device's certificate, for mutual TLS.")
    key_file: Path | None = Field(
        default=None, description="Key of this device's certificate, or credential:NAME of systemd."
    )
    mqtt_max_kb: int = Field(
        default=256, ge=1, le=262_144, description="Largest picture that goes over MQTT, in kilobytes (1,000 bytes)."
    )
    kb_per_s: int = Field(default=0, ge=0, description="Kilobytes per second; 0: no limit.")
    mb_per_day: int = Field(
        default=0, ge=0, description="Megabytes per day (UTC), failed attempts included; 0: no limit."
    )
    attempts: int = Field(
        default=5, ge=1, le=1_000, description="A picture that alone is refused so often is given up."
    )
    timeout_s: float = Field(default=30.0, gt=0, description="Longest silence of the server, or of the broker.")
    retry_max_s: float = Field(default=300.0, ge=1, description="Longest pause after a failed attempt.")

    @field_validator("url")
    @classmethod
    def _url_is_a_template(cls, url: str) -> str:
        if not url:
            return url
        if "@" in url:
            raise ValueError("the address holds a user or password; use token_file or cert_file")
        if not url.startswith("https://") or not HOST_AND_PORT.fullmatch(url[len("https://") :].split("/", 1)[0]):
            raise ValueError("the address must be https://host:port/path")
        fields = re.findall(r"\{([^{}]*)\}", url)
        unknown = [name for name in fields if name not in FIELDS]
        if "record" not in fields or unknown or re.sub(r"\{\w+\}", "", url).count("{"):
            raise ValueError(f"the address must hold {{record}}, and no others than {', '.join(FIELDS)} in braces")
        return url

    @model_validator(mode="after")
    def _https_needs_an_address(self) -> "UploadSection":
        if self.how == "https" and not self.url:
            raise ValueError("how = https needs a url")
        return self

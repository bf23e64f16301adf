"""What ``pack.toml`` says: every fact that preparing an image and decoding an output needs."""

import math
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Probability = Annotated[float, Field(ge=0, le=1)]


def _slug(value: str) -> str:
    if not value or any(not (one.isascii() and (one.isalnum() or one == "_")) for one in value):
        raise ValueError("use letters, digits and '_'")
    return value


def _file_inside(value: str) -> str:
    if not value or value.startswith("/") or ".." in value.split("/") or "\\" in value:
        raise ValueError("name a file inside the pack")
    return value


Slug = Annotated[str, AfterValidator(_slug)]
FileInside = Annotated[str, AfterValidator(_file_inside)]


class Table(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PackTable(Table):
    """Which release this is."""

    project: Slug
    defect_type: Slug
    version: Annotated[str, Field(pattern=r"^\d{1,6}\.\d{1,6}$")]
    created: datetime
    change: str
    serial: int | None = Field(default=None, ge=0)
    expires: datetime | None = None
    minimum_agent: str | None = None


class InputTable(Table):
    """How an image becomes a tensor: ``x * scale``, then ``(x - mean) / std``, one value per channel."""

    name: str
    width: int = Field(gt=0, le=8192)
    height: int = Field(gt=0, le=8192)
    layout: Literal["NCHW", "NHWC"]
    channels: Literal["RGB", "BGR", "GRAY"]
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: Literal["stretch", "letterbox"]
    interpolation: Literal["area", "linear"]
    pad: int = Field(default=114, ge=0, le=255)

    @model_validator(mode="after")
    def _one_value_per_channel(self) -> "InputTable":
        count = 1 if self.channels == "GRAY" else 3
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != count:
                raise ValueError(f"{key} has {len(values)} values and {self.channels} needs {count}")
        if 0 in self.std:
            raise ValueError("std must not hold 0")
        return self


class ClassTable(Table):
    """What one class has of its own."""

    threshold: Probability | None = None
    action_threshold: Probability | None = None
    severity: str | None = None
    rationale: str | None = None


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(labels)) != len(labels):
        raise ValueError("a label stands twice")
    return labels


Labels = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_distinct)]


class ScreeningTable(Table):
    """Stage 1, a classifier."""

    family: Literal["classifier"]
    file: FileInside
    labels: Labels
    defect_labels: Annotated[tuple[str, ...], Field(min_length=1)]
    threshold: Probability = 0.30
    output: str
    activation: Literal["none", "softmax", "sigmoid"] = "none"
    input: InputTable

    @model_validator(mode="after")
    def _defects_are_labels(self) -> "ScreeningTable":
        for label in self.defect_labels:
            if label not in self.labels:
                raise ValueError(f"defect_labels names '{label}', which is not one of labels")
        return self


class HeadTable(Table):
    """One raw output of a YOLO v3 network."""

    output: str
    stride: int = Field(gt=0)
    anchors: tuple[tuple[float, float], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _anchors_have_size(self) -> "HeadTable":
        if not all(math.isfinite(side) and side > 0 for anchor in self.anchors for side in anchor):
            raise ValueError("an anchor is width and height in network pixels, both above 0")
        return self


class YoloTable(Table):
    """How the raw heads are laid out."""

    heads: tuple[HeadTable, ...] = Field(min_length=1)
    activation: Literal["sigmoid", "none"] = "sigmoid"
    layout: Literal["NCHW", "NHWC"] = "NCHW"


class VerificationTable(Table):
    """Stage 2, or the only stage."""

    family: str
    file: FileInside
    labels: Labels
    threshold: Probability | None = None
    floor: Probability = 0.05
    nms_iou: Probability = 0.45
    nms: Literal["per-class", "agnostic"] = "per-class"
    classes: dict[str, ClassTable] = {}
    input: InputTable
    yolo: YoloTable | None = None
    output: str | None = None
    activation: Literal["none", "softmax", "sigmoid"] = "none"
    defect_labels: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _classes_are_labels(self) -> "VerificationTable":
        for label, table in self.classes.items():
            if label not in self.labels:
                raise ValueError(f"classes names '{label}', which is not one of labels")
            if table.action_threshold is not None and table.action_threshold < (table.threshold or 0):
                raise ValueError(f"the action threshold of '{label}' lies below its threshold")
            if table.threshold is not None and table.threshold < self.floor:
                raise ValueError(f"the threshold of '{label}', {table.threshold}, lies below the floor {self.floor}")
        if self.threshold is not None and self.threshold < self.floor:
            raise ValueError(f"the threshold {self.threshold} lies below the floor {self.floor}")
        for label in self.defect_labels or ():
            if label not in self.labels:
                raise ValueError(f"defect_labels names '{label}', which is not one of labels")
        return self


class ClassMetrics(Table):
    """The trainer's figures for one class."""

    precision: Probability
    recall: Probability
    f1: Probability


class MetricsTable(Table):
    """What the trainer measured on a held-out set."""

    images: int = Field(gt=0)
    source: Literal["production camera", "laboratory", "synthetic"]
    map: Probability | None = None
    classes: dict[str, ClassMetrics] = {}


class LimitsTable(Table):
    """What the pack may cost and how far its answers may move."""

    latency_ms: float | None = Field(default=None, gt=0)
    memory_mb: float | None = Field(default=None, gt=0)
    score_tolerance: float | None = Field(default=None, gt=0)
    box_tolerance_px: float | None = Field(default=None, gt=0)


class Manifest(Table):
    """The whole of ``pack.toml``."""

    pack: PackTable
    screening: ScreeningTable | None = None
    verification: VerificationTable
    metrics: MetricsTable | None = None
    limits: LimitsTable | None = None

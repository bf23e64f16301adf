"""The two stages of an engine: prepare, run, decode."""

from collections.abc import Mapping

import numpy as np

from agent.engine.families.classifier import CLASSIFIER, check_labels
from agent.engine.families.family import Family
from agent.engine.families.yolo import YOLO
from agent.engine.manifest import InputTable, ScreeningTable, VerificationTable
from agent.engine.model import Model, Tensor
from agent.engine.preparation import Preparation, Region
from agent.errors import InferenceError, PackError
from agent.inspection.boxes import clip
from agent.inspection.detections import Detections
from agent.inspection.frame import Image
from agent.inspection.screening import Screening, class_probabilities, score_of
from agent.inspection.verdict import Detection, Rules

FAMILIES: Mapping[str, Family] = {"classifier": CLASSIFIER, "yolo-v3": YOLO, "tiny-yolo-v3": YOLO}


class ScreeningStage:
    """Stage 1: a defect probability.

    Raises:
        PackError: The model's real inputs and outputs are not what the manifest says.
    """

    def __init__(self, table: ScreeningTable, model: Model) -> None:
        outputs = _warmed(model, table.input, key="screening")
        check_labels(outputs, table.output, table.labels, key="screening.output")
        self.runtime = model.runtime
        self._table = table
        self._model = model
        self._prepare = Preparation(table.input)
        self._defects = [table.labels.index(label) for label in table.defect_labels]

    def screen(self, image: Image, region: Region | None) -> Screening:
        """Look at one image.

        Raises:
            InferenceError: The model failed.
        """
        tensor, _ = self._prepare(image, region)
        answer = self._model.run({self._table.input.name: tensor})
        probabilities = class_probabilities(
            answer[self._table.output], activation=self._table.activation, classes=len(self._table.labels)
        )
        return Screening(score_of(float(probabilities[self._defects].sum())), self._table.threshold)


class VerificationStage:
    """Stage 2, or the only one: detections in frame pixels.

    Raises:
        PackError: The model's real inputs and outputs are not what the manifest says.
    """

    def __init__(self, table: VerificationTable, model: Model, rules: Rules) -> None:
        if table.family not in FAMILIES:
            raise PackError(f"verification.family: '{table.family}' is none of {', '.join(FAMILIES)}")
        self._decode = FAMILIES[table.family].prepare(table, _warmed(model, table.input, key="verification"))
        self.runtime = model.runtime
        self._table = table
        self._model = model
        self._rules = rules
        self._prepare = Preparation(table.input)

    def verify(self, image: Image, region: Region | None) -> tuple[Detection, ...]:
        """All detections of one image at or above the floor, best score first.

        Raises:
            InferenceError: The model failed.
        """
        tensor, placement = self._prepare(image, region)
        found = self._decode(self._model.run({self._table.input.name: tensor}))
        edges = region or (0, 0, image.shape[1], image.shape[0])
        return self._rows(found.moved(clip(placement.to_frame(found.xyxy), *edges)))

    def _rows(self, found: Detections) -> tuple[Detection, ...]:
        labels, rules = self._table.labels, self._rules
        rows = zip(found.xyxy.tolist(), found.score.tolist(), found.label.tolist(), strict=True)
        return tuple(
            Detection(labels[label], score_of(score), rules.threshold_of(labels[label]), _box(box))
            for box, score, label in rows
        )


def _box(values: list[float]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (round(value, 2) for value in values)
    return x1, y1, x2, y2


def _warmed(model: Model, table: InputTable, *, key: str) -> Mapping[str, Tensor]:
    """Run a grey image once: it shows the real outputs, and the first real frame is not the slow one."""
    if table.name not in model.inputs:
        raise PackError(f"{key}.input.name: the model has no input '{table.name}'; it has {', '.join(model.inputs)}")
    tensor, _ = Preparation(table)(np.full((table.height, table.width, 3), table.pad, np.uint8), None)
    declared = model.inputs[table.name]
    fits = len(declared) == tensor.ndim and all(a in (None, b) for a, b in zip(declared, tensor.shape, strict=True))
    if not fits:
        sizes = [size if size is not None else "any" for size in declared]
        raise PackError(f"{key}.input: the manifest makes {list(tensor.shape)} and the model takes {sizes}")
    try:
        return model.run({table.name: tensor})
    except InferenceError as error:
        raise PackError(f"{key}: the model does not run: {error}") from None

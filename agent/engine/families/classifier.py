"""Classifiers: one probability per label."""

from collections.abc import Mapping

import numpy as np

from agent.engine.families.family import Decode, Family, output_of
from agent.engine.manifest import VerificationTable
from agent.engine.model import Tensor
from agent.errors import PackError
from agent.inspection.detections import Detections
from agent.inspection.screening import class_probabilities


def check_labels(outputs: Mapping[str, Tensor], name: str, labels: tuple[str, ...], *, key: str) -> None:
    """Hold the labels against what the model really gives.

    Raises:
        PackError: The output is missing, or it has another number of values than there are labels.
    """
    values = output_of(outputs, name, key=key).size
    if values != len(labels):
        raise PackError(f"{key}: '{name}' gives {values} values and there are {len(labels)} labels")


def _prepare(table: VerificationTable, outputs: Mapping[str, Tensor]) -> Decode:
    """As verification a classifier yields one box at most: the whole region, with its best defect label."""
    name = table.output
    if name is None:
        raise PackError("verification.output is missing: a classifier needs the name of its output")
    check_labels(outputs, name, table.labels, key="verification.output")
    defects = table.defect_labels or table.labels
    rows = np.array([table.labels.index(label) for label in defects], np.int64)
    whole = np.array([[0, 0, table.input.width, table.input.height]], np.float32)

    def decode(answer: Mapping[str, Tensor]) -> Detections:
        scores = class_probabilities(answer[name], activation=table.activation, classes=len(table.labels))[rows]
        best = int(np.argmax(scores))
        return Detections(whole.copy(), scores[best : best + 1].copy(), rows[best : best + 1].copy()).at_least(
            table.floor
        )

    return decode


CLASSIFIER = Family(_prepare)

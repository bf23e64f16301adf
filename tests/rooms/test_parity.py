"""The inspector beside a decoding of the same networks that shares no line with it."""

import math
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest

from agent.config.sections import InferenceSection
from agent.engine.loading import load_engine
from agent.inspection.verdict import Detection
from agent.inspector import Inspector
from boards import Boards, demo_boards, real_boards
from samples import a_frame

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BOX_PX, SCORE = 0.5, 1e-4
REAL, DEMO = 480, 60

Row = tuple[str, float, list[float]]


class Reference:
    """What a pack's two networks say about a picture, read from the manifest by hand."""

    def __init__(self, pack: Path) -> None:
        with (pack / "pack.toml").open("rb") as file:
            manifest = tomllib.load(file)
        self.screening, self.verification = manifest["screening"], manifest["verification"]
        self._screen = self._session(pack / self.screening["file"])
        self._verify = self._session(pack / self.verification["file"])

    @staticmethod
    def _session(path: Path) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def score(self, picture: Any) -> float:
        """The defect probability."""
        table = self.screening
        assert table.get("activation", "none") == "none"
        (values,) = self._screen.run([table["output"]], {table["input"]["name"]: planes(picture, table["input"])})
        by_label = dict(zip(table["labels"], values.ravel().tolist(), strict=True))
        return math.fsum(by_label[label] for label in table["defect_labels"])

    def boxes(self, picture: Any) -> list[Row]:
        """Everything at or above the floor that suppression keeps, in picture pixels, best first."""
        table, facts = self.verification, self.verification["input"]
        yolo = table["yolo"]
        assert yolo.get("activation", "sigmoid") == "sigmoid"
        raws = self._verify.run([head["output"] for head in yolo["heads"]], {facts["name"]: planes(picture, facts)})
        found: list[Row] = []
        for head, raw in zip(yolo["heads"], raws, strict=True):
            found += rows_of(raw[0], head, table["labels"], table["floor"])
        height, width = picture.shape[:2]
        fx, fy = width / facts["width"], height / facts["height"]
        kept = suppressed(sorted(found, key=lambda row: -row[1]), table["nms_iou"])
        return [
            (label, score, [cut(x1 * fx, width), cut(y1 * fy, height), cut(x2 * fx, width), cut(y2 * fy, height)])
            for label, score, (x1, y1, x2, y2) in kept
        ]


def planes(picture: Any, facts: dict[str, Any]) -> Any:
    """A picture as a network's input, done the long way."""
    assert (facts["resize"], facts["layout"]) == ("stretch", "NCHW")
    flag = cv2.INTER_AREA if facts["interpolation"] == "area" else cv2.INTER_LINEAR
    small = cv2.resize(picture, (facts["width"], facts["height"]), interpolation=flag).astype(np.float64)
    order = {"RGB": [2, 1, 0], "BGR": [0, 1, 2]}[facts["channels"]]
    made = [
        (small[..., c] * facts["scale"] - mean) / std
        for c, mean, std in zip(order, facts["mean"], facts["std"], strict=True)
    ]
    return np.array([made], np.float32)


def cut(value: float, limit: float) -> float:
    """A coordinate within the picture."""
    return min(max(value, 0.0), float(limit))


def logistic(value: float) -> float:
    """1 / (1 + e**-x)."""
    return 1.0 / (1.0 + math.exp(-value)) if value > -700 else 0.0


def rows_of(raw: Any, head: dict[str, Any], labels: list[str], floor: float) -> list[Row]:
    """Boxes of one head, cell by cell."""
    size, stride, found = 5 + len(labels), head["stride"], []
    for a, (width, height) in enumerate(head["anchors"]):
        block = raw[a * size : (a + 1) * size]
        least = math.log(floor / (1 - floor))
        for y, x in np.argwhere(block[4] >= least - 1e-3).tolist():
            tx, ty, tw, th, to, *classes = block[:, y, x].tolist()
            cx, cy = (x + logistic(tx)) * stride, (y + logistic(ty)) * stride
            w, h = width * math.exp(tw), height * math.exp(th)
            box = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
            scores = [logistic(to) * logistic(one) for one in classes]
            found += [(label, score, box) for label, score in zip(labels, scores, strict=True) if score >= floor]
    return found


def suppressed(rows: list[Row], limit: float) -> list[Row]:
    """Rows, best first, that overlap no better row of their label by more than the limit."""
    kept: list[Row] = []
    for row in rows:
        if all(other[0] != row[0] or overlap(other[2], row[2]) <= limit for other in kept):
            kept.append(row)
    return kept


def overlap(one: list[float], other: list[float]) -> float:
    """Intersection over union."""
    w = min(one[2], other[2]) - max(one[0], other[0])
    h = min(one[3], other[3]) - max(one[1], other[1])
    both = max(w, 0.0) * max(h, 0.0)
    sizes = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return both / (sizes - both) if both else 0.0


def difference(found: tuple[Detection, ...], expected: list[Row]) -> str:
    """In which way two lists of boxes differ; empty when they agree within the tolerances."""
    left = list(expected)
    for one in found:
        near = [
            row
            for row in left
            if row[0] == one.label
            and abs(row[1] - one.score) <= SCORE
            and max(abs(a - b) for a, b in zip(row[2], one.box, strict=True)) <= BOX_PX
        ]
        if not near:
            return f"{one} is not among {expected}"
        left.remove(near[0])
    return f"missing: {left}" if left else ""


def differences(boards: Boards) -> tuple[int, int, list[str]]:
    """Compare every picture of the boards: how many there were, how many were verified, and what differs."""
    inspector = Inspector(load_engine(boards.pack, InferenceSection(threads=1)))
    reference = Reference(boards.pack)
    verified, wrong = 0, []
    for number, source in enumerate(sorted(boards.sources), start=1):
        picture = np.asarray(cv2.imread(str(boards.folder / source), cv2.IMREAD_COLOR), np.uint8)
        found = inspector.inspect(a_frame(image=picture, number=number, source=source))
        assert found.screening is not None
        score = reference.score(picture)
        if abs(found.screening.score - score) > SCORE:
            wrong.append(f"{source}: screening {found.screening.score}, expected {score}")
        suspicious = found.screening.score >= reference.screening["threshold"]
        if (found.verify_ms is not None) != suspicious:
            wrong.append(f"{source}: verification is for suspicious frames only")
        expected = reference.boxes(picture) if suspicious else []
        verified += suspicious
        if told := difference(found.detections, expected):
            wrong.append(f"{source}: {told}")
    return len(boards.sources), verified, wrong


@pytest.mark.timeout(300)
def test_the_inspector_agrees_with_an_independent_decoding_on_real_boards():
    """On all 480 boards: the same labels, scores within 1e-4, boxes within half a pixel."""
    looked, verified, wrong = differences(real_boards())
    assert wrong == []
    assert looked == REAL
    assert verified > REAL // 4


@pytest.mark.timeout(300)
def test_the_inspector_agrees_with_an_independent_decoding_on_simulated_parts(tmp_path):
    """The same with the demo pack on rendered parts, for a checkout that has no real boards beside it."""
    looked, verified, wrong = differences(demo_boards(tmp_path, DEMO))
    assert wrong == []
    assert looked == DEMO
    assert verified > DEMO // 4

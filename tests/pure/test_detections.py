import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.inspection.detections import Detections, YoloHead, decode_yolo_head, joined
from agent.inspection.verdict import judge
from samples import a_detection

HEAD = YoloHead(stride=16, anchors=((20.9, 18.3), (21.6, 24.9), (30.4, 20.9)))


def detections(*rows: tuple[float, int]) -> Detections:
    """Detections with these scores and labels, side by side."""
    left = np.arange(len(rows), dtype=np.float32) * 20
    xyxy = np.stack([left, left * 0, left + 10, left * 0 + 10], axis=1)
    score = np.array([score for score, _ in rows], np.float64)
    return Detections(xyxy, score, np.array([label for _, label in rows], np.int64))


def raw_head(seed: int, *, classes: int, rows: int, columns: int) -> np.ndarray:
    """What an untrained head might answer, with a few strong cells."""
    random = np.random.default_rng(seed)
    raw = random.normal(0, 2, (len(HEAD.anchors) * (5 + classes), rows, columns))
    return raw.astype(np.float32)


def decoded_by_the_book(raw, head, classes, activation, floor):
    """The paper's formulas, one anchor, cell and class at a time."""

    def act(value: float) -> float:
        return value if activation == "none" else 1 / (1 + math.exp(-value))

    found = []
    for a, (aw, ah) in enumerate(head.anchors):
        cell = raw[a * (5 + classes) : (a + 1) * (5 + classes)].astype(np.float64)
        for cy, cx in np.ndindex(*raw.shape[1:]):
            tx, ty, tw, th, to = cell[:5, cy, cx]
            bx = (1 / (1 + math.exp(-tx)) + cx) * head.stride
            by = (1 / (1 + math.exp(-ty)) + cy) * head.stride
            bw, bh = aw * math.exp(tw), ah * math.exp(th)
            for label in range(classes):
                score = act(to) * act(cell[5 + label, cy, cx])
                if score >= floor:
                    box = (bx - bw / 2, by - bh / 2, bx + bw / 2, by + bh / 2)
                    found.append((score, label, *box))
    return sorted(found)


@pytest.mark.parametrize("activation", ["sigmoid", "none"])
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.integers(1, 4),
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    floor=st.sampled_from([0.0, 0.05, 0.5]),
)
def test_decoding_agrees_with_the_book(activation, seed, classes, rows, columns, floor):
    """The vectorised decoder gives the boxes, labels and scores of the formulas applied one by one."""
    raw = raw_head(seed, classes=classes, rows=rows, columns=columns)
    if activation == "none":  # the network has applied its own
        raw = np.clip(np.abs(raw) / 8, 0, 1).astype(np.float32)
    found = decode_yolo_head(raw, HEAD, classes=classes, activation=activation, floor=floor)
    expected = decoded_by_the_book(raw, HEAD, classes, activation, floor)
    table = sorted(zip(found.score.tolist(), found.label.tolist(), *found.xyxy.T.tolist(), strict=True))
    assert len(table) == len(expected)
    assert np.array(table).ravel() == pytest.approx(np.array(expected).ravel(), rel=1e-5, abs=1e-3)


def test_one_cell_by_hand():
    """Zeros in a cell mean: centred in it, as large as the anchor, score a quarter."""
    raw = np.full((3 * 6, 2, 2), -9.0, np.float32)
    raw[6:12, 1, 0] = 0  # second anchor, second row, first column
    found = decode_yolo_head(raw, HEAD, classes=1, activation="sigmoid", floor=0.1)
    assert found.score.tolist() == [0.25]
    centre_x, centre_y, (w, h) = 8.0, 24.0, HEAD.anchors[1]
    corners = [centre_x - w / 2, centre_y - h / 2, centre_x + w / 2, centre_y + h / 2]
    assert found.xyxy[0].tolist() == pytest.approx(corners, rel=1e-6)


@pytest.mark.parametrize("channel", [4, 5])
def test_a_nan_survives_decoding_and_ends_inconclusive(channel):
    """A NaN in objectness or in a class is neither dropped by the floor nor judged: it ends as inconclusive."""
    raw = np.full((3 * 6, 2, 2), -9.0, np.float32)
    raw[4, 0, 0] = 0
    raw[channel, 0, 0] = np.nan
    found = decode_yolo_head(raw, HEAD, classes=1, activation="sigmoid", floor=0.05)
    found = joined([found, Detections.empty()]).at_least(0.05).suppressed(0.45, per_class=True)
    assert np.isnan(found.score).any()
    scores = [a_detection(score=float(score)) for score in found.score]
    verdict = judge(None, scores, triggered=False)
    assert (verdict.outcome, verdict.code) == ("inconclusive", "not-a-number")


def test_a_nan_box_ends_inconclusive():
    """A box that is not a number cannot confirm anything."""
    raw = np.zeros((3 * 6, 1, 1), np.float32)
    raw[2] = np.nan
    found = decode_yolo_head(raw, HEAD, classes=1, activation="sigmoid", floor=0.1)
    boxes = [a_detection(score=0.99, box=tuple(box)) for box in found.xyxy.tolist()]
    assert judge(None, boxes, triggered=False).code == "not-a-number"


def test_wild_sizes_stay_finite():
    """A width of exp(1000) anchors becomes a huge box, not an infinite one."""
    raw = np.full((3 * 6, 1, 1), 1000.0, np.float32)
    found = decode_yolo_head(raw, HEAD, classes=1, activation="sigmoid", floor=0.1)
    assert np.isfinite(found.xyxy).all()
    assert found.score.tolist() == [1.0, 1.0, 1.0]


def test_nothing_above_the_floor():
    """A head that sees nothing gives no boxes, in the right shapes."""
    raw = np.full((3 * 7, 4, 4), -20.0, np.float32)
    found = decode_yolo_head(raw, HEAD, classes=2, activation="sigmoid", floor=0.05)
    assert len(found) == 0
    assert found.xyxy.shape == (0, 4)


def test_at_least_includes_the_floor():
    """A score equal to the floor is kept, one below it is not, and a NaN is."""
    found = detections((0.05, 0), (0.049999, 0), (math.nan, 0)).at_least(0.05)
    assert found.score.tolist() == pytest.approx([0.05, math.nan], nan_ok=True)


def test_joined_puts_the_best_first():
    """Rows of several heads become one list, best score first, boxes and labels with their scores."""
    both = joined([detections((0.2, 0), (0.9, 1)), detections((0.5, 2))])
    assert both.score.tolist() == [0.9, 0.5, 0.2]
    assert both.label.tolist() == [1, 2, 0]
    assert both.xyxy[:, 0].tolist() == [20, 0, 0]


def test_suppression_per_class_or_over_all():
    """Two equal boxes of different labels both stay per class, and one of them over all classes."""
    xyxy = np.array([[0, 0, 10, 10], [0, 0, 10, 10]], np.float32)
    pair = Detections(xyxy, np.array([0.6, 0.8]), np.array([0, 1]))
    assert pair.suppressed(0.45, per_class=True).label.tolist() == [1, 0]
    assert pair.suppressed(0.45, per_class=False).label.tolist() == [1]


def test_detections_cannot_be_changed():
    """The arrays of a result are read-only: whoever wants others makes new ones."""
    found = detections((0.5, 0))
    with pytest.raises(ValueError, match="read-only"):
        found.score[0] = 1.0
    moved = found.moved(found.xyxy + 1)
    assert moved.xyxy[0].tolist() == [1, 1, 11, 11]
    assert found.xyxy[0].tolist() == [0, 0, 10, 10]


def test_shapes_that_do_not_fit_are_refused():
    """Arrays of different lengths are refused, and the message names every shape."""
    with pytest.raises(ValueError, match=r"expected \(2, 4\), \(2,\), \(2,\); got \(1, 4\)"):
        Detections(np.zeros((1, 4), np.float32), np.zeros(2), np.zeros(2, np.int64))

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.inspection.boxes import (
    Floats,
    Ints,
    area,
    clip,
    iou,
    letterbox,
    nms,
    nms_per_class,
    stretch,
)

sides = st.integers(1, 4096)
inputs = st.integers(32, 1280)
fractions = st.floats(0, 1, allow_nan=False, width=32)
placements = pytest.mark.parametrize("place", [stretch, letterbox])


def boxes(rows: list[list[float]]) -> Floats:
    """Rows of x1, y1, x2, y2 as the array that the functions take."""
    return np.array(rows, np.float32).reshape(-1, 4)


@st.composite
def scored_boxes(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Up to 25 boxes on a coarse grid, so that many touch and overlap, with distinct scores."""
    corner, size = st.integers(0, 30), st.integers(1, 12)
    rows = draw(st.lists(st.tuples(corner, corner, size, size), max_size=25))
    order = draw(st.permutations(range(len(rows))))
    score = np.array([(place + 1) / 32 for place in order], np.float32)
    return boxes([[x, y, x + w, y + h] for x, y, w, h in rows]), score


def nms_by_the_book(xyxy: Floats, score: Floats, limit: float) -> list[int]:
    """Every pair looked at, one at a time, in Python."""
    kept: list[int] = []
    for one in sorted(range(len(score)), key=lambda row: -score[row]):
        if all(overlap(xyxy[one], xyxy[other]) <= limit for other in kept):
            kept.append(one)
    return kept


def overlap(one: Floats, other: Floats) -> float:
    """Intersection over union of two boxes in exact small integers."""
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    both = np.float32(width * height)
    sizes = [np.float32((box[2] - box[0]) * (box[3] - box[1])) for box in (one, other)]
    union = sizes[0] + sizes[1] - both
    return float(both / union) if union > 0 else 0.0


@placements
@given(
    region=st.tuples(sides, sides),
    network=st.tuples(inputs, inputs),
    origin=st.tuples(st.integers(0, 4096), st.integers(0, 4096)),
    corners=st.tuples(fractions, fractions, fractions, fractions),
)
def test_there_and_back_is_the_identity(place, region, network, origin, corners):
    """A box that goes to network pixels and back is where it was within 0.01 px, whatever the sizes."""
    (w, h), (x, y) = region, origin
    one, two, three, four = corners
    box = boxes([[x + one * w, y + two * h, x + three * w, y + four * h]])
    placement = place(region, network, origin_xy=origin)
    back = placement.to_frame(placement.to_network(box))
    assert np.abs(back - box).max() <= 0.01


@placements
@given(region=st.tuples(sides, sides), network=st.tuples(inputs, inputs))
def test_the_whole_region_lands_inside_the_input(place, region, network):
    """The whole region becomes the inner rectangle, which lies inside the network's input."""
    placement = place(region, network)
    (left, top), (w, h) = placement.shift_xy, placement.inner_wh
    whole = placement.to_network(boxes([[0, 0, *region]]))[0]
    assert whole == pytest.approx([left, top, left + w, top + h], abs=1e-3)
    assert left >= 0
    assert top >= 0
    assert left + w <= network[0]
    assert top + h <= network[1]


@pytest.mark.parametrize(
    ("region", "network", "inner", "shift"),
    [
        ((640, 480), (416, 416), (416, 312), (0, 52)),  # wide: bars above and below
        ((480, 640), (416, 416), (312, 416), (52, 0)),  # tall: bars left and right
        ((416, 416), (416, 416), (416, 416), (0, 0)),  # already right
        ((100, 100), (416, 416), (416, 416), (0, 0)),  # enlarged
        ((4000, 1), (416, 416), (416, 1), (0, 207)),  # never thinner than one pixel
        ((333, 500), (320, 320), (213, 320), (53, 0)),  # odd bars: the smaller one first
    ],
)
def test_letterbox_centres_the_picture(region, network, inner, shift):
    """Letterboxing keeps the aspect ratio to a pixel, centres the picture and pads the rest."""
    placement = letterbox(region, network)
    assert (placement.inner_wh, placement.shift_xy) == (inner, shift)


def test_stretch_fills_the_input():
    """Stretching gives each axis its own scale and pads nothing."""
    placement = stretch((640, 480), (320, 320), origin_xy=(10, 20))
    assert placement.inner_wh == placement.outer_wh == (320, 320)
    assert placement.to_network(boxes([[10, 20, 650, 500]])).tolist() == [[0, 0, 320, 320]]


@given(scored_boxes(), scored_boxes())
def test_iou_is_symmetric_and_a_share(one, other):
    """The overlap of a with b is that of b with a, lies in [0, 1], and is 1 with itself."""
    there = iou(one[0], other[0])
    assert there.shape == (len(one[0]), len(other[0]))
    assert np.array_equal(there, iou(other[0], one[0]).T)
    assert ((there >= 0) & (there <= 1)).all()
    assert np.diag(iou(one[0], one[0])) == pytest.approx(1)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([0, 0, 10, 10], [0, 0, 10, 10], 1.0),
        ([0, 0, 10, 10], [5, 0, 15, 10], 1 / 3),
        ([0, 0, 10, 10], [10, 0, 20, 10], 0.0),  # touching is not overlapping
        ([0, 0, 10, 10], [2, 2, 4, 4], 0.04),  # one inside the other
        ([0, 0, 10, 10], [5, 5, 5, 5], 0.0),  # a point
        ([5, 5, 5, 5], [5, 5, 5, 5], 0.0),  # two points: nothing over nothing is nothing
        ([10, 10, 0, 0], [0, 0, 10, 10], 0.0),  # inside out
    ],
)
def test_iou_of_known_pairs(one, other, expected):
    """Intersection over union as computed by hand."""
    assert float(iou(boxes([one]), boxes([other]))[0, 0]) == pytest.approx(expected)


@given(scored_boxes(), fractions)
def test_nms_agrees_with_the_book(found, limit):
    """Suppression keeps exactly what looking at every pair keeps, in the same order."""
    xyxy, score = found
    assert nms(xyxy, score, limit).tolist() == nms_by_the_book(xyxy, score, limit)


@given(scored_boxes(), fractions)
def test_nms_twice_is_once(found, limit):
    """What survived suppression survives it again, and no two survivors overlap by more than the limit."""
    xyxy, score = found
    kept = nms(xyxy, score, limit)
    survivors = xyxy[kept]
    assert nms(survivors, score[kept], limit).tolist() == list(range(len(kept)))
    pairs = iou(survivors, survivors)[np.triu_indices(len(kept), 1)]
    assert (pairs <= limit).all()
    assert (np.diff(score[kept]) <= 0).all()


@given(scored_boxes(), fractions, st.randoms(use_true_random=False))
def test_nms_does_not_depend_on_the_order(found, limit, random):
    """With distinct scores, shuffled boxes leave the same survivors."""
    xyxy, score = found
    shuffled = list(range(len(score)))
    random.shuffle(shuffled)
    rows = np.array(shuffled, np.int64)
    again = rows[nms(xyxy[rows], score[rows], limit)]
    assert again.tolist() == nms(xyxy, score, limit).tolist()


@given(scored_boxes(), fractions, st.data())
def test_nms_per_class_is_nms_in_each_class(found, limit, data):
    """A box is only suppressed by one of its own label, and the best score still comes first."""
    xyxy, score = found
    few = st.lists(st.integers(0, 2), min_size=len(score), max_size=len(score))
    label: Ints = np.array(data.draw(few), np.int64)
    kept = nms_per_class(xyxy, score, label, limit)
    each = [np.flatnonzero(label == one) for one in range(3)]
    expected = {int(rows[row]) for rows in each for row in nms(xyxy[rows], score[rows], limit)}
    assert set(kept.tolist()) == expected
    assert (np.diff(score[kept]) <= 0).all()


def test_equal_scores_keep_their_order():
    """Of two equal boxes with equal scores the first one stays."""
    twice = boxes([[0, 0, 9, 9], [0, 0, 9, 9]])
    assert nms(twice, np.array([0.5, 0.5], np.float32), 0.45).tolist() == [0]


def test_nothing_in_nothing_out():
    """No boxes are no error."""
    none, score = boxes([]), np.empty(0, np.float32)
    assert nms(none, score, 0.5).tolist() == []
    assert nms_per_class(none, score, np.empty(0, np.int64), 0.5).tolist() == []
    assert iou(none, none).shape == (0, 0)


@given(scored_boxes())
def test_clip_keeps_boxes_inside(found):
    """A clipped box lies in the rectangle; one that was outside has no area left."""
    cut = clip(found[0], 5, 6, 20, 21)
    assert (cut >= [5, 6, 5, 6]).all()
    assert (cut <= [20, 21, 20, 21]).all()
    outside = iou(found[0], boxes([[5, 6, 20, 21]]))[:, 0] == 0
    assert (area(cut)[outside] == 0).all()
    assert np.array_equal(cut, clip(cut, 5, 6, 20, 21))


def test_area_of_an_inside_out_box_is_zero():
    """Width and height below zero do not multiply to something positive."""
    assert area(boxes([[10, 10, 0, 0], [0, 0, 3, 4]])).tolist() == [0, 12]

from hypothesis import given
from hypothesis import strategies as st

from agent.ledger.gaps import FrameGap, FrameGaps

steps = st.lists(st.tuples(st.sampled_from(["top", "left"]), st.sampled_from(["lost", "written", "never"])))


def walked(some: list[tuple[str, str]], gaps: FrameGaps) -> dict[str, list[tuple[int, str]]]:
    """Each camera's frames with their numbers, lost or written as told, or never inspected at all."""
    frames: dict[str, list[tuple[int, str]]] = {"top": [], "left": []}
    for camera, fate in some:
        frames[camera].append((len(frames[camera]) + 1, fate))
        if fate == "lost":
            gaps.lose(camera, len(frames[camera]))
        elif fate == "written":
            gaps.accept(camera)
    return frames


@given(steps)
def test_every_lost_frame_is_in_exactly_one_gap(some):
    """Gaps hold every lost frame of their camera once, and none that was written."""
    gaps = FrameGaps("b")
    frames = walked(some, gaps)
    announced = gaps.take()
    for camera, numbered in frames.items():
        mine = [gap for gap in announced if gap.camera == camera]
        for number, fate in numbered:
            holding = sum(gap.first <= number <= gap.last for gap in mine)
            assert holding == 1 if fate == "lost" else holding == 0 or fate == "never"
        assert sum(gap.count for gap in mine) == sum(fate == "lost" for _, fate in numbered)
    assert gaps.lost == sum(gap.count for gap in announced)


@given(steps)
def test_gaps_are_announced_once(some):
    """What was taken out is not announced again, and the count of all losses stays."""
    gaps = FrameGaps("b")
    walked(some, gaps)
    lost = gaps.lost
    assert gaps.pending == bool(gaps.take())
    assert gaps.take() == []
    assert (gaps.pending, gaps.growing, gaps.lost) == (False, False, lost)


def test_a_failed_announcement_waits():
    """Gaps whose announcement failed come again, before the newer ones."""
    gaps = FrameGaps("b")
    gaps.lose("top", 1)
    taken = gaps.take()
    gaps.lose("top", 5)
    gaps.accept("top")
    gaps.put_back(taken)
    assert gaps.take() == [FrameGap("top", "b", 1, 1, 1), FrameGap("top", "b", 5, 5, 1)]


def test_a_gap_spans_frames_that_were_never_inspected():
    """A gap runs from its first to its last lost frame and counts only the lost ones."""
    gaps = FrameGaps("b")
    for number in (3, 5, 9):
        gaps.lose("top", number)
    assert gaps.growing
    assert gaps.take() == [FrameGap("top", "b", 3, 9, 3)]

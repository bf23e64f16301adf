"""The simulated line: what its pictures and its truth promise."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agent.camera.defects import DEFECTS
from agent.camera.knobs import Knobs
from agent.camera.scene import Scene
from agent.camera.simulated import SimulatedCamera
from waiting import until

SMALL: dict[str, Any] = {"width": 320, "height": 240}


@pytest.fixture(scope="module")
def scene() -> Scene:
    """A line on which every part is defective."""
    return Scene(seed=5, knobs=Knobs(defect_rate=1.0))


@pytest.mark.parametrize(("width", "height"), [(160, 120), (320, 240), (640, 480), (400, 640)])
def test_a_frame_has_the_size_that_was_asked_for(width: int, height: int) -> None:
    """A frame is (height, width, 3) bytes, and neither black nor burnt out."""
    image, _ = Scene(width=width, height=height).render(1)
    assert image.shape == (height, width, 3)
    assert image.dtype == np.uint8
    assert 40 < image.mean() < 215
    assert image.std() > 20


@pytest.mark.parametrize(("width", "height"), [(159, 480), (640, 119), (0, 0), (5000, 480)])
def test_a_size_that_shows_no_part_is_refused(width: int, height: int) -> None:
    """A frame that is too small or too large raises ValueError with its size, before anything is built."""
    with pytest.raises(ValueError, match=f"{width}x{height}"):
        Scene(width=width, height=height)
    with pytest.raises(ValueError, match=f"{width}x{height}"):
        SimulatedCamera(width=width, height=height)


def test_a_frame_is_always_the_same() -> None:
    """Frame n of seed s is the same picture with the same truth, in any order and from any scene."""
    one, other = (Scene(seed=9, knobs=Knobs(defect_rate=0.5), **SMALL) for _ in range(2))
    forward = [one.render(n) for n in range(1, 7)]
    backward = [other.render(n) for n in range(6, 0, -1)][::-1]
    for (image, truths), (again, same_truths) in zip(forward, backward, strict=True):
        assert np.array_equal(image, again)
        assert truths == same_truths


def test_frames_and_seeds_differ() -> None:
    """Two frames, and the same frame of two seeds, are different pictures."""
    scene = Scene(seed=1, **SMALL)
    first, _ = scene.render(1)
    assert not np.array_equal(first, scene.render(2)[0])
    assert not np.array_equal(first, Scene(seed=2, **SMALL).render(1)[0])


def test_truth_needs_no_picture(scene: Scene) -> None:
    """The truth of a frame is the one that rendering it returns."""
    for number in range(1, 9):
        assert scene.truth(number) == scene.render(number)[1]


def test_defects_lie_inside_the_frame_and_have_a_sane_size(scene: Scene) -> None:
    """Each box is inside the frame, 5 px to a third of its width on each side; one to three in a frame."""
    for number in range(1, 301):
        truths = scene.truth(number)
        assert 1 <= len(truths) <= 3
        for truth in truths:
            x1, y1, x2, y2 = truth.box
            assert truth.label in DEFECTS
            assert 0 <= x1 < x2 <= 640
            assert 0 <= y1 < y2 <= 480
            assert 5 <= x2 - x1 <= 213
            assert 5 <= y2 - y1 <= 213


def test_every_kind_of_defect_comes(scene: Scene) -> None:
    """There are at least four kinds, and each makes up 15 to 35 percent of the defects."""
    labels = [truth.label for number in range(1, 601) for truth in scene.truth(number)]
    assert len(DEFECTS) >= 4
    for label in DEFECTS:
        assert 0.15 < labels.count(label) / len(labels) < 0.35


def test_one_frame_in_twenty_is_defective_by_default() -> None:
    """Of 2,000 frames 100 are defective, give or take four standard deviations of a binomial."""
    scene = Scene(seed=3, **SMALL)
    defective = sum(bool(scene.truth(number)) for number in range(1, 2001))
    assert abs(defective - 100) < 4 * (2000 * 0.05 * 0.95) ** 0.5


def test_the_defect_rate_changes_nothing_else(scene: Scene) -> None:
    """With and without its defects a frame is the same picture, except near the defects."""
    clear = scene.turned(Knobs(defect_rate=0.0))
    for number in range(1, 9):
        image, truths = scene.render(number)
        bare, none = clear.render(number)
        assert none == ()
        differs = (image != bare).any(axis=2)
        assert differs.any()
        for truth in truths:
            x1, y1, x2, y2 = (int(side) for side in truth.box)
            differs[max(0, y1 - 30) : y2 + 30, max(0, x1 - 30) : x2 + 30] = False
        assert not differs.any()


def test_defects_have_low_contrast(scene: Scene) -> None:
    """Inside its box a typical defect changes the picture by less than a tenth of the scale."""
    clear = scene.turned(Knobs(defect_rate=0.0, noise=0.0))
    marked = scene.turned(Knobs(defect_rate=1.0, noise=0.0))
    changes = []
    for number in range(1, 31):
        image, truths = marked.render(number)
        bare, _ = clear.render(number)
        change = np.abs(image.astype(int) - bare).mean(axis=2)
        for truth in truths:
            x1, y1, x2, y2 = (int(side) for side in truth.box)
            changes.append(change[y1:y2, x1:x2].mean())
    assert 1.0 < float(np.median(changes)) < 25.5


@pytest.mark.parametrize(
    ("turned", "sees"),
    [
        pytest.param(Knobs(light=0.6), lambda a, b: b.mean() < 0.85 * a.mean(), id="light"),
        pytest.param(Knobs(light_angle=-145.0), lambda a, b: _tilt(a) * _tilt(b) < 0, id="light_angle"),
        pytest.param(Knobs(noise=3.0), lambda a, b: _roughness(b) > 1.5 * _roughness(a), id="noise"),
        pytest.param(Knobs(blur=2.0, noise=0.0), lambda a, b: _roughness(b) < 0.5 * _roughness(a), id="blur"),
        pytest.param(Knobs(texture=3.0), lambda a, b: _roughness(b) > 1.1 * _roughness(a), id="texture"),
        pytest.param(Knobs(drift=1.0), lambda a, b: b.std() < 0.9 * a.std(), id="drift"),
    ],
)
def test_each_knob_is_seen_in_the_picture(
    scene: Scene, turned: Knobs, sees: Callable[[np.ndarray, np.ndarray], bool]
) -> None:
    """Less light is darker, another angle lights the other side, and so on."""
    before = scene.turned(Knobs()).render(4)[0].astype(float)
    assert sees(before, scene.turned(turned).render(4)[0].astype(float))


def _tilt(image: np.ndarray) -> float:
    """How much brighter the right side of the plate is than the left."""
    return float(image[90:390, 440:560].mean() - image[90:390, 80:200].mean())


def _roughness(image: np.ndarray) -> float:
    """Mean step between neighbours down a column, inside the plate."""
    return float(np.abs(np.diff(image[80:400, 80:560], axis=0)).mean())


def test_drift_grows_evenly_until_it_is_reached(scene: Scene) -> None:
    """With drift_frames the first frame is almost as set up, and from that frame on drift is complete."""
    slow = scene.turned(Knobs(drift=1.0, drift_frames=1000))
    full, none = scene.turned(Knobs(drift=1.0)), scene.turned(Knobs())
    early = np.abs(slow.render(1)[0].astype(int) - none.render(1)[0]).mean()
    assert early < 0.1 * np.abs(full.render(1)[0].astype(int) - none.render(1)[0]).mean()
    for number in (1000, 4000):
        assert np.array_equal(slow.render(number)[0], full.render(number)[0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("light", -0.1),
        ("light", 4.1),
        ("light_angle", 181.0),
        ("noise", -1.0),
        ("blur", 10.5),
        ("texture", 3.5),
        ("contrast", -0.1),
        ("drift", 1.1),
        ("drift_frames", -1),
        ("defect_rate", 1.01),
        ("defect_rate", float("nan")),
    ],
)
def test_a_knob_outside_its_range_is_refused(name: str, value: Any) -> None:
    """The ValueError names the knob, what it was given and what it allows."""
    with pytest.raises(ValueError, match=rf"^{name} is .* allowed is .* to "):
        Knobs(**{name: value})


@pytest.mark.parametrize("knobs", [Knobs(light=0.0), Knobs(light=4.0, contrast=3.0, noise=10.0, blur=10.0, drift=1.0)])
def test_extreme_knobs_still_give_a_picture(scene: Scene, knobs: Knobs) -> None:
    """At the ends of the ranges frames are painted without a warning."""
    image, _ = scene.turned(knobs).render(2)
    assert image.shape == (480, 640, 3)


def test_the_camera_shows_the_scene_and_knows_the_truth() -> None:
    """Shot n of the camera is frame n of the scene, its source is n, and truth_of tells what is wrong in it."""
    knobs = Knobs(defect_rate=0.5)
    camera, scene = (
        SimulatedCamera(fps=1000.0, seed=4, knobs=knobs, frames=3, **SMALL),
        Scene(seed=4, knobs=knobs, **SMALL),
    )
    camera.open()
    for number in (1, 2, 3):
        shot = camera.read()
        image, truths = scene.render(number)
        assert shot is not None
        assert shot.image is not None
        assert shot.source == str(number)
        assert np.array_equal(shot.image, image)
        assert camera.truth_of(int(shot.source)) == truths
    assert camera.read() is None
    camera.close()


def test_the_camera_keeps_its_pace() -> None:
    """The first part comes at once, the third not before two periods have passed since open."""
    camera = SimulatedCamera(fps=50.0, frames=3, **SMALL)
    start = time.monotonic()
    camera.open()
    while camera.read() is not None:
        pass
    assert time.monotonic() - start >= 2 / 50
    camera.close()


def test_closing_ends_a_read_at_once() -> None:
    """A read that waits for the next part returns None as soon as another thread closes the camera."""
    camera = SimulatedCamera(fps=0.001, **SMALL)
    camera.open()
    assert camera.read() is not None
    answers: list[object] = []
    reader = threading.Thread(target=lambda: answers.append(camera.read()))
    reader.start()
    camera.close()
    assert until(lambda: answers)
    assert answers == [None]
    reader.join()


@pytest.mark.parametrize("wrong", [{"fps": 0.0}, {"fps": -1.0}, {"fps": float("inf")}, {"frames": -1}])
def test_a_pace_that_cannot_be_kept_is_refused(wrong: dict[str, Any]) -> None:
    """Frames per second must be above 0 and frames not negative."""
    with pytest.raises(ValueError, match="simulated camera"):
        SimulatedCamera(**wrong)

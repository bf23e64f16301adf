"""The demo pack that ships with the repository, on frames that it was not trained on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from agent.camera.scene import DEFECTS, Knobs, Scene, Truth
from agent.config.sections import InferenceSection
from agent.engine.loading import Engine, load_engine
from agent.inspection.boxes import iou
from agent.inspection.verdict import Detection
from agent.inspector import Inspector
from samples import a_frame

ENGINES = Path(__file__).resolve().parents[2] / "engines"
PACK = ENGINES / "demo-surface-v1.0"
FRAMES = 60
SEED = 424242


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The pack, loaded as the agent loads it."""
    return load_engine(PACK, InferenceSection(threads=1))


@dataclass(frozen=True)
class Looked:
    """What a line of frames held and what became of it."""

    truths: list[tuple[Truth, ...]]
    suspicious: list[bool]
    confirmed: list[list[Detection]]

    @property
    def recall(self) -> float:
        """Share of the defects that a confirmed detection of their label found, at an IoU of 0.33."""
        found = [
            _found(truth, own) for truths, own in zip(self.truths, self.confirmed, strict=True) for truth in truths
        ]
        return sum(found) / len(found)


def look(engine: Engine, knobs: Knobs, frames: int = FRAMES) -> Looked:
    """Inspects frames of a line whose parts no training and no tuning has seen."""
    scene, inspector = Scene(seed=SEED, knobs=knobs), Inspector(engine)
    truths, suspicious, confirmed = [], [], []
    for number in range(1, frames + 1):
        image, own = scene.render(number)
        found = inspector.inspect(a_frame(image=image, number=number))
        assert found.screening is not None
        truths.append(own)
        suspicious.append(found.screening.suspicious)
        confirmed.append([one for one in found.detections if one.score >= one.threshold])
    return Looked(truths, suspicious, confirmed)


def _found(truth: Truth, confirmed: list[Detection]) -> bool:
    own = np.asarray([one.box for one in confirmed if one.label == truth.label], np.float32).reshape(-1, 4)
    return bool((iou(own, np.asarray([truth.box], np.float32)) >= 0.33).any())


@pytest.fixture(scope="module")
def defective(engine: Engine) -> Looked:
    """Defective parts under the lighting of the held-out figures."""
    return look(engine, Knobs(light=0.75, light_angle=85.0, defect_rate=1.0))


def test_the_pack_is_small() -> None:
    """Everything in the pack together is under 10 MB."""
    assert sum(file.stat().st_size for file in PACK.rglob("*") if file.is_file()) < 10_000_000


def test_the_pack_knows_the_simulated_defects(engine: Engine) -> None:
    """Its folder is named after its manifest, and its labels are the scene's, in their order."""
    assert engine.pack.name == PACK.name
    assert engine.pack.manifest.verification.labels == DEFECTS


def test_the_pack_says_how_good_it_is(engine: Engine) -> None:
    """Its metrics cover every class, come from synthetic frames, and are below 1."""
    metrics = engine.pack.manifest.metrics
    assert metrics is not None
    assert metrics.source == "synthetic"
    assert set(metrics.classes) == set(DEFECTS)
    assert metrics.map is not None
    assert 0.5 < metrics.map < 1.0
    for own in metrics.classes.values():
        assert 0 < own.precision < 1
        assert 0 < own.recall < 1
        assert own.f1 == pytest.approx(2 * own.precision * own.recall / (own.precision + own.recall), abs=0.002)


def test_the_readme_carries_the_manifests_figures(engine: Engine) -> None:
    """What engines/README.md prints for each class is what the manifest says."""
    metrics = engine.pack.manifest.metrics
    assert metrics is not None
    rows = [line.split() for line in (ENGINES / "README.md").read_text(encoding="utf-8").splitlines()]
    for label, own in metrics.classes.items():
        figures = [f"{own.precision:.3f}", f"{own.recall:.3f}", f"{own.f1:.3f}"]
        assert any(row[:1] == [label] and row[-4:-1] == figures for row in rows)


def test_the_pack_finds_defects_under_a_lighting_it_was_not_trained_on(defective: Looked) -> None:
    """Of 60 defective parts screening passes most on, and a good part of the defects is confirmed."""
    assert np.mean(defective.suspicious) > 0.6
    assert defective.recall > 0.3


def test_the_pack_clears_clear_parts(engine: Engine) -> None:
    """Of 60 parts without a defect screening clears a good part even there, and few are rejected."""
    clear = look(engine, Knobs(light=0.75, light_angle=85.0, defect_rate=0.0))
    assert np.mean(clear.suspicious) < 0.65
    assert sum(bool(own) for own in clear.confirmed) <= 6


def test_drift_makes_it_worse(engine: Engine, defective: Looked) -> None:
    """With the drift knob turned up the same defects are found markedly less often."""
    drifted = look(engine, Knobs(light=0.75, light_angle=85.0, defect_rate=1.0, drift=1.0))
    assert drifted.recall < defective.recall - 0.1

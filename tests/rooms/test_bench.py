import ast
import json
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.batch import bare_loop
from agent.batch.bare_loop import BareLoop
from agent.batch.bare_plan import bare_plan
from agent.batch.bare_process import BareProcess
from agent.batch.bench import AgentTurns, bench_files, compare, usable_images
from agent.batch.images import frame_of, shots
from agent.batch.lines import record_of
from agent.batch.summary import Spread
from agent.batch.targets import BANDS, USE_CASES, placed, targets
from agent.cli.batch import UseCase
from agent.clock import Clock
from agent.config.sections import InferenceSection
from agent.engine.loading import Engine, load_engine
from agent.errors import EngineError, UsageError
from agent.inspector import Inspector
from boards import real_boards
from daemon import FIELDGATE, environment
from tiny_models import a_pack, brightness_model, input_table, manifest

ONE_THREAD = InferenceSection(threads=1)
NOW = Clock().now


@pytest.fixture
def folder(tmp_path):
    """Eight images of noise, not square, some so dark that screening clears them."""
    rng = np.random.default_rng(11)
    root = tmp_path / "parts"
    root.mkdir()
    for number in range(8):
        image = rng.integers(0, 256 if number % 2 else 60, (90, 120, 3), np.uint8)
        assert cv2.imwrite(str(root / f"{number}.png"), image)
    return root


def noise_pack(folder: Path, **facts) -> Path:
    """A tiny pack whose heads find boxes in noise, with other facts in its verification."""
    return a_pack(folder, verification={**manifest()["verification"], "floor": 0.3, **facts})


def seen_by_both(pack: Path, images: Path) -> list[tuple[bool, list, list]]:
    """For each image: whether the bare loop calls it suspicious, its rows, and the agent's detections."""
    engine = load_engine(pack, ONE_THREAD)
    loop = BareLoop(bare_plan(engine.pack, ONE_THREAD, []))
    inspector = Inspector(engine)
    labels = engine.pack.manifest.verification.labels
    found = []
    for number, shot in enumerate(shots(images), start=1):
        assert shot.image is not None
        suspicious = loop.suspicious(shot.image)
        rows = loop.boxes(shot.image).tolist() if suspicious else []
        record = record_of(inspector, frame_of(shot, number, NOW()))
        assert suspicious == (record.screening is None or record.screening.suspicious)
        bare = sorted((labels[int(row[5])], *(round(value, 3) for value in row[:5])) for row in rows)
        agent = sorted((one.label, *(round(value, 3) for value in (*one.box, one.score))) for one in record.detections)
        found.append((suspicious, bare, agent))
    return found


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({}, id="stretch"),
        pytest.param({"input": input_table(64, resize="letterbox")}, id="letterbox"),
        pytest.param({"input": input_table(64, channels="BGR", interpolation="linear")}, id="BGR, linear"),
        pytest.param({"input": input_table(64, mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.4])}, id="mean and std"),
        pytest.param({"nms": "agnostic", "nms_iou": 0.2}, id="suppression over all classes"),
    ],
)
def test_the_bare_loop_finds_what_the_agent_finds(tmp_path, folder, facts):
    """The bare loop does all of the agent's inspecting: same suspicion, same boxes, labels and scores."""
    seen = seen_by_both(noise_pack(tmp_path / "pack", **facts), folder)
    assert {suspicious for suspicious, _, _ in seen} == {True, False}
    assert sum(len(bare) for _, bare, _ in seen) > 10
    for _, bare, agent in seen:
        assert [row[0] for row in bare] == [row[0] for row in agent]
        np.testing.assert_allclose([row[1:] for row in bare], [row[1:] for row in agent], atol=0.02)


def test_the_bare_loop_knows_classifiers_as_verification(tmp_path, folder):
    """With a classifier as verification the bare loop gives one box for the whole image, as the agent does."""
    table = {**manifest()["screening"], "file": "verify.onnx", "threshold": 0.3}
    pack = a_pack(tmp_path / "pack", screening=None, verification=table)
    brightness_model(pack / "verify.onnx")
    for _, bare, agent in seen_by_both(pack, folder):
        assert len(bare) == 1
        assert bare[0][0] == agent[0][0] == "defect"
        np.testing.assert_allclose(bare[0][1:], agent[0][1:], atol=0.01)


def test_the_bare_loop_finds_what_the_agent_finds_on_real_boards(tmp_path):
    """On real boards too the bare loop decodes the same boxes as the agent."""
    boards = real_boards()
    few = tmp_path / "few"
    few.mkdir()
    for number, source in enumerate(sorted(boards.sources)[::40]):
        (few / f"{number}.jpg").symlink_to(boards.folder / source)
    seen = seen_by_both(boards.pack, few)
    assert sum(len(bare) for _, bare, _ in seen) > 10
    for _, bare, agent in seen:
        assert [row[0] for row in bare] == [row[0] for row in agent]
        np.testing.assert_allclose([row[1:] for row in bare], [row[1:] for row in agent], atol=0.02)


def test_the_bare_loop_imports_nothing_of_the_agent():
    """The file of the bare loop stands alone: what it is compared with is not in it."""
    tree = ast.parse(Path(bare_loop.__file__).read_text(encoding="utf-8"))
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert "onnxruntime" in imported
    assert not [name for name in imported if name.split(".")[0] in ("agent", "")]


@pytest.fixture
def engine(tmp_path) -> Engine:
    """The tiny pack, loaded."""
    return load_engine(noise_pack(tmp_path / "pack"), ONE_THREAD)


def test_a_turn_takes_the_images_it_was_asked_for(engine, folder):
    """A turn of the bare loop ends after so many images, and reports each one's latency and its own peak memory."""
    plan = bare_plan(engine.pack, ONE_THREAD, usable_images(folder))
    with BareProcess(plan) as bare:
        answer = bare.turn(seconds=60, frames=5)
        whole = [bare.turn(seconds=60, frames=8, start=0)["boxes"], bare.turn(seconds=60, frames=8)["boxes"]]
    assert answer["images"] == len(answer["latency_ms"]) == len(answer["read_ms"]) == 5
    assert len(answer["verify_ms"]) < len(answer["screen_ms"]) == 5
    assert answer["peak_mb"] > 10
    assert whole[0] == whole[1] > 0


def test_a_paced_turn_keeps_its_rate(engine, folder):
    """Paced, the bare loop never runs ahead of its schedule."""
    with BareProcess(bare_plan(engine.pack, ONE_THREAD, usable_images(folder))) as bare:
        answer = bare.turn(seconds=60, frames=6, rate=20)
    assert answer["seconds"] >= 5 / 20


def test_a_bare_loop_that_cannot_begin_says_why(engine, folder):
    """When the bare loop's process ends, its last word is in the error."""
    plan = bare_plan(engine.pack, ONE_THREAD, usable_images(folder))
    plan["verification"]["file"] = "nowhere.onnx"
    with pytest.raises(EngineError, match=r"nowhere\.onnx"), BareProcess(plan):
        pytest.fail("it began")


def test_both_sides_see_the_same_images(engine, folder):
    """Each pair is measured over the same images, and the ratio is the median of the pairs."""
    images = usable_images(folder)
    agent = AgentTurns(Inspector(engine), images, now=NOW)
    with BareProcess(bare_plan(engine.pack, ONE_THREAD, images)) as bare:
        report = compare(agent, bare, seconds=0.3, pairs=3)
    assert report.agent.images == report.bare.images > 0
    assert report.ratio == sorted(report.ratios)[1]
    assert set(report.agent.stages) == set(report.bare.stages) == {"read", "screen", "verify", "total"}


def test_a_bench_leaves_out_what_cannot_be_decoded(tmp_path, folder):
    """Files that cannot be decoded take no part in a bench; without any other there is none."""
    (folder / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert [path.name for path in usable_images(folder)] == [f"{number}.png" for number in range(8)]
    alone = tmp_path / "alone"
    alone.mkdir()
    (folder / "torn.png").rename(alone / "torn.png")
    with pytest.raises(UsageError, match="no image that can be decoded"):
        usable_images(alone)


def test_a_single_image_can_be_benched(tmp_path, folder):
    """The input of a bench may be one image."""
    report = bench_files(noise_pack(tmp_path / "pack"), folder / "1.png", seconds=0.1, threads=1)
    assert report.agent.images == report.bare.images > 0


def test_spread():
    """Average and quantiles of 1 to 100, interpolated between neighbours; zeros for nothing."""
    assert Spread.of([float(value) for value in range(1, 101)]) == pytest.approx(Spread(50.5, 50.5, 95.05, 99.01))
    assert Spread.of([]) == Spread(0, 0, 0, 0)


@pytest.mark.parametrize(
    ("p99", "met"),
    [
        (99.9, ["line", "batch", "drone", "mobile", "overnight"]),
        (100.0, ["batch", "drone", "mobile", "overnight"]),
        (500.0, ["drone", "mobile", "overnight"]),
        (2_000.0, ["mobile", "overnight"]),
        (3_000.0, ["overnight"]),
    ],
)
def test_targets(p99, met):
    """A use case is met when 99 of 100 images stay below its limit; overnight always is."""
    assert [one.use_case for one in targets(p99) if one.met] == met


def test_one_use_case_alone():
    """Whoever names a use case hears of that one only."""
    assert [(one.use_case, one.limit_ms) for one in targets(10, "drone")] == [("drone", 2_000.0)]


@pytest.mark.parametrize("hardware", BANDS)
def test_bands(hardware):
    """A throughput lies below, within or above the band of its hardware, both ends included."""
    low, high = BANDS[hardware]
    rates = (low - 0.1, low, high, high + 0.1)
    assert [placed(rate, hardware) for rate in rates] == ["below", "within", "within", "above"]


def bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ``fieldgate bench`` as its user does."""
    called = [FIELDGATE, "bench", *map(str, arguments)]
    return subprocess.run(called, capture_output=True, text=True, env=environment(), timeout=60, check=False)


def test_bench_prints_json_for_scripts(tmp_path, folder):
    """With --json the figures of both sides, the ratio, targets and band are one JSON object."""
    pack = noise_pack(tmp_path / "pack")
    done = bench("--engine", pack, "--input", folder, "--seconds", 0.5, "--use-case", "line", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert set(answer["agent"]) == set(answer["bare"]) == {"images", "images_per_s", "stages", "peak_mb"}
    assert set(answer["agent"]["stages"]["total"]) == {"average", "p50", "p95", "p99"}
    assert len(answer["ratios"]) == 5
    assert [one["use_case"] for one in answer["targets"]] == ["line"]
    assert answer["band"]["hardware"] == "CPU"


def test_every_use_case_can_be_named():
    """The command line knows exactly the use cases that have a target."""
    assert [one.value for one in UseCase] == list(USE_CASES)


def test_bench_prints_tables_for_people(tmp_path, folder):
    """Without --json both sides, the ratio and each use case are printed."""
    done = bench("--engine", noise_pack(tmp_path / "pack"), "--input", folder, "--seconds", 0.5)
    assert done.returncode == 0, done.stderr
    for word in ("agent", "bare", "ratio", "verify", "line", "overnight", "CPU band"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("engine_folder", "source", "code"), [("pack", "nowhere", 2), ("nowhere", "parts", 1), ("pack", "empty", 2)]
)
def test_bench_refuses_in_one_sentence(tmp_path, folder, engine_folder, source, code):
    """Wrong input is exit 2 and a wrong pack exit 1, each with one sentence and no traceback."""
    noise_pack(tmp_path / "pack")
    (tmp_path / "empty").mkdir()
    assert folder == tmp_path / "parts"
    done = bench("--engine", tmp_path / engine_folder, "--input", tmp_path / source)
    assert done.returncode == code
    assert done.stderr.startswith("fieldgate: ")
    assert "Traceback" not in done.stderr

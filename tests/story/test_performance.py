"""The bench must notice a slower agent: otherwise its ratio would prove nothing."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import pytest

from agent.batch.bare_plan import bare_plan
from agent.batch.bare_process import BareProcess
from agent.batch.bench import AgentTurns, compare, usable_images
from agent.clock import Clock
from agent.config.sections import InferenceSection
from agent.engine.loading import Engine, load_engine
from agent.engine.model import Model, Tensor
from agent.engine.onnx import OnnxModel
from agent.engine.pack import read_pack
from agent.engine.stages import ScreeningStage, VerificationStage
from agent.inspector import Inspector
from boards import Boards, demo_boards, real_boards

ONE_THREAD = InferenceSection(threads=1)
PAIRS, PAIR_S = 40, 1.0


class SlowedModel:
    """A model that needs a quarter longer for each run, so that it gets 20 % less done."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.runtime, self.inputs, self.outputs = model.runtime, model.inputs, model.outputs

    def run(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        begun = time.perf_counter()
        answer = self._model.run(inputs)
        threading.Event().wait((time.perf_counter() - begun) / 4)
        return answer


def slowed_engine(folder: Path) -> Engine:
    """The engine of a pack with both models slowed."""
    pack = read_pack(folder)
    first, second = pack.manifest.screening, pack.manifest.verification
    assert first is not None
    screen, verify = (SlowedModel(OnnxModel(folder / one.file, threads=1, spinning=False)) for one in (first, second))
    return Engine(pack, ScreeningStage(first, screen), VerificationStage(second, verify, pack.rules))


@pytest.fixture(params=["real boards", "demo pack"])
def boards(request, tmp_path) -> Boards:
    """Real boards where they are at hand, and the demo pack everywhere."""
    return real_boards() if request.param == "real boards" else demo_boards(tmp_path / "parts")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_agent_slowed_by_a_fifth_is_seen(boards):
    """With models that get 20 % less done, the ratio falls by about that much, and by at least a tenth."""
    images = usable_images(boards.folder)
    engines = load_engine(boards.pack, ONE_THREAD), slowed_engine(boards.pack)
    sides = [AgentTurns(Inspector(engine), images, now=Clock().now) for engine in engines]
    fell = []
    with BareProcess(bare_plan(engines[0].pack, ONE_THREAD, images)) as bare:
        for turn in range(PAIRS):
            # Side by side and in changing order, so that what else the machine does hits both.
            order = (0, 1) if turn % 2 else (1, 0)
            ratio = {which: compare(sides[which], bare, seconds=PAIR_S, pairs=1).ratio for which in order}
            fell.append(ratio[1] / ratio[0])
    print(f"no seed, {PAIRS} pairs of {PAIR_S:g} s each: the ratio fell to {median(fell):.3f} of itself")
    assert median(fell) < 0.9

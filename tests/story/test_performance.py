"""The bench must notice a slower agent: otherwise its ratio would prove nothing."""

import threading
import time
from statistics import median

import pytest

from agent.batch.bare_plan import bare_plan
from agent.batch.bare_process import BareProcess
from agent.batch.bench import AgentTurns, compare, usable_images
from agent.clock import Clock
from agent.config.sections import InferenceSection
from agent.engine.loading import load_engine
from agent.inspection.frame import Moment
from agent.inspector import Inspector
from boards import Boards, demo_boards, real_boards

ONE_THREAD = InferenceSection(threads=1)
PAIRS, PAIR_S = 40, 1.0


class Drag:
    """A clock, read once an image, that takes a quarter of the time since the last reading: 20 % less gets done."""

    def __init__(self) -> None:
        self._clock = Clock()
        self._read_at: float | None = None

    def now(self) -> Moment:
        if self._read_at is not None:
            threading.Event().wait((time.perf_counter() - self._read_at) / 4)
        self._read_at = time.perf_counter()
        return self._clock.now()

    def rest(self) -> None:
        """A turn is over: the time until the next one is nobody's."""
        self._read_at = None


@pytest.fixture(params=["real boards", "demo pack"])
def boards(request, tmp_path) -> Boards:
    """Real boards where they are at hand, and the demo pack everywhere."""
    return real_boards() if request.param == "real boards" else demo_boards(tmp_path / "parts")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_agent_slowed_by_a_fifth_is_seen(boards):
    """With an agent that gets 20 % less done, the ratio falls by about that much, and by at least a tenth."""
    images = usable_images(boards.folder)
    engine = load_engine(boards.pack, ONE_THREAD)
    drag = Drag()
    free = AgentTurns(Inspector(engine), images, now=Clock().now)
    slowed = AgentTurns(Inspector(engine), images, now=drag.now)
    fell = []
    with BareProcess(bare_plan(engine.pack, ONE_THREAD, images)) as bare:
        for turn in range(PAIRS):
            # Side by side and in changing order, so that what else the machine does hits both.
            order = (free, slowed) if turn % 2 else (slowed, free)
            ratio = {side: compare(side, bare, seconds=PAIR_S, pairs=1).ratio for side in order}
            fell.append(ratio[slowed] / ratio[free])
            drag.rest()
    print(f"no seed, {PAIRS} pairs of {PAIR_S:g} s each: the ratio fell to {median(fell):.3f} of itself")
    assert median(fell) < 0.9

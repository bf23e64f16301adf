"""A broker that takes one message at a time and says no in every way that the standard knows."""

import itertools
from collections import Counter
from pathlib import Path

from agent.sync.retry import PUBACK_CODES, Settlement
from daemon import daemon
from oracle import prove, read_log
from ordeals.ground import HURRY, config, folder_camera, pictures
from ordeals.outcome import Outcome, Stopwatch, Tick, nobody_watches
from scripted_broker import SUCCESS, scripted

TAKEN_AWAY = {Settlement.SETTLE, Settlement.REJECTED}
REFUSING = tuple(code for code, (meaning, _) in PUBACK_CODES.items() if meaning not in TAKEN_AWAY)
UNKNOWN = (0x9E, 0xFF)  # a failure that no table names


def refusing_broker(folder: Path, *, seed: int, refusals: int, tick: Tick = nobody_watches) -> Outcome:
    """Refuse now and then, with each code in turn; what was refused comes again until it is accepted.

    Codes that put a single message aside (invalid topic, invalid payload) are another story: a person decides.
    """
    watch = Stopwatch()
    turns = itertools.cycle((*REFUSING, *UNKNOWN))
    refused: Counter[int] = Counter()
    heard = itertools.count(seed)

    def answer(topic: str) -> int:
        if "/ledger/" not in topic or next(heard) % 3 or refused.total() >= refusals:
            return SUCCESS
        code = next(turns)
        refused[code] += 1
        tick()
        return code

    images = pictures(folder / "images", 4 * refusals)
    with scripted(answer, receive_maximum=1) as broker:
        settings = config(
            folder, folder_camera(images, on_end="exit"), store=None, port=broker.port, mqtt={"exit_wait_s": 3000}
        )
        with daemon(folder / "agent", settings) as agent:
            agent.start(settings=HURRY)
            assert agent.wait(60 + 10 * refusals) == 0, agent.told()[-4000:]
            assert agent.ask("SELECT count(*) FROM outbox") == [(0,)]
            heads = dict(agent.ask("SELECT epoch, seq FROM head"))
        proof = prove(read_log(folder / "recorded.txt"), broker.accepted(), heads)
        assert proof.holds, (sorted(proof.lost), proof.unexplained, proof.broken)
        assert broker.most_waiting == 1, "more in flight than the broker allows"
        assert refused.total() == refusals
        figures = {**proof.figures(bound=0), "codes": len(refused), "most in flight": broker.most_waiting}
    return Outcome("refusals, one at a time", seed, refusals, watch.seconds, figures)

import json
import random
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from agent.central.ledgers import LedgerFile
from agent.central.reading import Message, Source, read
from agent.central.verifying import verify
from chains import Chain

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "docs" / "contract" / "verify.mjs"
EXAMPLE = (ROOT / "docs" / "reference" / "example-ledger.jsonl").read_bytes().splitlines()

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")


def by_javascript(folder: Path, bodies: list[bytes]) -> tuple[int, dict[str, Any]]:
    """Exit code and answer of the second verifier on these messages."""
    path = folder / "messages.jsonl"
    path.write_bytes(b"\n".join(bodies))
    assert NODE is not None
    done = subprocess.run([NODE, str(SCRIPT), str(path), "--json"], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def by_python(folder: Path, bodies: list[bytes]) -> list[dict[str, Any]]:
    """What ``collect verify`` says of the same, in the other's words."""
    folder.mkdir(exist_ok=True)
    with LedgerFile(folder / "messages.db", writing=True) as file:
        file.begin()
        for body in bodies:
            for one in read(Source("lab", json.loads(body)["device"], "ledger/any"), body):
                assert isinstance(one, Message)
                file.keep(one)
        file.commit()
        same = ("site", "device", "epoch", "received", "missing", "explained", "unexplained", "complete_up_to")
        return [
            {
                **{key: verdict.to_json()[key] for key in same},
                "breaks": [one.seq for one in verdict.proof.breaks],
                "conflicts": len(verdict.conflicts),
            }
            for verdict in verify(file)
        ]


def a_life(draw: random.Random, device: str) -> list[bytes]:
    """What arrived of a device that had trouble: gaps, a second ledger, losses, copies, damage, in any order."""
    old = Chain(device=device, epoch="old").alerts(draw.randint(1, 30))
    new = Chain(device=device, epoch="new")
    for chain, other in ((old, old), (new, old), (new, new)):
        chain.alerts(draw.randint(1, 15))
        for _ in range(draw.randint(0, 3)):
            first = draw.randint(1, len(other.said))
            chain.missing(first, draw.randint(first, min(len(other.said), first + 6)), of=other)
    if draw.random() < 0.6:
        new.ended(old, draw.choice([None, len(old.said), draw.randint(1, len(old.said))]))
    bodies = [one.body for one in old.said + new.said]
    kept = [body for body in bodies if draw.random() > draw.choice([0, 0.1, 0.4])]
    if draw.random() < 0.3 and kept:
        place = draw.randrange(len(kept))
        kept[place] = kept[place].replace(b'"at":"2026', b'"at":"2027')
    kept += draw.sample(kept, min(len(kept), 3))
    draw.shuffle(kept)
    return kept


@pytest.mark.parametrize("seed", [3, 2026])
def test_two_languages_prove_the_same(seed, tmp_path):
    """On 150 random ledgers with every kind of trouble, JavaScript and Python agree on every number."""
    draw, began = random.Random(seed), time.monotonic()
    bodies = [body for number in range(150) for body in a_life(draw, f"device-{number}")]
    _code, told = by_javascript(tmp_path, bodies)
    ours = by_python(tmp_path, bodies)

    def key(one: dict[str, Any]) -> tuple[str, str]:
        return one["device"], one["epoch"]

    assert sorted(told["verdicts"], key=key) == sorted(ours, key=key)
    wholes = [one for one in ours if not (one["unexplained"] or one["breaks"])]
    print(f"seed {seed}: {len(ours)} ledgers, {len(wholes)} of them whole, {time.monotonic() - began:.1f} s")
    assert 20 < len(wholes) < len(ours) - 20, "both verdicts were to be seen"


def test_the_example_is_whole_in_javascript(tmp_path):
    """The example ledger of a real agent, in any order."""
    code, told = by_javascript(tmp_path, EXAMPLE[::-1])
    (verdict,) = told["verdicts"]
    assert (code, verdict["received"], verdict["complete_up_to"]) == (0, len(EXAMPLE), len(EXAMPLE))


def test_the_second_verifier_finds_what_is_wrong(tmp_path):
    """A changed, a missing and a contradicting message, and a line that is none."""
    chain = Chain().alerts(6)
    chain.missing(2, 3)
    bodies = [one.body for one in chain.said]
    assert by_javascript(tmp_path, bodies[:1] + bodies[3:])[0] == 0
    code, told = by_javascript(tmp_path, [*bodies[:4], bodies[4].replace(b"mode-file", b"mood-file"), *bodies[5:]])
    assert (code, told["verdicts"][0]["breaks"]) == (1, [6])
    code, told = by_javascript(tmp_path, bodies[:3] + bodies[4:])
    assert (code, told["verdicts"][0]["unexplained"]) == (1, [[4, 4]])
    code, told = by_javascript(tmp_path, [*bodies, bodies[5].replace(b"mode-file", b"mood-file"), b"no message"])
    assert (code, told["verdicts"][0]["conflicts"], told["strange"]) == (1, 1, 1)

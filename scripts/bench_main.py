#!/usr/bin/env python3
"""The whole agent beside a bare loop over the same models, images and thread settings, in the same run.

Both work by turns (agent, bare, agent, bare, ...), so that what else the machine does hits both; what counts is
the median of the pairs' ratios, or the quantile over all turns. Start it as `scripts/bench`.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench_bars import Settings, memory, paced, saturated, startup
from bench_ground import Ground, ground

BENCHES: Mapping[str, Callable[[Ground, Settings], list[Any]]] = {
    "saturated": saturated,
    "paced": paced,
    "memory": memory,
    "startup": startup,
}


def main() -> int:
    """Run what was asked for; 1 when a bar was missed."""
    wanted = _arguments()
    settings = Settings(wanted.pairs, wanted.seconds, wanted.frames, wanted.small_frames)
    bars = []
    with ground(wanted.pack, wanted.images) as stage:
        print(f"{stage.pack.name}, {len(stage.images)} images, threads {stage.plan['threads']}", file=sys.stderr)
        for name in wanted.benches or BENCHES:
            print(f"\n{name}", file=sys.stderr)
            bars += BENCHES[name](stage, settings)
    if wanted.json:
        print(json.dumps([bar.to_json() for bar in bars], indent=2))
    else:
        print("\n" + "\n".join(bar.sentence() for bar in bars))
    return int(any(not bar.met for bar in bars))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=f"{', '.join(BENCHES)}; default: all")
    parser.add_argument("--pairs", type=int, default=5, help="turns of each side (5)")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a saturated turn (60)")
    parser.add_argument("--frames", type=int, default=2000, help="paced frames over all turns (2000)")
    parser.add_argument(
        "--small-frames", type=int, nargs=2, default=(5000, 20000), help="where memory growth is read (5000 20000)"
    )
    parser.add_argument("--pack", type=Path, help="engine pack; default: the real boards' or the demo pack")
    parser.add_argument("--images", type=Path, help="folder of images for --pack")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    wanted = parser.parse_args()
    for name in wanted.benches:
        if name not in BENCHES:
            parser.error(f"there is no bench '{name}'; there are {', '.join(BENCHES)}")
    return wanted


if __name__ == "__main__":
    sys.exit(main())

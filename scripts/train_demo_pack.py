#!/usr/bin/env python3
"""Trains the demo pack on simulated frames and writes it, measured, into `engines/`.

Needs PyTorch and onnx beside the agent; nothing else in the project does:

    python -m venv /tmp/torch && /tmp/torch/bin/pip install torch onnx onnxruntime
    /tmp/torch/bin/pip install -e '.[cpu]' && /tmp/torch/bin/python scripts/train_demo_pack.py

One core, seeded; it took 27 minutes beside other work. `--quick` trains for a minute, to try the script.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from demo_pack.losses import Loss, YoloLoss, screening_loss
from demo_pack.networks import Screening, Verification
from demo_pack.sample import SCREEN_WH, VERIFY_WH, Sample, find_anchors, make_samples
from measure_demo_pack import PACK, write_pack
from torch import nn

SEED = 20261122
WINDOW = (160, 128)
BATCH = 16
FRAMES = 5000
LET_BY = 0.03


def fit(
    network: nn.Module,
    sample: Sample,
    loss_of: Loss,
    *,
    name: str,
    size: tuple[int, int],
    pictures: int,
    peak: float,
) -> None:
    """Shows `pictures` windows of `size` (w, h) to the network: AdamW, one cycle, in batches."""
    network.to(memory_format=torch.channels_last).train()
    steps = pictures // BATCH
    optimiser = torch.optim.AdamW(network.parameters(), lr=peak, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, peak, steps, pct_start=0.15)
    started, mean = time.monotonic(), 0.0
    rng = np.random.default_rng([SEED, size[0]])
    order: list[int] = []
    for step in range(1, steps + 1):
        if len(order) < BATCH:
            order += rng.permutation(len(sample.images)).tolist()
        cuts = [sample.cut(order.pop(0), size, rng) for _ in range(BATCH)]
        batch = torch.stack([cut.image for cut in cuts]).float() / 255.0
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(batch.contiguous(memory_format=torch.channels_last), cuts)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        schedule.step()
        mean += (float(loss.detach()) - mean) / min(step, 100)
        if step % 100 == 0 or step == steps:
            took = time.monotonic() - started
            print(f"{name}: step {step}/{steps}, loss {mean:.4f}, {took:.0f} s", flush=True)
    network.eval()


def settle(network: Screening, frames: int) -> None:
    """Moves the defect logit so that at 0.30 all but `LET_BY` of the clear frames of other parts are cleared.

    Training shows far more defects than a line does, so its own zero is far too nervous.
    """
    clear, _ = make_samples(frames, SEED + 1, defect_rate=0.0)
    with torch.inference_mode():
        logits = [float(network.whole(network.cells(image[None].float() / 255.0))) for image in clear.images]
        move = float(np.log(0.30 / 0.70) - np.quantile(logits, 1 - LET_BY))
        network.cell.bias += move
    print(f"screening: moved by {move:.2f}", flush=True)


def export(network: nn.Module, path: Path, size: tuple[int, int], outputs: list[str]) -> None:
    """Writes ONNX: opset 13, IR version 8, batch 1, weights inside; readable by old runtimes."""
    image = torch.zeros(1, 3, size[1], size[0])
    torch.onnx.export(
        network.to(memory_format=torch.contiguous_format),
        (image,),
        str(path),
        input_names=["image"],
        output_names=outputs,
        opset_version=13,
        dynamo=False,
    )
    model = onnx.load(path)
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def main() -> None:
    """Trains, exports, tunes, measures and writes the pack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=PACK)
    parser.add_argument("--quick", action="store_true", help="train for a minute, to try")
    arguments = parser.parse_args()
    share = 0.02 if arguments.quick else 1.0
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(SEED)
    started = time.monotonic()
    screen, verify = make_samples(int(FRAMES * share), SEED)
    print(f"rendered {len(screen.images)} frames in {time.monotonic() - started:.0f} s", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)

    # Windows around defects first, since they cost a quarter and begin with the easy frames; whole frames last, since
    # they set the scores to what a whole frame needs.
    screening = Screening()
    windows, frames = int(16000 * share), int(4000 * share)
    loss = screening_loss(screening, whole=0.1)
    fit(screening, screen, loss, name="screening", size=WINDOW, pictures=windows, peak=3e-3)
    loss = screening_loss(screening, whole=1.0)
    fit(screening, screen.hard(), loss, name="screening", size=SCREEN_WH, pictures=frames, peak=1e-3)
    settle(screening, int(400 * max(share, 0.1)))
    export(screening, arguments.out / "screen.onnx", SCREEN_WH, ["probabilities"])

    anchors = find_anchors(verify)
    verification = Verification()
    verification.body.load_state_dict(screening.body.state_dict())
    windows, frames = int(20800 * share), int(3200 * share)
    loss = YoloLoss(verification, anchors)
    fit(verification, verify, loss, name="verification", size=WINDOW, pictures=windows, peak=3e-3)
    fit(verification, verify.hard(), loss, name="verification", size=VERIFY_WH, pictures=frames, peak=1e-3)
    export(verification, arguments.out / "verify.onnx", VERIFY_WH, ["head_32", "head_16"])
    print(f"trained in {time.monotonic() - started:.0f} s", flush=True)
    write_pack(arguments.out, anchors.tolist(), share=share)


if __name__ == "__main__":
    main()

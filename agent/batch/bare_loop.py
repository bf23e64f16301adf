"""The yardstick: the same two models in the shortest loop that a good engineer would write. No agent in it.

Read a file, resize, order the colours, scale, run, decode the boxes, next. Nothing is recorded, judged,
stored or sent. Every ratio that the project reports divides by this loop, so it must stay plain and fast.

As a program it takes a plan and then one turn per line, so that whoever measures can alternate::

    echo '{"seconds": 10}' | python bare_loop.py plan.json

A plan is a JSON object::

    {"threads": 1, "spinning": false, "images": ["a.jpg", ...],
     "screening": null | {"file", "input": {...}, "output", "activation", "defects": [1], "threshold": 0.3},
     "verification": {"file", "input": {...}, "floor": 0.05,
                      "yolo": null | {"heads": [{"output", "stride", "anchors"}], "activation", "layout",
                                      "classes": 6, "nms_iou": 0.45, "per_class": true},
                      "output": null | name, "activation", "defects": [0, 1]}}

where ``input`` holds the keys of a manifest's input table. A turn is ``{"seconds": S}`` and, if wanted,
``"frames": N`` (ends earlier), ``"rate": R`` (images/s; without it as fast as it goes) and ``"start": I`` (place
in ``images``; without it where the last turn ended). The first answer is
``{"load_s"}``, the seconds that loading took; each turn's is one line: ``{"images", "seconds",
"latency_ms": [...], "read_ms": [...], "screen_ms": [...], "verify_ms": [...], "boxes", "peak_mb"}``, where
``latency_ms`` runs from pixels to boxes, without reading the file.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

Array = npt.NDArray[Any]
Plan = Mapping[str, Any]
Session = Any  # onnxruntime says nothing about its types

_INTERPOLATION = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR}
_COLOUR = {"RGB": cv2.COLOR_BGR2RGB, "GRAY": cv2.COLOR_BGR2GRAY}


class BareLoop:
    """Both sessions, loaded and warm, and what they have seen so far.

    Args:
        plan: As the module says.
    """

    def __init__(self, plan: Plan) -> None:
        self._images = plan["images"]
        self._next = 0
        self._screening = plan["screening"]
        self._verification = plan["verification"]
        self._screen = None if self._screening is None else session(self._screening["file"], plan)
        self._verify = session(self._verification["file"], plan)
        for stage, model in ((self._screening, self._screen), (self._verification, self._verify)):
            if model is not None:
                blank = np.zeros((stage["input"]["height"], stage["input"]["width"], 3), np.uint8)
                model.run(None, {stage["input"]["name"]: tensor(blank, stage["input"])[0]})

    def turn(
        self, *, seconds: float, frames: int | None = None, rate: float | None = None, start: int | None = None
    ) -> dict[str, Any]:
        """Work for so long, or for so many images; figures of this turn."""
        self._next = self._next if start is None else start
        reading: list[float] = []
        latency: list[float] = []
        screen: list[float] = []
        verify: list[float] = []
        found = 0
        begun = time.perf_counter()
        while time.perf_counter() - begun < seconds and (frames is None or len(latency) < frames):
            if rate is not None:
                time.sleep(max(0.0, begun + len(latency) / rate - time.perf_counter()))
            before = time.perf_counter()
            image = read_image(self._images[self._next % len(self._images)])
            self._next += 1
            taken = time.perf_counter()
            suspicious = self.suspicious(image)
            screened = time.perf_counter()
            if suspicious:
                found += len(self.boxes(image))
            end = time.perf_counter()
            reading.append((taken - before) * 1e3)
            latency.append((end - taken) * 1e3)
            screen.append((screened - taken) * 1e3)
            if suspicious:
                verify.append((end - screened) * 1e3)
        return {
            "images": len(latency),
            "seconds": time.perf_counter() - begun,
            "latency_ms": latency,
            "read_ms": reading,
            "screen_ms": screen if self._screen is not None else [],
            "verify_ms": verify,
            "boxes": found,
            "peak_mb": peak_mb(),
        }

    def suspicious(self, image: Array) -> bool:
        """Whether screening wants a second look; always without screening."""
        if self._screen is None:
            return True
        stage = self._screening
        x, _, _ = tensor(image, stage["input"])
        (out,) = self._screen.run([stage["output"]], {stage["input"]["name"]: x})
        return bool(activate(out.reshape(-1), stage["activation"])[stage["defects"]].sum() >= stage["threshold"])

    def boxes(self, image: Array) -> Array:
        """Rows of x1, y1, x2, y2 (pixels of the image), score, label."""
        stage, yolo = self._verification, self._verification["yolo"]
        height, width = image.shape[:2]
        x, scale, shift = tensor(image, stage["input"])
        if yolo is None:
            (out,) = self._verify.run([stage["output"]], {stage["input"]["name"]: x})
            return best_label(out, stage, width, height)
        outs = self._verify.run([head["output"] for head in yolo["heads"]], {stage["input"]["name"]: x})
        rows = np.concatenate(
            [decode(out, head, yolo, stage["floor"]) for out, head in zip(outs, yolo["heads"], strict=True)]
        )
        rows = suppress(rows, yolo["nms_iou"], per_class=yolo["per_class"])
        rows[:, :4] = (rows[:, :4] - np.tile(shift, 2)) / np.tile(scale, 2)
        rows[:, :4] = np.clip(rows[:, :4], 0, [width, height, width, height])
        return rows


def read_image(file: str) -> Array:
    """Shape (h, w, 3), uint8, BGR."""
    image = cv2.imread(file, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{file}: cannot be read as an image")
    return image


def session(file: str, plan: Plan) -> Session:
    """One ONNX file on the CPU, with the thread settings of the plan."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = plan["threads"]
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    for scope in ("intra_op", "inter_op"):
        options.add_session_config_entry(f"session.{scope}.allow_spinning", "1" if plan["spinning"] else "0")
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def tensor(image: Array, table: Plan) -> tuple[Array, Array, Array]:
    """The network's input; ``network = image * scale + shift`` for x and y.

    Args:
        image: Shape (h, w, 3), uint8, BGR.
        table: A manifest's input table.
    """
    wanted = np.array([table["width"], table["height"]])
    given = np.array(image.shape[1::-1])
    inner, shift = wanted, np.zeros(2, int)
    if table["resize"] == "letterbox":
        inner = np.clip(np.round(given * (wanted / given).min()).astype(int), 1, wanted)
        shift = (wanted - inner) // 2
    x = cv2.resize(image, tuple(inner.tolist()), interpolation=_INTERPOLATION[table["interpolation"]])
    if shift.any():
        (left, top), (right, bottom) = shift.tolist(), (wanted - inner - shift).tolist()
        x = cv2.copyMakeBorder(x, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(table["pad"],) * 3)
    if table["channels"] in _COLOUR:
        x = cv2.cvtColor(x, _COLOUR[table["channels"]])
    x = np.atleast_3d(x)
    mean, std = np.asarray(table["mean"], np.float32), np.asarray(table["std"], np.float32)
    if table["layout"] == "NCHW":
        x, mean, std = x.transpose(2, 0, 1), mean[:, None, None], std[:, None, None]
    y = np.multiply(x, np.float32(table["scale"]), order="C", dtype=np.float32)
    if mean.any():
        y -= mean
    if (std != 1).any():
        y /= std
    return y[None], inner / given, shift


def activate(x: Array, activation: str) -> Array:
    """``none``, ``sigmoid`` or ``softmax``."""
    if activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-x)))
    if activation == "softmax":
        e = np.exp(x - x.max())
        return np.asarray(e / e.sum())
    return x


def decode(out: Array, head: Plan, yolo: Plan, floor: float) -> Array:
    """One YOLO v3 head as rows of x1, y1, x2, y2 (network pixels), score, label; those at or above the floor."""
    raw = out[0] if yolo["layout"] == "NCHW" else out[0].transpose(2, 0, 1)
    raw = raw.reshape(len(head["anchors"]), 5 + yolo["classes"], *raw.shape[1:])
    objectness = activate(raw[:, 4], yolo["activation"])
    a, y, x = np.nonzero(objectness >= floor)
    cells = raw[a, :, y, x]
    scores = objectness[a, y, x, None] * activate(cells[:, 5:], yolo["activation"])
    row, label = np.nonzero(scores >= floor)
    cells, a, y, x = cells[row], a[row], y[row], x[row]
    centre = (activate(cells[:, :2], "sigmoid") + np.stack([x, y], 1)) * head["stride"]
    half = np.exp(cells[:, 2:4]) * np.asarray(head["anchors"], np.float32)[a] / 2
    return np.concatenate([centre - half, centre + half, scores[row, label, None], label[:, None]], 1)


def best_label(out: Array, stage: Plan, width: int, height: int) -> Array:
    """A classifier as verification: one row for the whole image with its best defect label, or none."""
    scores = activate(out.reshape(-1), stage["activation"])[stage["defects"]]
    best = int(scores.argmax())
    row = np.array([[0, 0, width, height, scores[best], stage["defects"][best]]])
    return row[: int(scores[best] >= stage["floor"])]


def suppress(rows: Array, limit: float, *, per_class: bool) -> Array:
    """Greedy non-maximum suppression, best score first."""
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    # Boxes of different classes never meet when each class is moved to a place of its own.
    corners = rows[:, :4] + (rows[:, 5:] * 1e5 if per_class else 0)  # float64: exact enough
    area = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    order, kept = np.arange(len(rows)), []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        low = np.maximum(corners[best, :2], corners[order, :2])
        high = np.minimum(corners[best, 2:], corners[order, 2:])
        both = np.maximum(high - low, 0).prod(1)
        order = order[both <= limit * (area[best] + area[order] - both)]
    return rows[kept]


def peak_mb() -> float:
    """The most resident memory this process ever had, in MiB; the kernel's VmHWM, which starts anew at exec."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main(answer: Callable[[str], object]) -> None:
    """The program: the plan's file is the argument, turns come on standard input."""
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    begun = time.perf_counter()
    loop = BareLoop(plan)
    answer(json.dumps({"load_s": time.perf_counter() - begun}))
    for line in sys.stdin:
        answer(json.dumps(loop.turn(**json.loads(line))))


if __name__ == "__main__":
    main(lambda line: print(line, flush=True))  # noqa: T201 - a program of its own

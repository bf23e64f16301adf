"""``camera``: which there are and how they do, and a picture to aim one by."""

import base64
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.options import DEFAULT_PATH, ConfigOption, JsonOption, read_config
from agent.cli.printing import say, say_json, table
from agent.control.client import ask, listens
from agent.errors import CameraError, ControlError, UsageError

if TYPE_CHECKING:
    from agent.config import Config

NameArgument = Annotated[str, typer.Argument(help="Name of the camera in the config.")]
ToOption = Annotated[Path, typer.Option("--to", help="The JPEG file to write.")]


def list_cameras(config: ConfigOption = DEFAULT_PATH, *, as_json: JsonOption = False) -> None:
    """List the cameras with their settings and, while the daemon runs, their state.

    Example: fieldgate camera list
    """
    settings = read_config(config)
    try:
        seen = {one["name"]: one for one in ask(settings.control_socket, "status")["cameras"]}
    except ControlError:
        seen = {}
    rows: list[dict[str, Any]] = [
        {
            "name": camera.name,
            "kind": camera.kind,
            "engine": camera.engine,
            "trigger": camera.trigger,
            "region": camera.region,
            "record": camera.records(triggered=camera.trigger == "mqtt"),
            "state": seen.get(camera.name, {}).get("state"),
            "frames": seen.get(camera.name, {}).get("frames"),
            "reason": seen.get(camera.name, {}).get("reason") or None,
        }
        for camera in settings.cameras
    ]
    if as_json:
        say_json(rows)
        return
    if not rows:
        say("There is no camera: add a [[cameras]] table to the config.")
        return
    unseen = "no daemon" if not seen else "unknown to the daemon; restart it"
    names = ("name", "kind", "engine", "trigger", "record", "state", "frames", "reason")
    table(names, [[row[name] if name != "state" else row[name] or unseen for name in names] for row in rows])


def snapshot(
    name: NameArgument,
    to: ToOption,
    config: ConfigOption = DEFAULT_PATH,
    *,
    as_json: JsonOption = False,
) -> None:
    """Write a camera's picture to a JPEG file: the daemon's last one, or a fresh one where none runs.

    Example: fieldgate camera snapshot top --to /tmp/top.jpg
    """
    settings = read_config(config)
    camera = next((one for one in settings.cameras if one.name == name), None)
    if camera is None:
        known = ", ".join(one.name for one in settings.cameras) or "none"
        raise UsageError(f"there is no camera '{name}' in the config (there: {known})")
    picture = _picture(settings, name)
    body = base64.b64decode(picture.pop("jpeg"))
    try:
        to.write_bytes(body)
    except OSError as error:
        raise CameraError(f"{to}: the picture cannot be written: {error.strerror}") from None
    if as_json:
        say_json({**picture, "file": str(to), "bytes": len(body)})
    else:
        say(f"{to}: {picture['width']} x {picture['height']} pixels from {name} at {picture['at']}")


def _picture(settings: "Config", name: str) -> dict[str, Any]:
    if listens(settings.control_socket):
        return ask(settings.control_socket, "snapshot", {"camera": name})
    import cv2  # noqa: PLC0415 - only without a daemon

    from agent.doctor.cameras import first_picture  # noqa: PLC0415
    from agent.inspection.frame import utc_text  # noqa: PLC0415

    image = first_picture(next(one for one in settings.cameras if one.name == name))
    if image is None:
        raise CameraError(f"camera {name}: there is no image file yet")
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    return {
        "camera": name,
        "width": image.shape[1],
        "height": image.shape[0],
        "jpeg": base64.b64encode(encoded.tobytes()).decode(),
        "at": utc_text(datetime.now(timezone.utc)),
    }

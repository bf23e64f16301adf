"""Checks of the cameras. While the daemon runs they are its own; then the doctor asks it."""

import base64
from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np

from agent.camera.opening import open_source
from agent.camera.region import region_fault
from agent.camera.source import FrameSource
from agent.config.sections import Camera, FileCamera, FolderCamera, V4l2Camera
from agent.control.client import ask
from agent.doctor.check import Answer, Check, fail, ok, warn
from agent.doctor.installation import Installation
from agent.errors import CameraError, ConfigError, ControlError
from agent.inspection.frame import Image

_SETTLING_FRAMES: Final = 5  # a USB camera's first pictures are dark

_FIXES: Final = {
    "folder": "create the folder, or correct the camera's path in the config",
    "video": "check the file with ffprobe, or correct the camera's path in the config",
    "v4l2": "ls -l /dev/v4l/by-id /dev/video*; fuser -v DEVICE shows who uses it",
    "rtsp": "ping the camera, then open its address with ffplay; check username and password_file",
    "simulated": "correct the camera's keys in the config",
}


def first_picture(camera: Camera) -> Image | None:
    """A picture straight from a camera, no daemon having it open; None where a folder holds no image yet.

    Returns:
        Shape (h, w, 3), uint8, BGR.

    Raises:
        CameraError: It cannot be opened, sends nothing, or its first file cannot be decoded.
        ConfigError: Its settings do not fit together.
    """
    source = _opened(camera)
    try:
        shot = source.read()
        for _ in range(_SETTLING_FRAMES if isinstance(camera, V4l2Camera) else 0):
            shot = source.read()
    finally:
        source.close()
    if shot is None:
        return None
    if shot.image is None:
        raise CameraError(shot.fault.text if shot.fault else "the camera sent no image", state="no-frames")
    return shot.image


def _opened(camera: Camera) -> FrameSource:
    if isinstance(camera, FolderCamera):
        camera = camera.model_copy(update={"watch": False})  # what is there now is enough
    source = open_source(camera)
    try:
        source.open()
    except CameraError:
        source.close()
        raise
    return source


def _names(installation: Installation) -> Sequence[str]:
    return [camera.name for camera in installation.config.cameras]


def _camera(installation: Installation, name: str) -> Camera:
    return next(one for one in installation.config.cameras if one.name == name)


def _as_daemon_sees(installation: Installation, name: str) -> dict[str, Any] | None:
    cameras = (installation.daemon or {}).get("cameras", [])
    return next((one for one in cameras if one["name"] == name), None)


def _opens(installation: Installation, name: str) -> Answer:
    camera, shown = _camera(installation, name), _as_daemon_sees(installation, name)
    if shown is not None:
        if shown["state"] != "offline":
            return ok(f"the running daemon has it open ({shown['state']})")
        return _closed(camera, shown["reason"])
    try:
        _opened(camera).close()
    except (CameraError, ConfigError) as error:
        return _closed(camera, str(error))
    return ok(f"{camera.kind} camera, opened")


def _closed(camera: Camera, seen: str) -> Answer:
    cause = "it is not where the config says" if isinstance(camera, FileCamera) else "unplugged, in use, or refused"
    return fail(seen, cause=cause, fix=_FIXES[camera.kind])


def _frames(installation: Installation, name: str) -> Answer:
    camera, shown = _camera(installation, name), _as_daemon_sees(installation, name)
    if shown is not None and shown["state"] in {"no-frames", "frozen"}:
        return _silent(camera, f"{shown['state']}: {shown['reason']}")
    try:
        image = first_picture(camera) if shown is None else _from_daemon(installation, name)
    except CameraError as error:
        return _silent(camera, str(error))
    except ControlError as error:
        return ok(f"the running daemon has not inspected a picture yet: {error}")
    if image is None:
        return warn(
            "there is no image file",
            cause="nothing was put there yet, or the files have another ending",
            fix="put JPEG, PNG, BMP, TIFF, PGM or PPM files there",
        )
    installation.pictures[name] = image
    return ok(f"a picture of {image.shape[1]} x {image.shape[0]} pixels")


def _silent(camera: Camera, seen: str) -> Answer:
    cause = "the file is damaged" if isinstance(camera, FileCamera) else "cable, power, or a rate it cannot hold"
    return fail(seen, cause=cause, fix=_FIXES[camera.kind])


def _from_daemon(installation: Installation, name: str) -> Image:
    told = ask(installation.config.control_socket, "snapshot", {"camera": name})
    image = cv2.imdecode(np.frombuffer(base64.b64decode(told["jpeg"]), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise CameraError("the daemon's picture cannot be decoded")
    return np.asarray(image, np.uint8)


def _region(installation: Installation, name: str) -> Answer:
    image, region = installation.pictures.get(name), _camera(installation, name).region
    if image is None:
        return ok("not compared, there is no picture yet")
    if region is None:
        return ok("the engine looks at the whole picture")
    outside = region_fault(region, image)
    if outside:
        return fail(
            outside,
            cause="the region was drawn on a picture of another size",
            fix=f"fieldgate camera snapshot {name} --to picture.jpg, then correct the camera's region in the config",
        )
    return ok(f"{list(region)} lies within {image.shape[1]} x {image.shape[0]} pixels")


CHECKS = (
    Check("camera-opens", "The camera can be opened", _opens, needs=("config-valid",), subjects=_names),
    Check("camera-frames", "It gives pictures", _frames, needs=("camera-opens",), subjects=_names),
    Check("camera-region", "Its region lies within the picture", _region, needs=("camera-frames",), subjects=_names),
)

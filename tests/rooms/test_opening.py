from pathlib import Path
from typing import Any

import cv2
import pytest
from pydantic import TypeAdapter

from agent.camera.opening import open_source, root_of
from agent.camera.source import Done
from agent.config.sections import Camera
from fakes import a_picture


def a_camera(**keys: Any) -> Camera:
    """The settings of one camera, as the file would give them."""
    camera: Camera = TypeAdapter(Camera).validate_python({"name": "top", "engine": "pcb", **keys})
    return camera


@pytest.mark.parametrize(
    ("keys", "source"),
    [
        pytest.param({"kind": "folder", "path": "/boards"}, "FolderSource", id="folder"),
        pytest.param({"kind": "video", "path": "/boards.avi"}, "VideoSource", id="video"),
        pytest.param({"kind": "v4l2", "device": "0"}, "V4l2Source", id="v4l2"),
        pytest.param({"kind": "rtsp", "url": "rtsp://10.0.0.5/1"}, "RtspSource", id="rtsp"),
        pytest.param(
            {"kind": "simulated", "light": 4.0, "noise": 10.0, "blur": 10.0}, "SimulatedCamera", id="simulated"
        ),
    ],
)
def test_each_kind_of_camera_has_its_source(keys: dict[str, Any], source: str) -> None:
    """The settings' kind decides about the source, which is live exactly where the settings say so."""
    camera = a_camera(**keys)
    opened = open_source(camera)
    assert type(opened).__name__ == source
    assert opened.live == camera.live


def test_a_simulated_camera_ends_after_its_frames() -> None:
    """The key frames bounds a simulated camera; 0 does not."""
    bounded = open_source(a_camera(kind="simulated", fps=1000.0, frames=2))
    bounded.open()
    assert [bounded.read() is None for _ in range(3)] == [False, False, True]
    endless = open_source(a_camera(kind="simulated", fps=1000.0, frames=0))
    endless.open()
    assert endless.read() is not None
    endless.close()


def test_a_folder_goes_on_behind_what_is_done(tmp_path: Path) -> None:
    """What the cursor knows under the camera's root is skipped by the opened folder."""
    for n in range(3):
        cv2.imwrite(str(tmp_path / f"{n}.png"), a_picture(n))
    camera = a_camera(kind="folder", path=str(tmp_path))
    source = open_source(camera)
    source.open()
    first = source.read()
    assert first is not None
    assert first.mark is not None
    assert first.mark.root == root_of(camera)
    source = open_source(camera, done=Done(items={first.source or "": first.mark.fingerprint}))
    source.open()
    assert [shot.source for shot in iter(source.read, None)] == ["1.png", "2.png"]


def test_a_video_goes_on_behind_what_is_done(tmp_path: Path) -> None:
    """The positions that the cursor knows under the camera's root are skipped by the opened video."""
    file = tmp_path / "parts.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 48))
    for n in range(5):
        writer.write(a_picture(n))
    writer.release()
    camera = a_camera(kind="video", path=str(file))
    source = open_source(camera, done=Done(upto=1, beyond=frozenset({3})))
    source.open()
    shots = list(iter(source.read, None))
    assert [shot.source for shot in shots] == ["2", "4", "5"]
    assert {shot.mark.root for shot in shots if shot.mark} == {root_of(camera)}


def test_live_cameras_have_no_cursor() -> None:
    """A live camera cannot be resumed, so it has no root."""
    assert root_of(a_camera(kind="simulated")) is None

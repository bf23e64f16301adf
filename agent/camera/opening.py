"""From a camera's settings to its source."""

from agent.camera.folder import FolderSource
from agent.camera.rtsp import RtspSource
from agent.camera.source import Done, FrameSource, Note
from agent.camera.v4l2 import V4l2Source
from agent.camera.video import VideoSource
from agent.config.sections import Camera, FolderCamera, RtspCamera, SimulatedCamera, V4l2Camera, VideoCamera


def open_source(camera: Camera, *, done: Done | None = None, note: Note | None = None) -> FrameSource:
    """The source of a camera; nothing is opened yet, its capture thread does that.

    Args:
        camera: The camera's settings.
        done: Of a folder or video file: what is inspected already; None: nothing.
        note: Of a folder: where the file that is being decoded is noted; None: nowhere.
    """
    done = done or Done()
    if isinstance(camera, FolderCamera):
        return FolderSource(
            path=camera.path, watch=camera.watch, settle_ms=camera.settle_ms, done=done.items, note=note
        )
    if isinstance(camera, VideoCamera):
        return VideoSource(path=camera.path, done_upto=done.upto, done_beyond=done.beyond)
    if isinstance(camera, V4l2Camera):
        return V4l2Source(
            device=camera.device,
            width=camera.width,
            height=camera.height,
            fps=camera.fps,
            fourcc=camera.fourcc,
        )
    if isinstance(camera, RtspCamera):
        return RtspSource(
            url=camera.url,
            username=camera.username,
            password_file=camera.password_file,
            transport=camera.transport,
            open_timeout_ms=camera.open_timeout_ms,
            read_timeout_ms=camera.read_timeout_ms,
        )
    return _simulated(camera)


def _simulated(camera: SimulatedCamera) -> FrameSource:
    # Only who simulates pays for the scene's code.
    from agent.camera.knobs import Knobs  # noqa: PLC0415
    from agent.camera.simulated import SimulatedCamera as Simulation  # noqa: PLC0415

    knobs = Knobs(
        light=camera.light,
        noise=camera.noise,
        blur=camera.blur,
        drift=camera.drift,
        defect_rate=camera.defect_rate,
    )
    return Simulation(fps=camera.fps, seed=camera.seed, frames=camera.frames or None, knobs=knobs)


def root_of(camera: Camera) -> str | None:
    """What a file camera's marks call their folder or file; None for a live camera."""
    if isinstance(camera, FolderCamera | VideoCamera):
        return f"{camera.kind}:{camera.path.absolute()}"
    return None

from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.camera.source import Shot
from agent.camera.video import VideoSource
from agent.errors import CameraError
from fakes import a_picture

LENGTH = 12


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short video whose n-th frame is blue of the strength n * 20."""
    path = tmp_path_factory.mktemp("video") / "parts.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (320, 240))
    for n in range(1, LENGTH + 1):
        writer.write(a_picture(n * 20, width=320, height=240))
    writer.release()
    return path


def shots(path: Path, upto: int = 0, beyond: frozenset[int] = frozenset()) -> list[Shot]:
    """Everything that a video file yields."""
    source = VideoSource(path=path, done_upto=upto, done_beyond=beyond)
    source.open()
    return list(iter(source.read, None))


def test_every_frame_comes_with_its_position(file: Path) -> None:
    """Positions are 1, 2, 3, ...; source and mark carry them; each frame shows what was written there."""
    found = shots(file)
    assert [shot.source for shot in found] == [str(n) for n in range(1, LENGTH + 1)]
    assert [shot.mark.position for shot in found if shot.mark] == list(range(1, LENGTH + 1))
    assert {shot.mark.root for shot in found if shot.mark} == {f"video:{file}"}
    for n, shot in enumerate(found, start=1):
        assert shot.image is not None
        assert abs(float(np.mean(shot.image[..., 0])) - n * 20 % 256) < 4


@pytest.mark.parametrize(
    ("upto", "beyond", "left"),
    [
        pytest.param(0, {1, 2}, range(3, LENGTH + 1), id="first-ones-beyond"),
        pytest.param(5, set(), range(6, LENGTH + 1), id="upto"),
        pytest.param(5, {7, 8, 11}, [6, 9, 10, 12], id="upto-and-beyond"),
        pytest.param(LENGTH, set(), [], id="all"),
        pytest.param(LENGTH + 5, set(), [], id="more-than-there-are"),
    ],
)
def test_what_is_done_is_skipped(file: Path, upto: int, beyond: set[int], left: list[int]) -> None:
    """Positions up to the cursor and those committed beyond it do not come again; the others keep theirs."""
    found = shots(file, upto, frozenset(beyond))
    assert [shot.source for shot in found] == [str(n) for n in left]
    for shot in found:
        assert shot.image is not None
        assert abs(float(np.mean(shot.image[..., 0])) - int(shot.source or 0) * 20 % 256) < 4


def test_a_file_that_is_cut_off_ends_with_a_fault(file: Path, tmp_path: Path) -> None:
    """Where frames that the file announces are missing, the last shot says so, once over all restarts."""
    cut = tmp_path / "cut.avi"
    data = file.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    found = shots(cut)
    *good, last = found
    assert good
    assert all(shot.image is not None for shot in good)
    assert last.image is None
    assert last.fault is not None
    assert last.fault.code == "corrupt-file"
    assert last.fault.text.startswith(f"cut.avi: frame {len(found)} of {LENGTH} announced")
    assert shots(cut, upto=len(found)) == []


def test_a_file_that_is_no_video_is_an_offline_camera(tmp_path: Path) -> None:
    """A file without a video in it cannot be opened, and the sentence names it."""
    path = tmp_path / "notes.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(CameraError, match=r"notes\.mp4 cannot be read as a video"):
        shots(path)

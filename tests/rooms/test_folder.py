import os
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.camera.decode import decode_image
from agent.camera.folder import FolderSource
from agent.camera.source import Shot
from agent.errors import CameraError, CorruptImage
from agent.store.in_hand import InHand
from fakes import a_picture
from waiting import until


def write(path: Path, value: int = 0) -> Path:
    """A picture file of the kind that its suffix says, there at once and whole, in folders that are made."""
    image = a_picture(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.part")
    half.write_bytes(encoded(path.suffix.lower(), image[..., 0] if path.suffix == ".pgm" else image))
    return half.replace(path)


def encoded(suffix: str, image: np.ndarray) -> bytes:
    """The bytes of an image file."""
    ok, data = cv2.imencode(suffix, image)
    assert ok
    return data.tobytes()


def shots(folder: Path, done: dict[str, str] | None = None) -> list[Shot]:
    """Everything that a folder that is not watched yields."""
    source = FolderSource(path=folder, watch=False, settle_ms=0, done=done or {})
    source.open()
    return list(iter(source.read, None))


def sources(folder: Path, done: dict[str, str] | None = None) -> list[str | None]:
    """The relative paths that a folder that is not watched yields."""
    return [shot.source for shot in shots(folder, done)]


def test_every_image_below_the_folder_comes_once_in_order(tmp_path: Path) -> None:
    """Files come in the order of their relative path with '/', of every kind, in whatever case."""
    names = ["b.JPG", "a/2.png", "a/10.bmp", "c/deep/x.tiff", "d.tif", "e.pgm", "f.PPM", "g.jpeg"]
    for name in names:
        write(tmp_path / name)
    assert sources(tmp_path) == sorted(names)


def test_what_is_no_image_by_its_name_is_left_out(tmp_path: Path) -> None:
    """Other suffixes, hidden files, hidden folders, pipes, and folders named like images are left out."""
    write(tmp_path / "seen.png")
    (tmp_path / "notes.txt").write_text("no image")
    write(tmp_path / ".hidden.png")
    write(tmp_path / ".cache" / "thumb.png")
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    assert sources(tmp_path) == ["seen.png"]


def test_files_of_the_same_name_in_two_folders_are_two(tmp_path: Path) -> None:
    """clear/1.png and defective/1.png have different sources and marks."""
    write(tmp_path / "clear" / "1.png")
    write(tmp_path / "defective" / "1.png")
    found = shots(tmp_path)
    assert [shot.source for shot in found] == ["clear/1.png", "defective/1.png"]
    assert len({shot.mark for shot in found}) == 2


def test_a_mark_names_folder_file_and_what_it_looked_like(tmp_path: Path) -> None:
    """The mark's root is the absolute folder, its item the relative path, its fingerprint size and time."""
    file = write(tmp_path / "a" / "1.png")
    mark = shots(tmp_path)[0].mark
    assert mark is not None
    assert mark.root == f"folder:{tmp_path}"
    assert mark.item == "a/1.png"
    assert mark.fingerprint == f"{file.stat().st_size}-{file.stat().st_mtime_ns}"


def test_what_is_done_is_skipped_unless_it_changed(tmp_path: Path) -> None:
    """A file whose fingerprint is known as done does not come again; one that changed since is new."""
    for name in ("1.png", "2.png", "3.png"):
        write(tmp_path / name)
    done = {shot.mark.item: shot.mark.fingerprint for shot in shots(tmp_path) if shot.mark and shot.mark.item}
    os.utime(tmp_path / "2.png", ns=(1, 1))
    del done["3.png"]
    assert sources(tmp_path, done) == ["2.png", "3.png"]


def test_names_of_any_bytes_are_read_and_become_text(tmp_path: Path) -> None:
    """Umlauts and bytes that are no UTF-8 in a name do not keep a file from being read or recorded."""
    write(tmp_path / "Prüfling 1.png")
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes((tmp_path / "Prüfling 1.png").read_bytes())
    found = shots(tmp_path)
    assert [shot.fault for shot in found] == [None, None]
    assert [shot.source for shot in found] == ["Prüfling 1.png", "caf\\xe9.png"]
    assert all(shot.source and shot.source.encode("utf-8") for shot in found)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tiff", ".ppm"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.97])
def test_a_file_that_is_cut_off_is_a_fault_that_names_it(tmp_path: Path, suffix: str, share: float) -> None:
    """An empty or cut-off file yields a shot without image, fault corrupt-file; the next file comes."""
    whole = encoded(suffix, np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8))
    (tmp_path / f"1{suffix}").write_bytes(whole[: int(len(whole) * share)])
    write(tmp_path / "2.png")
    cut, good = shots(tmp_path)
    assert cut.image is None
    assert cut.fault is not None
    assert cut.fault.code == "corrupt-file"
    assert cut.fault.text.startswith(f"1{suffix}: ")
    assert cut.mark is not None
    assert cut.mark.item == f"1{suffix}"
    assert good.image is not None


def test_a_cut_off_jpeg_is_not_saved_by_its_preview() -> None:
    """The end of a preview within the headers is not taken for the end of the picture."""
    whole = encoded(".jpg", a_picture(7))
    segment = b"\xff\xe1" + (2 + len(whole)).to_bytes(2, "big") + whole
    with_preview = whole[:2] + segment + whole[2:]
    assert decode_image(with_preview).shape == (48, 64, 3)
    with pytest.raises(CorruptImage, match="cut off"):
        decode_image(with_preview[:-20])


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"this is text, whatever its name says", id="text"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(60) + b"IEND", id="png-without-content"),
        pytest.param(b"P6\n100000 100000\n255\n" + bytes(100), id="giant-picture"),
        pytest.param(b"\xff\xd8\xff" + bytes(range(256)) * 4 + b"\xff\xd9", id="jpeg-of-rubbish"),
    ],
)
def test_rubbish_is_a_fault_and_not_a_crash(content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever bytes a file has, it yields a fault; OpenCV's own log stays silent."""
    (tmp_path / "1.png").write_bytes(content)
    (shot,) = shots(tmp_path)
    assert shot.image is None
    assert shot.fault is not None
    assert shot.fault.code == "corrupt-file"
    assert "[ERROR" not in capfd.readouterr().err


def test_a_link_to_nothing_is_a_fault(tmp_path: Path) -> None:
    """A file that cannot be opened is not left out silently: its fault names it."""
    (tmp_path / "1.png").symlink_to(tmp_path / "gone.png")
    (shot,) = shots(tmp_path)
    assert shot.fault is not None
    assert shot.fault.text == "1.png: the file cannot be read: No such file or directory"


def test_a_file_that_vanishes_after_the_scan_is_a_fault(tmp_path: Path) -> None:
    """A file that was there when the folder was listed and is gone when its turn comes is accounted for."""
    file = write(tmp_path / "1.png")
    source = FolderSource(path=tmp_path, watch=False, settle_ms=0, done={})
    source.open()
    file.unlink()
    shot = source.read()
    assert shot is not None
    assert shot.fault is not None
    assert shot.fault.code == "corrupt-file"


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".pgm"])
def test_sixteen_bits_become_the_upper_eight(suffix: str) -> None:
    """A 16-bit grey picture becomes BGR of 8 bits, each channel the upper byte."""
    upper = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) % 256
    image = decode_image(encoded(suffix, upper * 256 + 3))
    assert image.shape == (48, 64, 3)
    assert all(np.array_equal(image[..., channel], upper) for channel in range(3))


def test_transparency_is_dropped() -> None:
    """A PNG with an alpha channel keeps its colours."""
    image = np.dstack([a_picture(77), np.full((48, 64), 9, np.uint8)])
    assert np.array_equal(decode_image(encoded(".png", image)), a_picture(77))


def test_a_jpeg_is_turned_as_a_viewer_turns_it() -> None:
    """EXIF orientation 6 (turn right) makes a wide picture tall."""
    exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    plain = encoded(".jpg", a_picture(5))
    turned = plain[:2] + b"\xff\xe1" + (2 + len(exif)).to_bytes(2, "big") + exif + plain[2:]
    assert decode_image(plain).shape == (48, 64, 3)
    assert decode_image(turned).shape == (64, 48, 3)


def test_a_missing_folder_is_an_offline_camera(tmp_path: Path) -> None:
    """A folder that is not there, or is a file, is a CameraError in a technician's words."""
    with pytest.raises(CameraError, match="does not exist; create it"):
        shots(tmp_path / "none")
    with pytest.raises(CameraError, match="cannot be listed: Not a directory"):
        shots(write(tmp_path / "1.png"))


class Watched:
    """A watched folder and the thread that reads it."""

    def __init__(self, folder: Path, *, settle_ms: int) -> None:
        self.source = FolderSource(path=folder, watch=True, settle_ms=settle_ms, done={})
        self.seen: list[Shot] = []
        self._thread = threading.Thread(target=self._read, name="watched")

    def _read(self) -> None:
        self.source.open()
        for shot in iter(self.source.read, None):
            self.seen.append(shot)

    def __enter__(self) -> "Watched":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
        self._thread.join(timeout=5)

    def has(self, *names: str) -> bool:
        return until(lambda: [shot.source for shot in self.seen] == list(names))


def test_a_watched_folder_yields_what_arrives(tmp_path: Path) -> None:
    """Files that are there come first, then those that arrive, in new folders too, each once."""
    write(tmp_path / "1.png")
    with Watched(tmp_path, settle_ms=0) as folder:
        assert folder.has("1.png")
        write(tmp_path / "new" / "2.png")
        assert folder.has("1.png", "new/2.png")
        write(tmp_path / "1.png", 99)  # the same name, another picture: a new file
        assert folder.has("1.png", "new/2.png", "1.png")


def test_a_watched_file_is_not_taken_while_it_grows(tmp_path: Path) -> None:
    """With a settling time a file that is written in pieces comes once, whole."""
    whole = encoded(".bmp", a_picture(3))
    source = FolderSource(path=tmp_path, watch=True, settle_ms=300, done={})
    source.open()
    found: list[Shot | None] = []
    reader = threading.Thread(target=lambda: found.append(source.read()), name="reader")
    reader.start()
    pause = threading.Event()
    with (tmp_path / "1.bmp").open("wb") as file:
        for start in range(0, len(whole), 1000):
            file.write(whole[start : start + 1000])
            file.flush()
            pause.wait(0.05)
    assert until(lambda: found)
    source.close()
    reader.join(timeout=5)
    assert found[0] is not None
    assert found[0].fault is None
    assert found[0].image is not None
    assert np.array_equal(found[0].image, a_picture(3))


def test_a_file_that_ends_the_process_while_it_is_decoded_is_not_decoded_a_third_time(tmp_path: Path) -> None:
    """A file in the decoder's hand at two crashes in a row becomes a fault that names it; the next one is read."""
    folder, note = tmp_path / "images", tmp_path / "note.json"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), np.full((8, 8, 3), 90, np.uint8))
    for _crash in range(2):
        InHand(note).take("a.png")  # and the process ends
    source = FolderSource(path=folder, watch=False, settle_ms=0, done={}, note=InHand(note))
    source.open()
    first, second = source.read(), source.read()
    assert first is not None
    assert first.fault is not None
    assert (first.image, first.fault.code, first.source) == (None, "crashed-twice", "a.png")
    assert second is not None
    assert second.image is not None

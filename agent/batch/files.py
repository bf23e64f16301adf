"""A batch from end to end: images in, lines and annotated pictures out."""

from collections.abc import Callable
from pathlib import Path

from agent.batch.annotate import annotated
from agent.batch.images import check_input, count_images, shots
from agent.batch.lines import LineWriter, inspected, line_of
from agent.batch.summary import Summary
from agent.clock import Clock
from agent.config.sections import InferenceSection
from agent.engine.loading import load_engine
from agent.errors import StoreError, UsageError
from agent.inspection.frame import Image
from agent.inspection.record import Record
from agent.inspector import Inspector


def inspect_files(
    engine: Path,
    source: Path,
    *,
    output: Path | None,
    pictures: Path | None,
    threads: int,
    on_image: Callable[[int, int], None],
    stopped: Callable[[], bool],
) -> Summary:
    """Inspect every image once.

    Args:
        engine: Folder of an engine pack.
        source: An image, or a folder of images.
        output: File of the JSON lines; None is standard output.
        pictures: Folder for annotated pictures; None: none are made.
        threads: Of one model; 0: the cores less one.
        on_image: Told how many images are done, and of about how many, before the first and after each.
        stopped: Asked between two images; True ends the batch with complete lines.

    Raises:
        UsageError: ``source`` holds nothing to inspect, or ``pictures`` would mix with it.
        PackError: The engine cannot be used.
        StoreError: A line or picture cannot be written.
    """
    check_input(source)
    if pictures is not None:
        _check_apart(pictures, source)
    inspector = Inspector(load_engine(engine, InferenceSection(threads=threads)))
    waiting = shots(source)
    count, summary = count_images(source), Summary()
    on_image(0, count)
    with LineWriter(output) as lines:
        for image, record in inspected(inspector, waiting, now=Clock().now):
            lines.write(line_of(record, _file_of(source, record)))
            if pictures is not None and image is not None:
                _save(pictures, image, record)
            summary.add(record)
            on_image(summary.images, max(count, summary.images))
            if stopped():
                break
    return summary


def _file_of(source: Path, record: Record) -> str:
    """Where the image lies, as the caller named its folder."""
    return f"{source.as_posix()}/{record.frame.source}" if source.is_dir() else source.as_posix()


def _check_apart(pictures: Path, source: Path) -> None:
    """Annotated pictures must not replace images, nor be inspected by the next run."""
    folder = (source if source.is_dir() else source.parent).resolve()
    inside = source.is_dir() and folder in pictures.resolve().parents
    if pictures.resolve() == folder or inside:
        raise UsageError(f"--save-annotated {pictures}: lies in the folder that is inspected; give one outside of it")


def _save(folder: Path, image: Image, record: Record) -> None:
    """Write one annotated picture under its image's relative path, always as JPEG."""
    name = record.frame.source or str(record.frame.number)
    path = folder / (name if name.lower().endswith((".jpg", ".jpeg")) else f"{name}.jpg")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(annotated(image, record))
    except OSError as error:
        raise StoreError(f"--save-annotated {path}: cannot be written: {error.strerror}") from None

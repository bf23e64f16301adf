"""From the bytes of an image file to pixels, or to the sentence that says why there are none."""

import os
from typing import Final, cast

import cv2
import numpy as np

from agent.errors import CorruptImage
from agent.inspection.frame import Image

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".dib", ".tif", ".tiff", ".pgm", ".ppm", ".pnm"})
"""Endings, in lower case, of the files that are taken for images: JPEG, PNG, BMP, TIFF, PGM, PPM."""

MAX_FILE_BYTES: Final = 512 * 1024 * 1024
"""A longer file is not read: it would take the memory that the models need."""

_JPEG: Final = b"\xff\xd8\xff"
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_MARKER: Final = 0xFF
_START_OF_SCAN: Final = 0xDA
_END_OF_IMAGE: Final = b"\xff\xd9"


def decode_image(data: bytes) -> Image:
    """Decode one image file.

    The picture is what a viewer shows: a JPEG's EXIF orientation is applied, grey becomes BGR, an alpha
    channel is dropped, 16 bits become 8 by taking the upper byte, of a TIFF with pages the first counts.

    Args:
        data: The whole file.

    Returns:
        Shape (h, w, 3), uint8, BGR.

    Raises:
        CorruptImage: The bytes are no image, are cut off, or hold a picture too large for OpenCV.
    """
    if not data:
        raise CorruptImage("the file is empty")
    if len(data) > MAX_FILE_BYTES:
        raise CorruptImage(f"the file is longer than the {MAX_FILE_BYTES} bytes that the agent reads")
    if _is_cut_off(data):
        raise CorruptImage(f"the file is cut off after {len(data)} bytes; was it still being copied?")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except (cv2.error, MemoryError) as error:
        raise CorruptImage(_too_large_or(error)) from error
    if image is None:
        raise CorruptImage("the content is damaged, cut off, or of a kind that OpenCV cannot decode")
    return cast("Image", np.ascontiguousarray(image))


def quiet_opencv() -> None:
    """Keep OpenCV and FFmpeg from writing about broken input on stderr: the record and the state say it.

    FFmpeg takes its level when the first stream is opened, so this comes before; a level that somebody
    has set in the environment stands.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # 4.5 and 4.6 know one of these names, 5.0 only the longer one.
    logging = getattr(getattr(cv2, "utils", None), "logging", None)
    set_level = getattr(logging, "setLogLevel", None) or getattr(cv2, "setLogLevel", None)
    if set_level is not None:
        set_level(getattr(logging, "LOG_LEVEL_SILENT", 0))


def _is_cut_off(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end; some versions of OpenCV fill the rest with grey instead."""
    if data.startswith(_PNG):
        return b"IEND" not in data
    if not data.startswith(_JPEG):
        return False
    # An embedded preview has an end of its own, so the search begins behind the headers.
    scan = _first_scan(data)
    return scan is None or data.find(_END_OF_IMAGE, scan) < 0


def _first_scan(data: bytes) -> int | None:
    """Where a JPEG's headers end and its pixels begin (ITU-T T.81, B.1.1); None when cut off before."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != _MARKER:  # no marker where one must be: let the decoder judge
            return at
        if data[at + 1] == _MARKER:  # a fill byte
            at += 1
            continue
        if data[at + 1] == _START_OF_SCAN:
            return at
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _too_large_or(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "MAX_IMAGE" in text or "Insufficient memory" in text:
        return "the picture is larger than OpenCV or the memory allows"
    return f"OpenCV cannot decode it ({text[-160:]})"

"""Whether a camera's region lies within its picture."""

from agent.inspection.frame import Image


def region_fault(region: tuple[int, int, int, int] | None, image: Image) -> str:
    """The sentence about a region that reaches out of the picture; empty where it fits.

    Args:
        region: x1, y1, x2, y2 in frame pixels; None is the whole picture.
        image: Shape (h, w, 3).
    """
    height, width = image.shape[:2]
    if region is None or (region[2] <= width and region[3] <= height):
        return ""
    return (
        f"the region reaches to {region[2]} x {region[3]} pixels and the picture has {width} x {height};"
        " correct the camera's region or its size"
    )

"""Frames of a camera that is plugged in, by OpenCV."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import VideoError

Image = NDArray[np.uint8]


EARLY = 0.5  # of the time between two frames: what comes sooner after one is not the next


def read_camera(number: int, fps: float, size: tuple[int, int] | None = None) -> Iterator[Image]:
    """Frames (H, W, 3), uint8 RGB, of the camera `number`, each as soon as it is there, until the camera ends.

    It is asked for `size` (height, width) and for `fps` frames per second, and gives what it can that is nearest; of
    more than `fps` some are left out. The camera is opened here, not at the first frame. Raises VideoError where it
    cannot be.
    """
    with _silent():
        camera = cv2.VideoCapture(number)
    if not camera.isOpened():
        raise VideoError(
            f"camera {number}: cannot be opened; is one plugged in, free and yours to read? On Linux `ls /dev/video*` "
            "lists them, and the number is that behind video"
        )
    if size is not None:
        camera.set(cv2.CAP_PROP_FRAME_HEIGHT, size[0])
        camera.set(cv2.CAP_PROP_FRAME_WIDTH, size[1])
    camera.set(cv2.CAP_PROP_FPS, fps)
    return _frames(camera, fps)


def _frames(camera: cv2.VideoCapture, fps: float) -> Iterator[Image]:
    due = -float("inf")
    try:
        while True:
            found, image = camera.read()
            if not found:
                return
            now = time.monotonic()
            if now < due - EARLY / fps:
                continue
            due = max(now, due) + 1 / fps
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[misc]
    finally:
        camera.release()


@contextmanager
def _silent() -> Iterator[None]:
    """Without the lines that OpenCV prints of what it tried."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)

"""Videos and pictures in and out of files: the only user of PyAV, and of OpenCV's codecs.

Everywhere outside, an image is uint8 (H, W, 3), RGB, as a player shows it.
"""

from pipeline.video.reading import VideoInfo, probe, read_frames
from pipeline.video.writing import write_animation, write_png, write_video

__all__ = ["VideoInfo", "probe", "read_frames", "write_animation", "write_png", "write_video"]

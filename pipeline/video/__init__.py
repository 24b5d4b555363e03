"""Videos and pictures in and out of files: the only user of PyAV, and of OpenCV's codecs.

Everywhere outside, an image is uint8 (H, W, 3), RGB, as a player shows it.
"""

from pipeline.video.decoding import log_errors_to_stderr, versions
from pipeline.video.reading import Image, TimedFrame, VideoInfo, probe, read_frames, read_timed_frames
from pipeline.video.writing import write_animation, write_png, write_timed_video, write_video

__all__ = [
    "Image",
    "TimedFrame",
    "VideoInfo",
    "log_errors_to_stderr",
    "probe",
    "read_frames",
    "read_timed_frames",
    "versions",
    "write_animation",
    "write_png",
    "write_timed_video",
    "write_video",
]

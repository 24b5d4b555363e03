import av
import numpy as np
import pytest

from pipeline.video.decoding import decode
from pipeline.video.frame_conversion import PictureFormat
from pipeline.video.opencv_decoding import NotByOpenCV, decode_with_opencv
from tests.corpus.build import Encoding, encode, level

SMALL = PictureFormat((12, 12), "stretch", "rgb")


def decoded(path, fps=None, is_cautious=False, complaints=lambda: 0):
    return list(
        decode_with_opencv(
            path,
            wanted=SMALL,
            wanted_fps=fps,
            threads=1,
            max_pixels=10**7,
            max_seconds=1e9,
            is_cautious=is_cautious,
            heartbeat=lambda: None,
            count_errors=complaints,
        )
    )


def test_frames_have_the_times_of_pyavs(tmp_path):
    encode(tmp_path / "a.mkv", Encoding(format="matroska", times=(0, 100, 150, 400, 410, 900, 1000, 1500)))
    expected = list(decode(tmp_path / "a.mkv", threads=1, max_pixels=10**7, max_seconds=1e9))
    frames = decoded(tmp_path / "a.mkv")
    assert [frame[:2] for frame in frames] == [frame[:2] for frame in expected]
    greys = [int(np.median(frame.frame.to_ndarray(format="gray")[30:, 40:])) for frame in frames]
    assert greys == pytest.approx([level(number) for number in range(8)], abs=3)


def test_of_a_lower_rate_only_what_is_shown_is_converted(tmp_path):
    encode(tmp_path / "a.mp4", Encoding(num_frames=20))
    frames = decoded(tmp_path / "a.mp4", fps=2.5)
    assert [number for number, frame in enumerate(frames) if frame.frame is not None] == [0, 4, 8, 12, 16]


def test_pictures_that_change_their_size_are_refused(tmp_path):
    encode(tmp_path / "a.avi", Encoding("mjpeg", "avi", "yuvj420p", color_range=2))
    changed = bytearray((tmp_path / "a.avi").read_bytes())
    frame_header = changed.rindex(b"\xff\xc0\x00\x11")  # of the last picture
    changed[frame_header + 5 : frame_header + 9] = (96).to_bytes(2, "big") + (128).to_bytes(2, "big")
    (tmp_path / "changed.avi").write_bytes(bytes(changed))
    with pytest.raises(NotByOpenCV, match="change their size"):
        decoded(tmp_path / "changed.avi")


def test_h264_that_changes_its_size_is_refused(tmp_path):
    first, second = tmp_path / "a.mp4", tmp_path / "b.mp4"
    encode(first, Encoding(num_frames=4))
    encode(second, Encoding(num_frames=4, size=(96, 128)))
    with av.open(str(tmp_path / "both.mkv"), "w") as output:
        sources = [av.open(str(path)) for path in (first, second)]
        stream = output.add_stream_from_template(sources[0].streams.video[0])
        start = 0
        for source in sources:
            header = bytes(source.streams.video[0].codec_context.extradata)
            sps_length = int.from_bytes(header[6:8], "big")
            sps, rest = header[8 : 8 + sps_length], header[8 + sps_length :]
            pps = rest[3 : 3 + int.from_bytes(rest[1:3], "big")]
            sets = b"".join(len(unit).to_bytes(4, "big") + unit for unit in (sps, pps))
            packets = [packet for packet in source.demux(video=0) if packet.size]
            for packet in packets:
                content = (sets if packet.is_keyframe else b"") + bytes(packet)
                new = av.Packet(content)
                new.time_base, new.is_keyframe, new.stream = packet.time_base, packet.is_keyframe, stream
                new.pts, new.dts = packet.pts + start, packet.dts + start
                output.mux(new)
            start += round(0.4 / packets[0].time_base)
            source.close()
    frames = list(decode(tmp_path / "both.mkv", threads=1, max_pixels=10**7, max_seconds=1e9))
    assert {(frame.frame.height, frame.frame.width) for frame in frames} == {(48, 64), (96, 128)}
    with pytest.raises(NotByOpenCV, match="change their size"):
        decoded(tmp_path / "both.mkv")


def test_a_complaint_is_noticed_at_its_frame(tmp_path):
    encode(tmp_path / "a.mp4", Encoding())
    count = iter([0, 0, 0, 7])
    with pytest.raises(NotByOpenCV, match="frame 2"):
        decoded(tmp_path / "a.mp4", complaints=lambda: next(count))


def test_only_the_cautious_leave_out_what_is_not_known(tmp_path):
    encode(tmp_path / "a.mkv", Encoding("ffv1", "matroska"))
    assert len(decoded(tmp_path / "a.mkv")) == 8
    with pytest.raises(NotByOpenCV, match="codec ffv1"):
        decoded(tmp_path / "a.mkv", is_cautious=True)

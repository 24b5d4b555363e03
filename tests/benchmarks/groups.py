"""`python -m tests.benchmarks.groups`: how fast few frames are taken from videos of long and of short picture groups.

H.264 of 720p at 30 frames per second to 64 x 64 grey, a folder for each length of group, beside plain OpenCV loops on
the same files, and beside a bound: FFmpeg decoding each group up to its last wanted frame, but no B-frame. That is
less than the wanted pictures are made from, and no picture is converted: no decoder that gives these gets below it.
Parts of ours are there too: choosing packets, and PyAV decoding these in one process.
Medians of interleaved rounds. Options: `--rounds N`, `--groups 15 250`.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path

import av

from pipeline.video.subsampling import FrameSkipper, nal_length_of
from tests.benchmarks.extract import another, footage, ours, plain_opencv, timed, write

VIDEOS, FRAMES, FPS = 4, 1200, 30
GROUPS = [15, 30, 60, 250]  # frames from one key frame to the next, at most: scene cuts have theirs
RATES = [Fraction(5), Fraction(1), Fraction(1, 10)]  # frames kept per second
SIZE, COLOUR = 64, "gray"


def make(folder: Path, group: int, pictures: list[av.VideoFrame]) -> list[Path]:
    """VIDEOS files whose picture groups have at most `group` frames."""
    paths = [folder / f"groups of {group}" / f"{number}.mp4" for number in range(VIDEOS)]
    paths[0].parent.mkdir()
    write(paths[0], islice(cycle(pictures), FRAMES), 720, 1280, group=group)
    for number, path in enumerate(paths[1:], start=1):
        path.write_bytes(another(paths[0].read_bytes(), number))
    return paths


def bound(path: Path, step: int) -> int:
    """Decode every group up to its last wanted frame, but for B-frames; returns how many frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
    order = sorted(packet.pts for packet in packets if packet.pts is not None)
    place = {pts: number for number, pts in enumerate(order)}
    groups: list[list[av.Packet]] = []
    for packet in packets:
        if packet.is_keyframe:
            groups.append([])
        groups[-1].append(packet)
    count = 0
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        context.thread_count, context.skip_frame = 1, "BIDIR"
        for group in groups:
            last = max((n for n, p in enumerate(group, start=1) if place[p.pts or 0] % step == 0), default=0)
            count += sum(len(context.decode(packet)) for packet in group[:last])
            count += len(context.decode(None))
            context.flush_buffers()
    return count


def our_packets(path: Path, rate: Fraction, *, decodes: bool) -> int:
    """Choose packets as extraction does; with `decodes`, PyAV decodes these. Returns how many frames or packets."""
    count = 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context, time_base = stream.codec_context, stream.time_base
        assert time_base is not None
        skipper = FrameSkipper(float(rate), time_base, nal_length_of(bytes(context.extradata or b"")))
        context.thread_count = 1
        for packet, is_wanted, restarts in skipper.mark(container.demux(stream)):
            if not decodes:
                count += 1
                continue
            if restarts:
                count += len(context.decode(None))
                context.flush_buffers()
            context.skip_frame = "DEFAULT" if is_wanted else "NONREF"
            count += len(context.decode(packet if packet.size else None))
    return count


def compare(paths: list[Path], rounds: int) -> None:
    """Print processor and wall seconds of each contestant, and its ratio to ours at the same rate: medians."""
    contestants: dict[str, Callable[[], object]] = {
        "plain loop": lambda: [plain_opencv(p, SIZE, COLOUR) for p in paths]
    }
    for rate in RATES:
        step = int(FPS / rate)
        contestants |= {
            f"{rate} resizes what is wanted": lambda step=step: [plain_opencv(p, SIZE, COLOUR, step) for p in paths],
            f"{rate} ours": lambda rate=rate: ours(paths, SIZE, COLOUR, fps=float(rate)),
            f"{rate} PyAV, our packets": lambda rate=rate: [our_packets(p, rate, decodes=True) for p in paths],
            f"{rate} choosing packets": lambda rate=rate: [our_packets(p, rate, decodes=False) for p in paths],
            f"{rate} bound": lambda step=step: [bound(path, step) for path in paths],
        }
    taken = [{name: timed(work) for name, work in contestants.items()} for _ in range(rounds)]
    for rate in RATES:
        print(f"{paths[0].parent.name}, {FPS} to {float(rate):g} frames/s")
        for name in contestants:
            if name.partition(" ")[0] in ("plain", str(rate)):
                wall, cpu = (statistics.median(one[name][kind] for one in taken) for kind in (0, 1))
                ratios = [
                    statistics.median(one[name][kind] / one[f"{rate} ours"][kind] for one in taken) for kind in (0, 1)
                ]
                told = f"CPU {cpu:6.2f} s, {ratios[1]:5.2f} x ours; wall {wall:6.2f} s, {ratios[0]:5.2f} x ours"
                print(f"  {name.removeprefix(f'{rate} '):24} {told}", flush=True)


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--groups", type=int, nargs="+", default=GROUPS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        with av.open(str(footage())) as container:
            pictures = [frame.reformat(format="yuv420p") for frame in container.decode(video=0)]
        print(f"{VIDEOS} videos of {FRAMES} frames each, medians of {arguments.rounds} interleaved rounds")
        for group in arguments.groups:
            paths = make(Path(name), group, pictures)
            compare(paths, arguments.rounds)


if __name__ == "__main__":
    main()

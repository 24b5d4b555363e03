"""Code that decides a frame does not change unnoticed: stores that were made before would stay as they are."""

import json

from pipeline.ingest import video_job
from tests.pipeline.ingest import decoding_code


def test_the_code_that_decides_a_frame_is_that_which_was_recorded_for_its_version():
    record = {"code_hash": decoding_code.code_hash(), "decoding_version": video_job.DECODING_VERSION}
    assert json.loads(decoding_code.RECORD.read_text()) == record, (
        "decoding code changed: if the same file can now have other frames, change DECODING_VERSION in "
        "pipeline/ingest/video_job.py; then record the new hash with `python -m tests.pipeline.ingest.decoding_code`"
    )


def test_all_code_from_the_packet_to_the_array_is_in_it():
    wanted = {"decoding", "frame_conversion", "reading", "image_sequences", "subsampling", "timing", "broken_files"}
    assert {f"pipeline.video.{name}" for name in wanted} | {"pipeline.data.arrays"} < set(decoding_code.modules())


def test_only_code_counts():
    source = 'def double(x):\n    """Twice x."""\n    return 2 * x  # a comment\n'
    assert decoding_code.code_of(source) == decoding_code.code_of("def double(x):\n\n    return (2 * x)\n")
    for changed in ("3 * x", "2 + x", "2.0 * x", "2 * y"):
        assert decoding_code.code_of(source) != decoding_code.code_of(f"def double(x):\n    return {changed}\n")

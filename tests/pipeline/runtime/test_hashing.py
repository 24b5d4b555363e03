"""Tests of pipeline/runtime/hashing.py: what counts in a content hash, and what does not."""

import hashlib

from pipeline.runtime.hashing import (
    SAMPLED_BYTES,
    content_hash,
    file_content_hash,
    files_content_hash,
    sampled_content_hash,
)


def test_a_file_has_the_hash_of_its_bytes_which_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-4, the example of one block
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert content_hash(b"abc") == file_content_hash(tmp_path / "a") == expected


def test_of_several_files_contents_and_order_count_and_names_do_not(tmp_path):
    for name, content in (("a", b"1"), ("b", b"2"), ("c", b"1")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (tmp_path / name for name in "abc")
    assert files_content_hash([a, b]) == files_content_hash([c, b]) != files_content_hash([b, a])
    # as the versions in the registry were recorded: the hash of the hashes
    hashes = hashlib.sha256(b"1").digest() + hashlib.sha256(b"2").digest()
    assert files_content_hash([a, b]) == hashlib.sha256(hashes).hexdigest()


def test_a_sampled_hash_knows_values_sizes_beginnings_and_ends(tmp_path):
    path = tmp_path / "array.npy"
    content = bytearray(3 * SAMPLED_BYTES)
    path.write_bytes(content)
    seen = {
        sampled_content_hash(["a"], [path]),
        sampled_content_hash(["b"], [path]),
        sampled_content_hash(["a"], []),
    }
    for position in (0, len(content) - 1):
        changed = content.copy()
        changed[position] = 1
        path.write_bytes(changed)
        seen.add(sampled_content_hash(["a"], [path]))
    path.write_bytes(bytes(content) + b"\0")
    seen.add(sampled_content_hash(["a"], [path]))
    assert len(seen) == 6
    path.write_bytes(content)
    assert sampled_content_hash(["a"], [path]) in seen


def test_a_sampled_hash_knows_the_names_of_files(tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(b"1")
    assert sampled_content_hash([], [tmp_path / "a"]) != sampled_content_hash([], [tmp_path / "b"])


def test_values_do_not_run_into_each_other():
    assert sampled_content_hash(["ab", "c"], []) != sampled_content_hash(["a", "bc"], [])

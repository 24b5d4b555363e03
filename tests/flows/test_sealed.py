"""Small files that say themselves whether a disk has changed them."""

import pytest

from flows.sealed import read_sealed, write_sealed

CONTENT = {"version": "v3.0.0", "begun": 1.5, "tags": ["a", "b"]}


def test_what_was_written_is_read(tmp_path):
    write_sealed(tmp_path / "note.json", CONTENT)
    assert read_sealed(tmp_path / "note.json") == CONTENT


@pytest.mark.parametrize(
    ("old", "new"), [("v3", "v1"), ("1.5", "1.4"), ('"b"', '"c"'), ("sha256", "sha257"), ("{", "[")]
)
def test_a_changed_bit_is_an_error(old, new, tmp_path):
    path = tmp_path / "note.json"
    write_sealed(path, CONTENT)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=r"not as it was written|Expecting"):
        read_sealed(path)

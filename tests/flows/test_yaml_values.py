"""One value of a YAML text is exchanged, and nothing else."""

import pytest

from flows.yaml_values import replaced


@pytest.mark.parametrize(
    ("text", "keys", "shown", "result"),
    [
        ("a: 1\nb: 2\n", ["b"], "30", "a: 1\nb: 30\n"),
        ("a:\n    b:   'x'   # why\n", ["a", "b"], "long text", "a:\n    b:   long text # why\n"),
        ("a:\n    b:   'xyz'   # why\n", ["a", "b"], "z", "a:\n    b:   z       # why\n"),
        ("a: {b: 1, c: [1,\n  2]}\n", ["a", "c"], "[3]", "a: {b: 1, c: [3]}\n"),
        ("a: {b: 1, c: 2}", ["a", "b"], "5", "a: {b: 5, c: 2}"),
        ("a:\nb: 1\n", ["a"], "5", "a: 5\nb: 1\n"),
        ("a:\n  b:      # why\n", ["a", "b"], "5", "a:\n  b: 5    # why\n"),
        ("a: 1\r\nb: 2\r\n", ["a"], "5", "a: 5\r\nb: 2\r\n"),
        ("a: 1", ["b"], "5", None),
        ("a: 1", ["a", "b"], "5", None),
        ("a:\n- 1\n- 2\n", ["a"], "[3]", None),
        ("a: |\n  text\nb: 1\n", ["a"], "x", None),
        ("a: &name 1\nb: *name\n", ["b"], "5", None),
        ("a: 1\n", ["a"], "- 1\n- 2", None),
    ],
)
def test_a_value_is_exchanged_where_it_stands_by_itself(text, keys, shown, result):
    assert replaced(text, keys, shown) == result

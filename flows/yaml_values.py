"""Replaces a value in the text of a YAML file: every comment, blank and line besides stays as it is."""

from collections.abc import Sequence

from ruamel.yaml import YAML
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode


def replaced(text: str, keys: Sequence[str], shown: str) -> str | None:
    """The YAML `text` with `shown`, a value in YAML, at the key that `keys` lead to.

    None where there is no such key or its value cannot be cut out by itself: lines of a block, an alias.
    """
    found = _found(text, keys)
    if found is None or "\n" in shown:
        return None
    name, value = found
    start, stop = value.start_mark.index, value.end_mark.index
    in_block = isinstance(value, ScalarNode) and value.style in ("|", ">")
    in_block |= isinstance(value, CollectionNode) and not value.flow_style
    if in_block or start < name.end_mark.index:
        return None
    if start == stop:  # `key:`, which is null
        start = stop = text.index(":", name.end_mark.index) + 1
        shown = f" {shown}"
    rest = text[stop:]
    if rest.startswith(" ") and rest.lstrip(" ").startswith("#"):  # a comment stays in its column
        comment = rest.lstrip(" ")
        rest = " " * max(1, stop - start + len(rest) - len(comment) - len(shown)) + comment
    return text[:start] + shown + rest


def _found(text: str, keys: Sequence[str]) -> tuple[Node, Node] | None:
    """The nodes of the last key and of its value."""
    node, found = YAML().compose(text), None
    for key in keys:
        pairs = node.value if isinstance(node, MappingNode) else []
        found = next(((name, value) for name, value in pairs if name.value == key), None)
        if found is None:
            return None
        node = found[1]
    return found

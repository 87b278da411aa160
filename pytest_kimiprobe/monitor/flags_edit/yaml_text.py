"""Edits of YAML text: one value is set, added or removed, every other character stays.

Works on plain files such as ours (routing.strict_yaml): mappings and lists in block or flow style, no anchors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from routing.errors import ConfigError
from routing.parsing import strict_yaml

Value: TypeAlias = "str | int | bool | Sequence[Value] | Mapping[str, Value] | None"
Path: TypeAlias = "tuple[str, ...]"


def put(text: str, path: Path, value: Value, *, order: Sequence[str] = ()) -> str:
    """The text with `value` at `path`; None removes the key. A new key comes after its predecessor in `order`."""
    at = _find(text, path)
    if at.node is None:
        return text if value is None else _added(text, at, value, order)
    if value is None:
        return _removed(text, at)
    if isinstance(value, Mapping) and isinstance(at.node, MappingNode):
        return _merged(text, path, at.node, value, order)
    if isinstance(at.node, SequenceNode) and isinstance(value, Sequence) and not isinstance(value, str):
        return _list_set(text, path, at.node, list(value))
    return _replaced(text, at.node, value)


def without_comments(text: str, path: Path) -> str:
    """The text without the comments of the block entry at `path`: those above it, and deeper ones below it."""
    at = _find(text, path)
    if at.node is None or at.key_node is None or at.parent.flow_style:
        return text
    indent = at.key_node.start_mark.column
    start = _line_start(text, at.key_node.start_mark.index)
    end = _next_line(text, _end(text, at.node))
    above, below = text[:start].splitlines(keepends=True), text[end:].splitlines(keepends=True)
    while above and above[-1].startswith(f"{' ' * indent}#"):
        above.pop()
    deeper = re.compile(rf" {{{indent + 1},}}#")
    while below and deeper.match(below[0]):
        below.pop(0)
    return "".join([*above, text[start:end], *below])


# ------------------------------------------------------------------------------------------------------ where it is


@dataclass(frozen=True, slots=True)
class _Place:
    """The deepest mapping on the way, the key in it, and what remains of the path below that key."""

    parent: MappingNode
    key: str
    below: Path
    key_node: ScalarNode | None
    node: Node | None


def _find(text: str, path: Path) -> _Place:
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    parent: Any = yaml.compose(text, Loader=loader)
    for depth, step in enumerate(path):
        if not isinstance(parent, MappingNode):
            break
        pair = next(((key, node) for key, node in parent.value if key.value == step), None)
        if pair is None:
            return _Place(parent, step, path[depth + 1 :], None, None)
        if depth == len(path) - 1:
            return _Place(parent, step, (), *pair)
        parent = pair[1]
    raise ValueError(f"no mapping at {'.'.join(path)}")


def _end(text: str, node: Any) -> int:
    """Index after the node's last character; a block's own marks reach to the next token, past blanks and comments."""
    if isinstance(node, ScalarNode):
        end: int = node.end_mark.index
        return len(text[:end].rstrip()) if node.style in {"|", ">"} else end
    if node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(text, last[1] if isinstance(node, MappingNode) else last)


def _line_start(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def _next_line(text: str, index: int) -> int:
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


# ------------------------------------------------------------------------------------------------------ how it looks


def flow(value: Value) -> str:
    """The value on one line, in quotes if any YAML reader could read it as something else."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return value if _plain(value) else _quoted(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(key)}: {flow(inner)}" for key, inner in value.items()) + "}"
    if value is None:
        return "null"
    return "[" + ", ".join(flow(inner) for inner in value) + "]"


def _plain(text: str) -> bool:
    """Whether the text without quotes is this string to our reader and to a YAML 1.1 reader, also between brackets."""
    if text.startswith(("@", "`", "%")) or "\n" in text or "*" in text:
        return False
    candidate = f"[{text}]"
    try:
        strict = strict_yaml.loads(candidate.encode(), where="").data
        return bool(strict == [text] and yaml.safe_load(candidate) == [text])
    except (ConfigError, yaml.YAMLError, ValueError):
        return False


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return '"' + strict_yaml.UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", escaped) + '"'


def _alike(node: Node, value: Value) -> str:
    """The new value in the old one's quotes."""
    style = node.style if isinstance(node, ScalarNode) else None
    if not isinstance(value, str) or style not in {"'", '"'}:
        return flow(value)
    simple = "'" not in value and _quoted(value) == f'"{value}"'
    return f"'{value}'" if style == "'" and simple else _quoted(value)


# ------------------------------------------------------------------------------------------------- change and remove


def _replaced(text: str, node: Node, value: Value) -> str:
    start, end = node.start_mark.index, _end(text, node)
    new = _alike(node, value)
    return text[:start] + new + _realigned(text[end:], len(new) - (end - start))


def _realigned(rest: str, growth: int) -> str:
    """The rest of the line, with a comment kept in its column if there is space."""
    found = re.match(r"( {2,})#", rest)
    if not found:
        return rest
    return " " * max(2, len(found[1]) - growth) + rest[len(found[1]) :]


def _merged(text: str, path: Path, node: MappingNode, value: Mapping[str, Value], order: Sequence[str]) -> str:
    for key, _ in node.value:
        if key.value not in value:
            text = put(text, (*path, key.value), None)
    for name, inner in value.items():
        text = put(text, (*path, name), inner, order=order)
    return text


def _removed(text: str, at: _Place) -> str:
    pairs = at.parent.value
    number = next(number for number, (key, _) in enumerate(pairs) if key.value == at.key)
    spans = [(key.start_mark.index, _end(text, node)) for key, node in pairs]
    if at.parent.flow_style:
        return _cut(text, spans, number)
    start, end = spans[number]
    return text[: _line_start(text, start)] + text[_next_line(text, end) :]


def _cut(text: str, spans: Sequence[tuple[int, int]], number: int) -> str:
    """The text without one entry between brackets, and without the comma that is no longer needed."""
    start, end = spans[number]
    line, rest = _line_start(text, start), _next_line(text, end)
    if not text[line:start].strip() and re.fullmatch(r",?\s*(#.*)?\s*", text[end:rest]):
        return text[:line] + text[rest:]  # alone on its line, which goes with its comment
    if number:
        return text[: spans[number - 1][1]] + text[end:]
    return text[:start] + (text[spans[1][0] :] if len(spans) > 1 else text[end:])


# ------------------------------------------------------------------------------------------------------------- add


def _added(text: str, at: _Place, value: Value, order: Sequence[str]) -> str:
    for step in reversed(at.below):
        value = {step: value}
    pairs = at.parent.value
    before = _predecessor([key.value for key, _ in pairs], at.key, order)
    if at.parent.flow_style:
        end = _end(text, pairs[before][1]) if pairs else at.parent.start_mark.index + 1
        return text[:end] + (", " if pairs else "") + f"{flow(at.key)}: {flow(value)}" + text[end:]
    place = _next_line(text, _end(text, pairs[before][1]))
    return text[:place] + _block(at.key, value, at.parent.start_mark.column, _newline(text)) + text[place:]


def _predecessor(keys: Sequence[str], key: str, order: Sequence[str]) -> int:
    """Index of the key after which the new one comes."""
    if key not in order:
        return len(keys) - 1
    earlier = set(order[: order.index(key)])
    return max((number for number, known in enumerate(keys) if known in earlier), default=len(keys) - 1)


def _block(key: str, value: Value, indent: int, newline: str) -> str:
    """A new key on its own line; a mapping of mappings or of many keys is spread over lines."""
    if isinstance(value, Mapping) and len(value) > 3:
        rows = "".join(_block(name, inner, indent + 2, newline) for name, inner in value.items())
        return f"{' ' * indent}{flow(key)}:{newline}{rows}"
    return f"{' ' * indent}{flow(key)}: {flow(value)}{newline}"


# ----------------------------------------------------------------------------------------------------------- lists


def _list_set(text: str, path: Path, node: SequenceNode, new: list[Value]) -> str:
    old = _values(text, node)
    kept = [value for value in old if value in new]
    more = [value for value in new if value not in old]
    if [*kept, *more] != new or not new or not kept:
        return _list_replaced(text, path, new)
    for value in [value for value in old if value not in new]:
        node = _sequence(text, path)
        text = _item_removed(text, node, _values(text, node).index(value))
    for value in more:
        text = _item_added(text, _sequence(text, path), value)
    return text


def _sequence(text: str, path: Path) -> SequenceNode:
    node = _find(text, path).node
    assert isinstance(node, SequenceNode)  # noqa: S101 - put() has looked
    return node


def _values(text: str, node: SequenceNode) -> list[Any]:
    return [
        strict_yaml.loads(text[item.start_mark.index : _end(text, item)].encode(), where="").data for item in node.value
    ]


def _list_replaced(text: str, path: Path, new: list[Value]) -> str:
    at = _find(text, path)
    node = at.node
    assert node is not None  # noqa: S101 - put() has looked
    assert at.key_node is not None  # noqa: S101
    if text[node.start_mark.index] == "[":
        end = _end(text, node)
        growth = len(flow(new)) - (end - node.start_mark.index)
        return text[: node.start_mark.index] + flow(new) + _realigned(text[end:], growth)
    colon = text.index(":", at.key_node.end_mark.index) + 1
    items = _line_start(text, node.start_mark.index)
    return f"{text[:colon]} {flow(new)}{text[colon:items]}{text[_next_line(text, _end(text, node)) :]}"


def _item_removed(text: str, node: SequenceNode, number: int) -> str:
    spans = [(item.start_mark.index, _end(text, item)) for item in node.value]
    if node.flow_style:
        return _cut(text, spans, number)
    start, end = spans[number]
    return text[: _line_start(text, start)] + text[_next_line(text, end) :]


def _item_added(text: str, node: SequenceNode, value: Value) -> str:
    end = _end(text, node.value[-1])
    if node.flow_style:
        return f"{text[:end]}, {flow(value)}{text[end:]}"
    place = _next_line(text, end)
    return f"{text[:place]}{' ' * node.start_mark.column}- {flow(value)}{_newline(text)}{text[place:]}"

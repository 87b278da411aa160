"""Edits YAML text: sets, adds or removes one value, and leaves every other character as it is.

Works on files that routing/parsing/strict_yaml.py accepts: mappings and lists in block or flow style, no anchors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from routing.errors import ConfigError
from routing.parsing import strict_yaml

Value: TypeAlias = "str | int | bool | Sequence[Value] | Mapping[str, Value] | None"
Path: TypeAlias = "tuple[str, ...]"


def put(text: str, path: Path, value: Value, *, order: Sequence[str] = ()) -> str:
    """The text with `value` set at `path`; the value None removes the key.

    A new key is inserted after the last key of the mapping that precedes it in `order`; otherwise it comes last.
    """
    parent, rest = _find(text, path)
    number = _number(parent, rest[0])
    if number is None:
        return text if value is None else _added(text, parent, rest, value, order)
    if value is None:
        return _removed(text, parent, number)
    name, node = parent.value[number]
    if isinstance(value, Mapping) and isinstance(node, MappingNode):
        return _merged(text, path, node, value, order)
    if isinstance(value, Sequence) and isinstance(node, SequenceNode):
        return _list_set(text, name, node, value)
    return _replaced(text, node, value)


def without_comments(text: str, path: Path) -> str:
    """The text without the comments that belong to the block-style entry at `path`.

    These are the comments directly above the entry with the same indent, and those directly below it with a deeper
    indent.
    """
    parent, rest = _find(text, path)
    number = _number(parent, rest[0])
    if number is None or parent.flow_style:
        return text
    start, end = _spans(text, parent)[number]
    start, end, indent = _line_start(text, start), _next_line(text, end), parent.start_mark.column
    above = re.sub(rf"(?m)(^ {{{indent}}}#.*\n)+\Z", "", text[:start])
    return above + text[start:end] + re.sub(rf"\A( {{{indent + 1},}}#.*\n)+", "", text[end:])


# -------------------------------------------------------------------------------------------------------- positions


def _find(text: str, path: Path) -> tuple[MappingNode, Path]:
    """The deepest existing mapping along `path`, and the part of `path` that remains below that mapping."""
    node: Any = yaml.compose(text, Loader=yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader)
    number = _number(node, path[0])
    while len(path) > 1 and number is not None and isinstance(node.value[number][1], MappingNode):
        node, path = node.value[number][1], path[1:]
        number = _number(node, path[0])
    return node, path


def _number(parent: MappingNode, key: str) -> int | None:
    """Index of the key in the mapping; None if the mapping does not have the key."""
    return next((number for number, (name, _) in enumerate(parent.value) if name.value == key), None)


def _spans(text: str, node: Any) -> list[tuple[int, int]]:
    """Start and end index in the text for each entry of a mapping or list."""
    entries = node.value if isinstance(node, MappingNode) else [(item, item) for item in node.value]
    return [(first.start_mark.index, _end(text, last)) for first, last in entries]


def _end(text: str, node: Any) -> int:
    """Index after the last character of the node.

    The parser's own end mark of a block node is not used: it lies behind the blank lines and comments that follow.
    """
    if isinstance(node, ScalarNode):
        end: int = node.end_mark.index
        return len(text[:end].rstrip()) if node.style in {"|", ">"} else end
    return int(node.end_mark.index) if node.flow_style or not node.value else _spans(text, node)[-1][1]


def _line_start(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def _next_line(text: str, index: int) -> int:
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


# ----------------------------------------------------------------------------------------------------- text of values


def flow(value: Value) -> str:
    """The value as YAML on one line. A string is quoted if some YAML reader could read it as something else."""
    if isinstance(value, str):
        return value if _plain(value) else _quoted(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(key)}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(flow(inner) for inner in value) + "]"
    return json.dumps(value)


def _plain(text: str) -> bool:
    """Whether the text can be written without quotes, also inside `[...]`.

    Our reader and a YAML 1.1 reader must both read it as exactly this string.
    """
    if text.startswith(("@", "`", "%")) or "\n" in text or "*" in text:
        return False
    candidate = f"[{text}]"
    try:
        strict = strict_yaml.loads(candidate.encode(), where="").data
        return bool(strict == [text] and yaml.safe_load(candidate) == [text])
    except (ConfigError, yaml.YAMLError, ValueError):
        return False


def _quoted(text: str) -> str:
    return strict_yaml.UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def _alike(node: Node, value: Value) -> str:
    """The new value as YAML text, in the same kind of quotes as the old value `node` if possible."""
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
    """The text after a replaced value. A comment that follows on the same line keeps its column if there is space.

    `growth` is the number of characters by which the new value is longer than the old one.
    """
    found = re.match(r"( {2,})#", rest)
    if not found:
        return rest
    return " " * max(2, len(found[1]) - growth) + rest[len(found[1]) :]


def _merged(text: str, path: Path, node: MappingNode, value: Mapping[str, Value], order: Sequence[str]) -> str:
    gone = {key.value: None for key, _ in node.value if key.value not in value}
    for name, inner in {**gone, **value}.items():
        text = put(text, (*path, name), inner, order=order)
    return text


def _list_set(text: str, key: Node, node: SequenceNode, new: Sequence[Value]) -> str:
    """The text with the list `node` changed to `new`. Entries that stay keep their place and comment.

    Added entries come after them. If `new` has another order, or no entry stays, the whole list is replaced.
    """
    old, wanted = [item.value for item in node.value], [str(value) for value in new]
    kept = [number for number, name in enumerate(old) if name in wanted]
    more = [value for value in new if str(value) not in old]
    if not kept or [*(old[number] for number in kept), *map(str, more)] != wanted:
        return _list_replaced(text, key, node, new)
    # From the last entry to the first, so that the positions of the others stay right.
    for number in reversed(range(len(old))):
        if number not in kept:
            text = _removed(text, node, number)
        elif number == kept[-1] and more:
            rows = [f"- {flow(value)}" for value in more]
            text = _inserted(text, node, number, ", ".join(map(flow, more)), rows)
    return text


def _list_replaced(text: str, key: Node, node: SequenceNode, new: Sequence[Value]) -> str:
    if node.flow_style:
        return _replaced(text, node, new)
    colon = text.index(":", key.end_mark.index) + 1
    items = _line_start(text, node.start_mark.index)
    return f"{text[:colon]} {flow(new)}{text[colon:items]}{text[_next_line(text, _end(text, node)) :]}"


def _removed(text: str, node: Any, number: int) -> str:
    """The text without entry `number` of a mapping or list, and without the comma that is no longer needed."""
    spans = _spans(text, node)
    start, end = spans[number]
    line, rest = _line_start(text, start), _next_line(text, end)
    alone = not text[line:start].strip() and re.fullmatch(r",?\s*(#.*)?\s*", text[end:rest])
    if alone or not node.flow_style:
        return text[:line] + text[rest:]  # with the comment on its line
    if number:
        return text[: spans[number - 1][1]] + text[end:]
    return text[:start] + re.sub(r"\A\s*,(\s*#.*\n)*\s*", "", text[end:])


# ------------------------------------------------------------------------------------------------------------- add


def _added(text: str, parent: MappingNode, path: Path, value: Value, order: Sequence[str]) -> str:
    key, *below = path
    for step in reversed(below):
        value = {step: value}
    keys = [name.value for name, _ in parent.value]
    earlier = set(order[: order.index(key)] if key in order else keys)
    after = max((number for number, known in enumerate(keys) if known in earlier), default=len(keys) - 1)
    return _inserted(text, parent, after, f"{flow(key)}: {flow(value)}", _rows(key, value))


def _inserted(text: str, node: Any, after: int, inline: str, rows: Sequence[str]) -> str:
    """The text with a new entry after entry number `after` of a mapping or list.

    The entry is written as `inline` if `node` is in flow style, and as the lines `rows` if it is in block style.
    """
    end = _spans(text, node)[after][1] if node.value else node.start_mark.index + 1
    if node.flow_style:
        return text[:end] + (", " if node.value else "") + inline + text[end:]
    place, indent = _next_line(text, end), " " * node.start_mark.column
    newline = "\r\n" if "\r\n" in text else "\n"
    return text[:place] + "".join(f"{indent}{row}{newline}" for row in rows) + text[place:]


def _rows(key: str, value: Value) -> list[str]:
    """Lines of a new key with its value, for block style.

    A mapping of more than 3 keys gets a line for each key; any other value is written on the line of the new key.
    """
    if isinstance(value, Mapping) and len(value) > 3:
        return [f"{flow(key)}:", *(f"  {row}" for name, inner in value.items() for row in _rows(name, inner))]
    return [f"{flow(key)}: {flow(value)}"]

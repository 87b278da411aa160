"""The one way YAML is read here: a small, dull subset in which a file means the same to its reviewer and to the program.

What YAML 1.1 and YAML 1.2 read differently (`True`, `0123`, `0x1f`, `.inf`) is refused, not guessed at; `on`, `no`,
dates and times are plain strings. Refused as well: anchors, aliases, tags, merge keys, directives, duplicate keys,
keys that are not strings, more than one document, tabs, control and invisible direction characters, encodings other
than UTF-8. Parsing is a loop over events, so nesting costs no recursion, and size and depth are capped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from ..errors import ConfigError

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
_MAX_NUMBER = _MAX_SHOWN = 40
_END = "..."

_Mark: TypeAlias = "tuple[int, int, dict[str, _Mark] | list[_Mark] | None]"
"""1-based line and column of a value, with the marks of what it holds."""

# Lone CR, NEL, LS and PS are line breaks to libyaml but not to git; direction overrides show text in another order.
UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
    "|\r(?!\n)"
)
"""Characters that may stand in a file as escapes only."""
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
# What some YAML version reads as a number, boolean or null, and another one otherwise.
_AMBIGUOUS = re.compile(
    r"[-+]?(?:0[0-9_]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|\.(?:inf|Inf|INF))"
    r"|\.(?:nan|NaN|NAN)|True|TRUE|False|FALSE|Null|NULL"
)
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed file. `data` is made of dict, list, str, int, float, bool and None only."""

    data: Any
    where: str
    _mark: _Mark = (1, 1, None)

    def position(self, path: Sequence[str | int]) -> tuple[int, int]:
        """1-based line and column of the value at `path`, or of its nearest ancestor where there is no such value."""
        mark = self._mark
        for step in path:
            inner = mark[2]
            found: _Mark | None = None
            if isinstance(inner, dict) and isinstance(step, str):
                found = inner.get(step)
            elif isinstance(inner, list) and isinstance(step, int) and 0 <= step < len(inner):
                found = inner[step]
            if found is None:
                break
            mark = found
        return mark[0], mark[1]

    def at(self, path: Sequence[str | int]) -> str:
        """`file:line:column` of the value at `path`, as errors name it."""
        line, column = self.position(path)
        return f"{self.where}:{line}:{column}"


def loads(
    data: bytes,
    *,
    where: str,
    error: type[ConfigError] = ConfigError,
    require_end: bool = False,
    max_bytes: int = MAX_BYTES,
) -> Document:
    """Parse one document; an empty file is None. Raises `error` with `where` as `file:line:column`.

    With `require_end` the last non-empty line must be the document end marker `...`, closed by a newline: a file cut
    anywhere is then refused instead of being read as a shorter file.
    """
    source = _Source(where, error)
    if len(data) > max_bytes:
        source.refuse(f"is {len(data)} bytes; at most {max_bytes} are read")
    text = _decoded(data, source)
    end_line = _end_line(text, source) if require_end else None
    return _Reader(source, end_line).read(text)


@dataclass(frozen=True, slots=True)
class _Source:
    where: str
    error: type[ConfigError]

    def refuse(self, message: str, line: int = 0, column: int = 1) -> NoReturn:
        raise self.error(message, where=f"{self.where}:{line}:{column}" if line else self.where)


def _decoded(data: bytes, source: _Source) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        source.refuse("is UTF-16; save it as UTF-8", 1)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line_start = data.rfind(b"\n", 0, problem.start) + 1
        line = data.count(b"\n", 0, problem.start) + 1
        source.refuse(f"is not UTF-8 (byte 0x{data[problem.start]:02x})", line, problem.start - line_start + 1)
    for pattern, what in ((re.compile("\t"), "a tab; indent with spaces"), (UNSEEN, "an unseen character")):
        found = pattern.search(text)
        if found:
            line = text.count("\n", 0, found.start()) + 1
            code = f" (U+{ord(found[0]):04X}); write it as an escape in double quotes" if pattern is UNSEEN else ""
            source.refuse(f"holds {what}{code}", line, found.start() - text.rfind("\n", 0, found.start()))
    return text


def _end_line(text: str, source: _Source) -> int:
    """0-based line of the end marker."""
    lines = text.replace("\r\n", "\n").split("\n")
    last = next((number for number in reversed(range(len(lines))) if lines[number].strip(" ")), 0)
    if lines[last] != _END:
        source.refuse("the last line is not the document end marker `...`: the file is cut or unfinished", last + 1)
    if last == len(lines) - 1:
        source.refuse("no newline after the document end marker `...`: the file may be cut", last + 1)
    return last


class _Reader:
    """Builds data and marks from the parser's events, with an explicit stack."""

    def __init__(self, source: _Source, end_line: int | None) -> None:
        self.source = source
        self.end_line = end_line
        self.stack: list[_Open] = []
        self.root: tuple[Any, _Mark] | None = None
        self.ended: yaml.Event | None = None

    def read(self, text: str) -> Document:
        import yaml

        try:
            for event in _events(text):
                self.take(event)
        except yaml.MarkedYAMLError as problem:
            context = f" {problem.context}" if problem.context else ""
            at = problem.problem_mark
            line, column = (at.line + 1, at.column + 1) if at else (0, 1)
            self.source.refuse(f"is not YAML: {problem.problem}{context}", line, column)
        except yaml.YAMLError as problem:
            self.source.refuse(f"is not YAML: {problem}")
        value, mark = self.root or (None, (1, 1, None))
        return Document(value, self.source.where, mark)

    def take(self, event: yaml.Event) -> None:
        import yaml

        if isinstance(event, yaml.ScalarEvent):
            self.check(event)
            self.add(self.scalar(event), _mark(event))
        elif isinstance(event, yaml.CollectionStartEvent):
            self.check(event)
            self.open(event, {} if isinstance(event, yaml.MappingStartEvent) else [])
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self.stack.pop()
            self.add(done.value, done.mark)
        elif isinstance(event, yaml.AliasEvent):
            self.refuse(f"aliases are not read here: {_shown(event.anchor)}", event)
        else:
            self.document(event)

    def document(self, event: yaml.Event) -> None:
        """Start and end of document and stream."""
        import yaml

        if isinstance(event, yaml.DocumentStartEvent):
            if self.root is not None:
                self.refuse("a second document; one is read", event)
            if event.version or event.tags:
                self.refuse("directives (%...) are not read here", event)
        elif isinstance(event, yaml.DocumentEndEvent):
            self.ended = event
        elif (
            isinstance(event, yaml.StreamEndEvent)
            and self.ended
            and self.end_line not in {None, _mark(self.ended)[0] - 1}
        ):
            self.refuse("the document ends before the last line `...`", self.ended)

    def check(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.anchor is not None:
            self.refuse(f"anchors are not read here: {_shown(event.anchor)}", event)
        if event.tag is not None:
            self.refuse(f"tags are not read here: {_shown(event.tag)}", event)

    def open(self, event: yaml.CollectionStartEvent, value: dict[str, Any] | list[Any]) -> None:
        if len(self.stack) >= MAX_DEPTH:
            self.refuse(f"nested deeper than {MAX_DEPTH} levels", event)
        if self.stack and self.stack[-1].wants_key:
            self.refuse("keys must be strings", event)
        line, column, _ = _mark(event)
        self.stack.append(_Open(value, (line, column, {} if isinstance(value, dict) else [])))

    def add(self, value: Any, mark: _Mark) -> None:
        if not self.stack:
            self.root = (value, mark)
            return
        top = self.stack[-1]
        if top.wants_key:
            self.take_key(top, value, mark)
        else:
            top.add(value, mark)

    def take_key(self, top: _Open, key: Any, mark: _Mark) -> None:
        line, column, _ = mark
        if not isinstance(key, str):
            self.source.refuse("keys must be strings: put this one in quotes", line, column)
        if key == "<<":
            self.source.refuse("merge keys (<<) are not read here", line, column)
        if key in top.value:
            self.source.refuse(f"duplicate key {_shown(key)}", line, column)
        top.key = key

    def scalar(self, event: yaml.ScalarEvent) -> str | int | float | bool | None:
        text: str = event.value
        if event.style:  # quoted or block: a string whatever it looks like
            if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
                self.refuse("half of a surrogate pair is no character", event)
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _AMBIGUOUS.fullmatch(text):
            self.refuse(f"{text} means different things to different YAML readers: put it in quotes", event)
        return self.number(text, event)

    def number(self, text: str, event: yaml.ScalarEvent) -> str | int | float:
        if not _FLOAT.fullmatch(text):
            return text
        if len(text) > _MAX_NUMBER:
            self.refuse("the number is too long: put it in quotes if it is a name", event)
        if _INT.fullmatch(text):
            return int(text)
        value = float(text)
        if not math.isfinite(value):
            self.refuse(f"{text} is larger than any number: put it in quotes if it is a name", event)
        return value

    def refuse(self, message: str, event: yaml.Event) -> NoReturn:
        line, column, _ = _mark(event)
        self.source.refuse(message, line, column)


class _Open:
    """A mapping or sequence whose end has not been seen."""

    __slots__ = ("key", "mark", "value")

    def __init__(self, value: dict[str, Any] | list[Any], mark: _Mark) -> None:
        self.value: Any = value
        self.mark = mark
        self.key: str | None = None

    @property
    def wants_key(self) -> bool:
        return isinstance(self.value, dict) and self.key is None

    def add(self, value: Any, mark: _Mark) -> None:
        marks: Any = self.mark[2]
        if isinstance(self.value, list):
            self.value.append(value)
            marks.append(mark)
        else:
            self.value[self.key] = value
            marks[self.key] = mark
            self.key = None


def _shown(text: str | None) -> str:
    """A word of the file as errors may show it: escaped and short."""
    text = text or ""
    return ascii(text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "...")


def _mark(event: yaml.Event) -> _Mark:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1, None) if mark else (1, 1, None)


def _events(text: str) -> Iterator[yaml.Event]:
    import yaml

    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    return iter(yaml.parse(text, Loader=loader))

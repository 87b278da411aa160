"""Reader of the project's YAML files, in a small subset of YAML in which each text has one meaning.

Values that YAML 1.1 and YAML 1.2 read differently (`True`, `0123`, `0x1f`, `.inf`) are refused; `on`, `no`, dates and
times are plain strings. The reader also refuses anchors, aliases, tags, merge keys, directives, duplicate keys and keys
that are not strings. It refuses a second document, tabs, control and direction characters, and encodings other than
UTF-8. Parsing is a loop over events, so nesting costs no recursion, and size and depth are capped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeAlias

from ..errors import ConfigError

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
_MAX_VALUES = 40_000
_MAX_NUMBER = 40
_END = "..."
_END_MARKER = re.compile(r"^\.\.\.(?=\s)", re.MULTILINE)

# Lone CR, NEL, LS and PS are line breaks to libyaml but not to git; direction overrides show text in another order.
UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
    "|\r(?!\n)"
)
"""Invisible characters, which a file may contain as escapes only."""
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
# Text that one YAML version reads as a number, boolean or null, and another version as something else.
_AMBIGUOUS = re.compile(
    r"[-+]?(?:0[0-9_]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|\.(?:inf|Inf|INF))"
    r"|\.(?:nan|NaN|NAN)|True|TRUE|False|FALSE|Null|NULL"
)


PLAIN: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
"""Unquoted texts that are read as a boolean or as None, with their values."""
Mark: TypeAlias = tuple[int, int]
"""Line and column, both counted from 1."""
Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed file. `data` is made of dict, list, str, int, float, bool and None only."""

    data: Any
    where: str
    marks: Mapping[Path, Mark] = field(default_factory=dict)
    """Line and column of each value, by the path of the value."""

    def position(self, path: Sequence[str | int]) -> Mark:
        """Line and column of the value at `path`; if there is none, those of the nearest enclosing value."""
        known = tuple(path)
        while known and known not in self.marks:
            known = known[:-1]
        return self.marks.get(known, (1, 1))

    def at(self, path: Sequence[str | int]) -> str:
        """`file:line:column` of the value at `path`, for error messages."""
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
    """Parse one YAML document; the data of an empty file is None.

    Raises `error`, which names the place as `file:line:column` with `where` as the file. With `require_end` the last
    non-empty line must be the document end marker `...`, closed by a newline. A file that was cut off is then refused
    instead of being read as a shorter file.
    """
    source = _Source(where, error)
    if len(data) > max_bytes:
        source.refuse(f"is {len(data)} bytes; at most {max_bytes} are read")
    text = _decoded(data, source)
    end_line = _end_line(text, source) if require_end else 0
    reader = YamlReader(where, error)
    reader.build(text)
    first = _END_MARKER.search(text) if require_end else None
    if first and (line := text.count("\n", 0, first.start())) < end_line:
        source.refuse("the document ends before the last line `...`", line + 1)
    return Document(reader.root, where, reader.marks)


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
    """The line of the end marker `...`, counted from 0. A text without the marker as its last line is refused."""
    lines = text.replace("\r\n", "\n").split("\n")
    last = next((number for number in reversed(range(len(lines))) if lines[number].strip(" ")), 0)
    if lines[last] != _END:
        source.refuse("the last line is not the document end marker `...`: the file is cut or unfinished", last + 1)
    if last == len(lines) - 1:
        source.refuse("no newline after the document end marker `...`: the file may be cut", last + 1)
    return last


class YamlReader:
    """Builds the data of one document, and the position of each value, from the events of the YAML parser.

    It uses an explicit stack instead of recursion. Subclasses may read another subset of YAML.
    """

    documents_error: ClassVar[str] = "a second document; one is read"

    def __init__(self, where: str, error: type[ConfigError]) -> None:
        self.root: Any = None
        self.marks: dict[Path, Mark] = {}
        self._source = _Source(where, error)
        self._stack: list[_Open] = []
        self._values = 0

    def build(self, source: str | bytes) -> None:
        """Read one document into `root`, which stays None if there is none. Errors go to `refuse`."""
        import yaml

        loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
        try:
            for event in yaml.parse(source, Loader=loader):
                if isinstance(event, yaml.ScalarEvent):
                    self._add(self.scalar(event), event)
                elif isinstance(event, yaml.CollectionStartEvent):
                    self._open(event, {} if isinstance(event, yaml.MappingStartEvent) else [])
                elif isinstance(event, yaml.CollectionEndEvent):
                    self._stack.pop()
                elif isinstance(event, yaml.AliasEvent):
                    self.alias(event)
                elif isinstance(event, yaml.DocumentStartEvent):
                    if self.marks:
                        self.refuse(self.documents_error, mark_of(event))
                    self.document(event)
        except yaml.MarkedYAMLError as problem:
            context = f" {problem.context}" if problem.context else ""
            at = problem.problem_mark
            self.refuse(f"is not YAML: {problem.problem}{context}", (at.line + 1, at.column + 1) if at else None)
        except (yaml.YAMLError, UnicodeError) as problem:
            self.refuse(f"is not YAML: {type(problem).__name__}", None)

    def scalar(self, event: yaml.ScalarEvent) -> str | int | float | bool | None:
        self.collection(event)
        self._count(event)
        text: str = event.value
        if event.style:  # quoted or block: a string whatever it looks like
            if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
                self.refuse("half of a surrogate pair is not a character", mark_of(event))
            return text
        if text in PLAIN:
            return PLAIN[text]
        if _AMBIGUOUS.fullmatch(text):
            self.refuse(
                f"{text[:40]} means different things to different YAML readers: put it in quotes", mark_of(event)
            )
        return self.number(text, event)

    def number(self, text: str, event: yaml.ScalarEvent) -> str | int | float:
        if not _FLOAT.fullmatch(text):
            return text
        if len(text) > _MAX_NUMBER:
            self.refuse("the number is too long: put it in quotes if it is a name", mark_of(event))
        if _INT.fullmatch(text):
            return int(text)
        value = float(text)
        if not math.isfinite(value):
            self.refuse(f"{text} is larger than any number: put it in quotes if it is a name", mark_of(event))
        return value

    def key(self, key: Any, event: yaml.Event, mapping: dict[str, Any]) -> str:
        mark = mark_of(event)
        if not isinstance(key, str):
            hint = "" if isinstance(key, dict | list) else ": put this one in quotes"
            self.refuse(f"keys must be strings{hint}", mark)
        if key == "<<":
            self.refuse("merge keys (<<) are not read here", mark)
        if key in mapping:
            self.refuse(f"duplicate key {shown(key)}", mark)
        return key

    def collection(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.anchor is not None:
            self.refuse(f"anchors are not read here: {shown(event.anchor)}", mark_of(event))
        if event.tag is not None:
            self.refuse(f"tags are not read here: {shown(event.tag)}", mark_of(event))

    def alias(self, event: yaml.AliasEvent) -> None:
        self.refuse(f"aliases are not read here: {shown(event.anchor)}", mark_of(event))

    def document(self, event: yaml.DocumentStartEvent) -> None:
        if event.version or event.tags:
            self.refuse("directives (%...) are not read here", mark_of(event))

    def refuse(self, message: str, mark: Mark | None) -> NoReturn:
        line, column = mark or (0, 1)
        self._source.refuse(message, line, column)

    def _count(self, event: yaml.Event) -> None:
        self._values += 1
        if self._values > _MAX_VALUES:
            self.refuse(f"holds more than {_MAX_VALUES} keys and values", mark_of(event))

    def _open(self, event: yaml.CollectionStartEvent, value: dict[str, Any] | list[Any]) -> None:
        mark = mark_of(event)
        if len(self._stack) >= MAX_DEPTH:
            self.refuse(f"is nested deeper than {MAX_DEPTH} levels", mark)
        self.collection(event)
        self._count(event)
        if self._stack and self._stack[-1].wants_key:
            self.key(value, event, self._stack[-1].value)
        self._stack.append(_Open(value, self._put(value, mark)))

    def _add(self, value: Any, event: yaml.Event) -> None:
        top = self._stack[-1] if self._stack else None
        if top and top.wants_key:
            top.key = self.key(value, event, top.value)
        else:
            self._put(value, mark_of(event))

    def _put(self, value: Any, mark: Mark) -> Path:
        """Store a value where it belongs, and its mark; return its path."""
        path: Path = ()
        if self._stack:
            top = self._stack[-1]
            path = (*top.path, len(top.value) if top.key is None else top.key)
            if top.key is None:
                top.value.append(value)
            else:
                top.value[top.key], top.key = value, None
        else:
            self.root = value
        self.marks[path] = mark
        return path


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not been read."""

    value: Any
    path: Path
    key: str | None = None

    @property
    def wants_key(self) -> bool:
        return isinstance(self.value, dict) and self.key is None


def mark_of(event: yaml.Event) -> Mark:
    """Line and column at which an event starts."""
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def shown(text: str | None, most: int = 40) -> str:
    """The text escaped and cut to `most` characters, for use in an error message."""
    text = text or ""
    return ascii(text if len(text) <= most else text[:most] + "...")

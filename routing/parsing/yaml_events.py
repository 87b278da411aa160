"""Data from YAML events, built with an explicit stack: nesting costs no recursion and is capped.

`Builder` does the building. A subclass says what it accepts: scalars, keys, tags, aliases and documents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeAlias

if TYPE_CHECKING:
    import yaml

MAX_DEPTH = 64
Mark: TypeAlias = "tuple[int, int, dict[str, Mark] | list[Mark] | None]"
"""1-based line and column of a value, with the marks of what it holds."""
PLAIN: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
"""Unquoted scalars that are not strings or numbers."""


class Builder:
    """Builds data and marks from the parser's events. Subclasses override `scalar`, `key`, `refuse` and the checks."""

    documents_error: ClassVar[str] = "a second document; one is read"

    def __init__(self) -> None:
        self.root: tuple[Any, Mark] | None = None
        self._stack: list[_Open] = []

    def build(self, source: str | bytes) -> None:
        """Read one document into `root`, which stays None if there is none. Errors go to `refuse`."""
        import yaml

        loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
        try:
            for event in yaml.parse(source, Loader=loader):
                if isinstance(event, yaml.ScalarEvent):
                    self._add(self.scalar(event), event, mark_of(event))
                elif isinstance(event, yaml.CollectionStartEvent):
                    self._open(event, {} if isinstance(event, yaml.MappingStartEvent) else [])
                elif isinstance(event, yaml.CollectionEndEvent):
                    done = self._stack.pop()
                    self._add(done.value, event, done.mark)
                elif isinstance(event, yaml.AliasEvent):
                    self.alias(event)
                else:
                    if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
                        self.refuse(self.documents_error, mark_of(event))
                    self.document(event)
        except yaml.MarkedYAMLError as problem:
            context = f" {problem.context}" if problem.context else ""
            at = problem.problem_mark
            self.refuse(f"is not YAML: {problem.problem}{context}", (at.line + 1, at.column + 1, None) if at else None)
        except (yaml.YAMLError, UnicodeError) as problem:
            self.refuse(f"is not YAML: {type(problem).__name__}", None)

    def scalar(self, event: yaml.ScalarEvent) -> Any:
        """The value of a scalar."""
        raise NotImplementedError

    def key(self, key: Any, event: yaml.Event, mapping: dict[str, Any]) -> str:
        """The key as text; `mapping` holds the keys before it. Refuses mappings and lists."""
        raise NotImplementedError

    def collection(self, event: yaml.CollectionStartEvent) -> None:
        """Refuse the start of a mapping or list, or accept it."""

    def alias(self, event: yaml.AliasEvent) -> None:
        """Refuse an alias: expanding one may cost any amount of memory."""
        raise NotImplementedError

    def document(self, event: yaml.Event) -> None:
        """Look at the start or end of the stream or of a document."""

    def refuse(self, message: str, mark: Mark | None) -> NoReturn:
        """Raise the error of this kind of file; `mark` is None if the place is unknown."""
        raise NotImplementedError

    def _open(self, event: yaml.CollectionStartEvent, value: dict[str, Any] | list[Any]) -> None:
        mark = mark_of(event)
        if len(self._stack) >= MAX_DEPTH:
            self.refuse(f"is nested deeper than {MAX_DEPTH} levels", mark)
        self.collection(event)
        if self._stack and self._stack[-1].wants_key:
            self.key(value, event, self._stack[-1].value)
        self._stack.append(_Open(value, (mark[0], mark[1], {} if isinstance(value, dict) else [])))

    def _add(self, value: Any, event: yaml.Event, mark: Mark) -> None:
        if not self._stack:
            self.root = (value, mark)
            return
        top = self._stack[-1]
        if top.wants_key:
            top.key = self.key(value, event, top.value)
        else:
            top.add(value, mark)


class _Open:
    """A mapping or list whose end has not been read."""

    __slots__ = ("key", "mark", "value")

    def __init__(self, value: dict[str, Any] | list[Any], mark: Mark) -> None:
        self.value: Any = value
        self.mark = mark
        self.key: str | None = None

    @property
    def wants_key(self) -> bool:
        return isinstance(self.value, dict) and self.key is None

    def add(self, value: Any, mark: Mark) -> None:
        marks: Any = self.mark[2]
        if isinstance(self.value, list):
            self.value.append(value)
            marks.append(mark)
        else:
            self.value[self.key] = value
            marks[self.key] = mark
            self.key = None


def mark_of(event: yaml.Event) -> Mark:
    """Where an event starts."""
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1, None) if mark else (1, 1, None)


def shown(text: str | None, most: int = 40) -> str:
    """Text of a file as errors may show it: escaped and short."""
    text = text or ""
    return ascii(text if len(text) <= most else text[:most] + "...")

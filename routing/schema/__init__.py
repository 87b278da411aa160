"""Validates tool arguments against the tool's own JSON Schema, offline and in linear time.

The validators of tools are compiled once and cached by tool (tool.py), within a bound on memory. A tool whose schema
cannot be used is the caller's mistake (error class `request`). Examples: not a schema, a `$ref` to another document, a
pattern with look-around. Using that tool raises `ToolSchemaError`; the other tools of the set are not affected.
`ToolSet.problems` lists all these errors, so that a request can be refused before it is sent.

`format` is not checked in any draft: no provider enforces it, and libraries disagree about it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakValueDictionary, ref

from ..parsing.strict_json import MAX_DEPTH, deeper_than
from ..types import JsonObject, Tool
from .parts import at_pointer
from .tool import MAX_SENTENCE, RequestTool, ToolSchemaError, comparable, content_key, printable

if TYPE_CHECKING:
    import jsonschema_rs

__all__ = ["MAX_SENTENCE", "ToolSchemaError", "ToolSet", "first_error", "printable"]

CACHED_SETS = 256
"""The most tool sets in the cache; the least recently used is removed first."""
MAX_CACHED_BYTES = 32 << 20
"""The most bytes of memory, estimated, of all tools in the cache: 800 tools of 2 kB. Sets share equal tools."""


class ToolSet:
    """The tools offered in one request, with their validators. Safe to share between threads."""

    __slots__ = ("__weakref__", "_named", "_problems", "_repeated", "characters", "offered")

    def __init__(self, offered: Sequence[RequestTool]) -> None:
        self.offered = tuple(offered)
        self.characters = sum(tool.characters for tool in offered)
        """The length of the tools as JSON text."""
        self._named: dict[str, RequestTool] = {}
        self._repeated: set[str] = set()
        unnamed = []
        for index, tool in enumerate(self.offered):
            if not tool.name:
                if not _runs_at_the_provider(tool.tool):
                    unnamed.append(ToolSchemaError(f"#{index}", "it has no function.name"))
            elif tool.name in self._named:
                self._repeated.add(tool.name)
            else:
                self._named[tool.name] = tool
        self._problems: tuple[ToolSchemaError, ...] | list[ToolSchemaError] = unnamed

    @classmethod
    def of(cls, tools: Sequence[Tool] | ToolSet) -> ToolSet:
        """The tool set for tools in OpenAI's format. Equal content gives the same object while it is cached.

        Raises ToolSchemaError only if `tools` cannot be written as JSON. Tools whose schema is invalid do not raise
        here; `problems` lists them.
        """
        if isinstance(tools, _ToolsOfSet):
            return tools.tool_set
        return tools if isinstance(tools, ToolSet) else _cached(tools)

    @property
    def tools(self) -> Sequence[Tool]:
        """Plain copies of the tools, in the order of the request. `of` finds this set again without reading them."""
        return _ToolsOfSet(self)

    def __contains__(self, name: object) -> bool:
        return name in self._named

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tools in the set, in the order of the request."""
        return tuple(self._named)

    @property
    def problems(self) -> tuple[ToolSchemaError, ...]:
        """One error for each tool that cannot be used; empty if all tools can be used."""
        if isinstance(self._problems, list):
            self._problems = (*self._problems, *(error for name in self._named if (error := self._problem(name))))
        return self._problems

    def _problem(self, name: str) -> ToolSchemaError | None:
        try:
            self.validator(name)
        except ToolSchemaError as error:
            return error
        return None

    def validator(self, name: str) -> jsonschema_rs.Validator:
        """The compiled validator of the tool `name`.

        Raises KeyError if the set has no such tool, and ToolSchemaError if its schema cannot be used.
        """
        if name in self._repeated:
            raise ToolSchemaError(name, "two tools of one request share this name")
        return self._named[name].validator()

    def explainable(self, name: str) -> bool:
        """Whether the validator of the tool `name` may be asked for error messages and not only for its verdict.

        False for a recursive schema, whose error messages take exponential time.
        """
        return self._named[name].explainable()

    def errors(self, name: str, arguments: Any) -> str | None:
        """Check the arguments of a call to the tool `name`. Returns the first violation in words, or None if valid.

        Raises ToolSchemaError if the tool itself cannot be used, because the call can then not be judged.
        """
        if name not in self._named:
            return f"no tool {printable(name, 80)} was offered"
        validator = self.validator(name)
        if not isinstance(arguments, dict):
            return "the arguments must be an object"
        if deeper_than(arguments, MAX_DEPTH):  # deeper ones crash the validator's recursion
            return f"the arguments are nested deeper than {MAX_DEPTH} levels"
        try:
            if validator.is_valid(arguments):
                return None
            first = first_error(validator, arguments) if self.explainable(name) else None
            return _sentence(first) if first else "the arguments break the tool's schema"
        except ValueError as error:  # lone surrogates cannot cross into the validator
            return f"the arguments cannot be checked: {type(error).__name__}"

    def required(self, name: str) -> tuple[str, ...]:
        """The argument names that the schema of the tool `name` requires at its top level."""
        keys = self._root(name).get("required")
        return tuple(key for key in keys if isinstance(key, str)) if isinstance(keys, list) else ()

    def properties(self, name: str) -> Mapping[str, Any]:
        """Argument name -> its schema, for the top level of the schema of the tool `name`."""
        keys = self._root(name).get("properties")
        return keys if isinstance(keys, dict) else {}

    def zero_argument_ok(self, name: str) -> bool:
        """Whether the tool `name` accepts a call without arguments. If so, `""` and null may be read as `{}`."""
        try:
            return not self.required(name) and self.errors(name, {}) is None
        except ToolSchemaError:
            return False

    def _root(self, name: str) -> JsonObject:
        root = schema = self._named[name].schema
        for _ in range(8):  # generators write recursive models as a root `$ref`
            if not isinstance(schema, dict) or "properties" in schema or not isinstance(schema.get("$ref"), str):
                break
            schema = at_pointer(root, schema["$ref"])
        return schema if isinstance(schema, dict) else {}


class _ToolsOfSet(tuple[Tool, ...]):  # noqa: SLOT001 - a tuple has no room for slots
    """The tools of a `ToolSet` as a tuple, with a reference to that set."""

    tool_set: ToolSet

    def __new__(cls, tool_set: ToolSet) -> Self:
        made = super().__new__(cls, [tool.tool for tool in tool_set.offered])
        made.tool_set = tool_set
        return made


def _runs_at_the_provider(tool: Any) -> bool:
    """Whether the provider runs the tool itself, so that its calls are not returned to the caller."""
    return isinstance(tool, dict) and tool.get("function") is None and tool.get("type", "function") != "function"


_sets: OrderedDict[tuple[bytes, ...], ToolSet] = OrderedDict()
_tools: WeakValueDictionary[bytes, RequestTool] = WeakValueDictionary()
"""The tools of all cached sets and of sets in use."""
_recent: dict[tuple[int, ...], tuple[Any, ref[ToolSet]]] = {}
"""Ids of a caller's tool objects -> a copy of the tools, and their set. The copy confirms that nothing has changed."""
_MOST_RECENT, _LONGEST_RECENT = 32, 1 << 19


def _cached(tools: Sequence[Tool]) -> ToolSet:
    objects = tuple(map(id, tools))
    with suppress(RecursionError):  # `_found` refuses it
        content, recent = _recent.get(objects, (None, None))
        if recent is not None and (known := recent()) is not None and content == tuple(tools):
            return known
    found = _found(tools)
    if len(_recent) >= _MOST_RECENT:
        _recent.clear()
    if found.characters <= _LONGEST_RECENT:
        with suppress(RecursionError):
            _recent[objects] = comparable(tuple(tools)), ref(found)
    return found


def _found(tools: Sequence[Tool]) -> ToolSet:
    key = tuple([content_key(tool) for tool in tools])
    if (known := _sets.get(key)) is not None:
        with suppress(KeyError):
            _sets.move_to_end(key)
        return known
    made = ToolSet([_tools.get(each) or RequestTool(each, tool) for each, tool in zip(key, tools, strict=True)])
    _tools.update({tool.key: tool for tool in made.offered})
    _sets[tuple([tool.key for tool in made.offered])] = made
    with suppress(KeyError):
        while len(_sets) > 1 and (len(_sets) > CACHED_SETS or cached_bytes() > MAX_CACHED_BYTES):
            _sets.popitem(last=False)
    return made


def cached_bytes() -> int:
    """Estimated bytes of memory of all tools in the cache."""
    return sum(tool.size for tool in list(_tools.values()))


def first_error(validator: jsonschema_rs.Validator, value: Any) -> jsonschema_rs.ValidationError | None:
    """The first violation that the validator finds in a value; None if the value is valid.

    The library's `iter_errors` is not used, because it collects all violations first.
    """
    import jsonschema_rs

    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        return error
    return None


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    where = ".".join(str(part) for part in error.instance_path)
    message = error.message.replace('"', "'")
    return printable(f"{printable(where, 80)}: {message}" if where else message)

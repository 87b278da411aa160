"""Validates tool arguments against the tool's own JSON Schema, offline and in linear time.

The validators of a set of tools are compiled once and cached. A tool whose schema cannot be used is the caller's
mistake (error class `request`). Examples: not a schema, a `$ref` to another document, a pattern with look-around.
Using that tool raises `ToolSchemaError`; the other tools of the set are not affected. `ToolSet.problems` lists all
these errors, so that a request can be refused before it is sent.

`format` is not checked in any draft: no provider enforces it, and libraries disagree about it.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import RoutingError
from ..parsing.strict_json import MAX_DEPTH, deeper_than
from ..reasons import REASONS
from ..types import ErrorClass, JsonObject, Tool
from .parts import at_pointer
from .size import survey

if TYPE_CHECKING:
    import jsonschema_rs

CACHED_SETS = 256
"""Tool sets kept in the cache; the least recently used is removed first."""
MAX_PATTERN_BYTES = 1 << 21
"""The largest size in bytes of a compiled pattern; the time of one match grows with it."""
MAX_SENTENCE = 240
"""The most characters of the message that describes a violation of a schema."""

_DEFAULT_DRAFT = "Draft202012Validator"
_DRAFTS = {
    "json-schema.org/draft-04/schema": "Draft4Validator",
    "json-schema.org/draft-06/schema": "Draft6Validator",
    "json-schema.org/draft-07/schema": "Draft7Validator",
    "json-schema.org/draft/2019-09/schema": "Draft201909Validator",
    "json-schema.org/draft/2020-12/schema": "Draft202012Validator",
    "json-schema.org/schema": _DEFAULT_DRAFT,
}
_IDENTIFIER = re.compile(r"[^\s#]*#?\Z")
"""The form of a root `$id` that identifies a schema. A `$id` of another form is left out of the schema.
Moonshot accepts other forms, such as `#user` and `any of these`.
"""
_BEYOND_LINEAR = re.compile(r"\(\?<?[=!]|(?<!\\)(?:\\\\)*\\(?:[1-9]|k<)")


class ToolSchemaError(RoutingError, ValueError):
    """A tool that the caller offers cannot be used. `tool` is its name, and `reason` says why."""

    error_class: ClassVar[ErrorClass] = "request"
    advice = REASONS["tool_schema"].advice

    def __init__(self, tool: str, reason: str) -> None:
        super().__init__(f"tool {printable(tool, 80)}: {reason}")
        self.tool = tool
        self.reason = reason


def printable(text: str, limit: int = MAX_SENTENCE) -> str:
    """`text` on one line, cut to at most `limit` characters; characters that are not printable become escapes."""
    shown = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


class _Unusable(Exception):
    """A schema cannot be used; the message says why. `_Entry.compiled` turns it into a `ToolSchemaError`."""


@dataclass(slots=True)
class _Entry:
    """One tool of a set. Its validator is compiled on first use. `problem` says why it cannot be used, if so."""

    name: str
    schema: Any
    problem: str = ""
    validator: jsonschema_rs.Validator | None = None
    explainable: bool = True
    """Whether the validator may be asked for error messages and not only for its verdict.

    False for a recursive schema, because the library takes exponential time for error messages of such schemas.
    """

    def compiled(self) -> jsonschema_rs.Validator:
        problem = self.problem
        if self.validator is None and not problem:
            surveyed = survey(self.schema)
            self.explainable, problem = not surveyed.recursive, surveyed.problem
            try:
                self.validator = None if problem else _compile(self.schema)
            except _Unusable as why:
                problem = str(why)
            self.problem = problem  # once, when it is known: another thread may read it
        if self.validator is None or problem:
            raise ToolSchemaError(self.name, problem)
        return self.validator


@dataclass(frozen=True, slots=True, eq=False)
class ToolSet:
    """The tools offered in one request, with their validators. Safe to share between threads."""

    _entries: Mapping[str, _Entry]
    _unnamed: tuple[ToolSchemaError, ...] = field(default=())

    @classmethod
    def of(cls, tools: Sequence[Tool] | ToolSet) -> ToolSet:
        """The tool set for tools in OpenAI's format. Equal content gives the same object while it is cached.

        Raises ToolSchemaError only if `tools` cannot be written as JSON. Tools whose schema is invalid do not raise
        here; `problems` lists them.
        """
        if isinstance(tools, ToolSet):
            return tools
        return _cached(_as_text(tools))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tools in the set, in the order of the request."""
        return tuple(self._entries)

    @property
    def problems(self) -> tuple[ToolSchemaError, ...]:
        """One error for each tool that cannot be used; empty if all tools can be used."""
        found = list(self._unnamed)
        for name in self._entries:
            try:
                self.validator(name)
            except ToolSchemaError as error:
                found.append(error)
        return tuple(found)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def validator(self, name: str) -> jsonschema_rs.Validator:
        """The compiled validator of the tool `name`.

        Raises KeyError if the set has no such tool, and ToolSchemaError if its schema cannot be used.
        """
        return self._entries[name].compiled()

    def explainable(self, name: str) -> bool:
        """Whether the validator of the tool `name` may be asked for error messages and not only for its verdict.

        False for a recursive schema, whose error messages take exponential time.
        """
        entry = self._entries[name]
        entry.compiled()
        return entry.explainable

    def errors(self, name: str, arguments: Any) -> str | None:
        """Check the arguments of a call to the tool `name`. Returns the first violation in words, or None if valid.

        Raises ToolSchemaError if the tool itself cannot be used, because the call can then not be judged.
        """
        entry = self._entries.get(name)
        if entry is None:
            return f"no tool {printable(name, 80)} was offered"
        validator = entry.compiled()
        if not isinstance(arguments, dict):
            return "the arguments must be an object"
        if deeper_than(arguments, MAX_DEPTH):  # deeper ones crash the validator's recursion
            return f"the arguments are nested deeper than {MAX_DEPTH} levels"
        try:
            if validator.is_valid(arguments):
                return None
            first = first_error(validator, arguments) if entry.explainable else None
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
        root = schema = self._entries[name].schema
        for _ in range(8):  # generators write recursive models as a root `$ref`
            if not isinstance(schema, dict) or "properties" in schema or not isinstance(schema.get("$ref"), str):
                break
            schema = at_pointer(root, schema["$ref"])
        return schema if isinstance(schema, dict) else {}


_cache: OrderedDict[str, ToolSet] = OrderedDict()
_cache_lock = Lock()


def _as_text(tools: Sequence[Tool]) -> str:
    try:
        return json.dumps(list(tools), default=dict)
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolSchemaError("list", f"the tools are not JSON ({type(error).__name__})") from None


def _cached(text: str) -> ToolSet:
    with _cache_lock:
        if text in _cache:
            _cache.move_to_end(text)
            return _cache[text]
    made = _build(json.loads(text))  # a copy: later changes of the caller's objects have no effect here
    with _cache_lock:
        _cache[text] = made
        if len(_cache) > CACHED_SETS:
            _cache.popitem(last=False)
    return made


def _build(tools: Iterable[Any]) -> ToolSet:
    entries: dict[str, _Entry] = {}
    unnamed = []
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(tool, dict) and function is None and tool.get("type", "function") != "function":
            continue  # a tool that runs at the provider: its calls are not returned to us
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or not name:
            unnamed.append(ToolSchemaError(f"#{index}", "it has no function.name"))
        elif name in entries:
            entries[name].problem = "two tools of one request share this name"
        else:
            schema = function.get("parameters")
            entries[name] = _Entry(name, {"type": "object", "properties": {}} if schema is None else schema)
    return ToolSet(entries, tuple(unnamed))


def _compile(schema: Any) -> jsonschema_rs.Validator:
    import jsonschema_rs

    draft = getattr(jsonschema_rs, _draft(schema))
    identifier = schema.get("$id", "")
    if not (isinstance(identifier, str) and _IDENTIFIER.match(identifier)):
        schema = {key: value for key, value in schema.items() if key != "$id"}
    try:
        validator: jsonschema_rs.Validator = draft(
            schema,
            validate_formats=False,
            pattern_options=jsonschema_rs.RegexOptions(MAX_PATTERN_BYTES, MAX_PATTERN_BYTES),  # no look-around: linear
            offline=True,
            mask="it",
        )
    except jsonschema_rs.ValidationError as error:
        raise _Unusable(_why_no_schema(error)) from None
    except jsonschema_rs.ReferencingError as error:
        raise _Unusable(printable(f"a $ref cannot be resolved offline: {error}")) from None
    except ValueError as error:
        raise _Unusable(printable(f"the schema cannot be read: {error}")) from None
    return validator


def _draft(schema: Any) -> str:
    if not isinstance(schema, dict):
        raise _Unusable("parameters must be a JSON Schema object")
    declared = schema.get("$schema")
    if declared is None:
        return _DEFAULT_DRAFT
    draft = _DRAFTS.get(re.sub(r"^https?://|#$", "", declared)) if isinstance(declared, str) else None
    if draft is None:
        raise _Unusable(f"$schema {printable(str(declared), 80)} is not a draft from 4 to 2020-12")
    return draft


def _why_no_schema(error: jsonschema_rs.ValidationError) -> str:
    kind = error.kind.name
    where = "/".join(str(part) for part in error.instance_path)
    if "not present in a registry" in error.message or "does not exist" in error.message:
        return printable(f"a $ref cannot be resolved offline: {error.message.splitlines()[0]}")
    if kind != "format":
        return printable(f"not a JSON Schema: at {where or 'its root'}, {error.message}")
    pattern = error.instance if isinstance(error.instance, str) else ""
    if _BEYOND_LINEAR.search(pattern):
        return printable(
            f"the pattern at {where} uses look-around or a back-reference, which cannot run in linear time"
        )
    return printable(f"the pattern at {where} is not a regular expression that runs in linear time")


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

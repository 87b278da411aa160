"""One tool that a request offers: its validator, compiled on first use, and the forms in which protocols send it."""

from __future__ import annotations

import json
import marshal
import re
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ..errors import RoutingError
from ..reasons import REASONS
from ..types import ErrorClass, JsonObject, Tool
from .size import survey

if TYPE_CHECKING:
    import jsonschema_rs

T = TypeVar("T")
MAX_SENTENCE = 240
"""The most characters of the message that describes a violation of a schema."""
_SIZE = 20
"""Bytes of memory for each byte of a tool's JSON: validator, copies and texts. Measured with tools of 2 kB."""
_FIELDS: dict[str, type] = {"description": str, "strict": bool, "parameters": dict}
MAX_PATTERN_BYTES = 1 << 21
"""The largest size in bytes of a compiled pattern; the time of one match grows with it."""

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
    """A schema cannot be used; the message says why. `RequestTool.validator` turns it into a `ToolSchemaError`."""


def content_key(tool: Any) -> bytes:
    """Bytes that are equal for tools of equal content and differ otherwise. Raises ToolSchemaError if it is not JSON.

    `marshal` writes the usual types three times as fast as `json`; its format 2 depends on nothing but the content.
    """
    try:
        return marshal.dumps(tool, 2)
    except ValueError:  # another kind of mapping, or a structure nested too deeply
        return _json(tool).encode("utf-8", "surrogatepass")


class _Exact:
    """Wrapper of a number or boolean that equals only values of the same type: 1, 1.0 and true differ in JSON."""

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: Any) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self._value) and other == self._value


def comparable(value: Any) -> Any:
    """A copy of tools that equals only tools of the same content. It shares their texts, so comparing is fast."""
    if type(value) is dict:
        return {name: comparable(part) for name, part in value.items()}
    if type(value) in {list, tuple}:
        return type(value)(map(comparable, value))
    return value if value is None or type(value) is str else _Exact(value)


def _json(tool: Tool) -> str:
    try:
        return json.dumps(tool, default=dict)
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolSchemaError("list", f"the tools are not JSON ({type(error).__name__})") from None


class RequestTool:
    """One tool of a request, as a plain copy that later changes of the caller's objects do not affect.

    Safe to share between threads and requests. `function` has the fields that hosts know: name, description, strict
    and parameters; None if the tool is not a function with a name. `characters` is the length of the tool's JSON.
    """

    __slots__ = (
        "__weakref__",
        "_explainable",
        "_forms",
        "_problem",
        "_validator",
        "characters",
        "function",
        "key",
        "tool",
    )

    def __init__(self, key: bytes, tool: Tool) -> None:
        text = _json(tool)
        self.key = key
        self.tool: Tool = json.loads(text)
        self.characters = len(text)
        self.function = _function(self.tool)
        self._problem = ""
        self._validator: jsonschema_rs.Validator | None = None
        self._explainable = True
        self._forms: dict[Hashable, Any] = {}

    @property
    def name(self) -> str:
        """The function's name; empty if the tool is not a function with a name."""
        return str(self.function["name"]) if self.function else ""

    @property
    def size(self) -> int:
        """Estimated bytes of memory."""
        return _SIZE * len(self.key)

    @property
    def schema(self) -> Any:
        """The tool's `parameters`, even if invalid. A tool that has none gets the schema for no arguments."""
        parameters = self.tool["function"].get("parameters")
        return {"type": "object", "properties": {}} if parameters is None else parameters

    def form(self, key: tuple[Hashable, ...], make: Callable[..., T]) -> T:
        """The tool as a protocol sends it: the result of `make(function, *key)`, cached by `key`.

        The first part of a key names the protocol.
        """
        if key not in self._forms:
            self._forms[key] = make(self.function or {}, *key)
        made: T = self._forms[key]
        return made

    def validator(self) -> jsonschema_rs.Validator:
        """The compiled validator. Raises ToolSchemaError if the schema cannot be used."""
        problem = self._problem
        if self._validator is None and not problem:
            surveyed = survey(self.schema)
            self._explainable, problem = not surveyed.recursive, surveyed.problem
            try:
                self._validator = None if problem else _compile(self.schema)
            except _Unusable as why:
                problem = str(why)
            self._problem = problem  # once, when it is known: another thread may read it
        if self._validator is None or problem:
            raise ToolSchemaError(self.name, problem)
        return self._validator

    def explainable(self) -> bool:
        """Whether the validator may be asked for error messages and not only for its verdict.

        False for a recursive schema, because the library takes exponential time for error messages of such schemas.
        """
        self.validator()
        return self._explainable


def _function(tool: Any) -> JsonObject | None:
    given = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(given, dict) or not isinstance(given.get("name"), str) or not given["name"]:
        return None
    return {"name": given["name"]} | {
        name: given[name] for name, kind in _FIELDS.items() if isinstance(given.get(name), kind) and given[name] != ""
    }


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

"""From what stood where the arguments belong to an object that satisfies the tool's schema, or to a reason why not.

The order is the policy. What parses strictly is never touched. Then come repairs that cannot change a meaning, each
bounded, each followed by the strict reader and the schema. An open string is never completed: it is a truncation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..parsing.literals import read_literal
from ..parsing.strict_json import StrictJsonError, loads
from ..schema import ToolSchemaError, ToolSet, first_error

if TYPE_CHECKING:
    import jsonschema_rs

MAX_PREFIX = 64
MAX_SUFFIX = 2
MAX_DECODED = 64
"""Strings that are decoded in one call's arguments; with more of them wrong the call is refused."""
MAX_DECODED_CHARS = 1 << 16
"""Characters of one such string."""
MAX_NODES = 1_000
"""Keys and items of arguments whose errors are made all at once; in larger ones each is looked for alone."""

_FENCED = re.compile(r"\s*```[a-zA-Z_]{0,12}[ \t]*\n(.*)\n[ \t]*```\s*\Z", re.DOTALL)
_PLACEHOLDER = re.compile(r"\s*\{\s*\}\s*(\{.*)\Z", re.DOTALL)
"""`{}{...}`: an empty object in place of arguments that were not there yet."""
_PREFIX = re.compile(rf"\s*+[\w.:\-]{{1,{MAX_PREFIX}}}+\s*+(?=\{{)")
_ID_AROUND = re.compile(r"\A\.*(?:functions\.)*|:\d{0,9}\Z")
_TYPOGRAPHIC = re.compile(r'(?:(?:[^"“”\\]++|\\.)*+“(?:[^"“”\\]++|\\.)*+”)++(?:[^"“”\\]++|\\.)*+', re.DOTALL)
_BEGINS = re.compile(r"[\"'{\[]")
_STRING = r'"(?:[^"\\]++|\\.)*+\\?+("|\Z)'
"""A string, or what is left of one: so that no search starts again inside an open one."""
_TRAILING_COMMA = re.compile(_STRING + r"|,(?=\s*+[}\]])", re.DOTALL)
_BRACKET = re.compile(_STRING + r"|[{}\[\]]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Arguments:
    """Arguments that satisfy the schema. `note` says how they were mended, empty where they were right.

    `raw` parses strictly to `value`: the text as received where it does, else written anew.
    """

    value: dict[str, Any]
    raw: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why there are none: `reason` a code of `routing.reasons`."""

    reason: str
    detail: str = ""


def judge(
    tools: ToolSet, name: str, given: Any, *, ended: bool = False, words: bool = False, cut: bool = False
) -> Arguments | Refused:
    """The arguments of a call of an offered tool.

    `given` is the text or JSON value received; `ended`, `words` and `cut` are those of `WrittenCall`. Never raises for
    whatever `given` holds.
    """
    parsed = _parsed(tools, name, given, ended=ended)
    if cut and not isinstance(parsed, Refused) and parsed[2] == "empty_arguments":
        return Refused("length", "the call ends where its arguments should begin")
    if isinstance(parsed, Refused):
        return parsed
    value, raw, note = parsed
    try:
        wrong = tools.errors(name, value)
        if wrong is None:
            return Arguments(value, raw or _written(value), note)
        if note != "smart_quotes" and _unwrap(tools, name, value, words=words):
            return Arguments(value, _written(value), note or ("" if words else "nested_encoding"))
    except ToolSchemaError as error:
        return Refused("tool_schema", error.reason)
    return Refused("arguments_break_schema", wrong)


def _written(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _parsed(tools: ToolSet, name: str, given: Any, *, ended: bool) -> tuple[dict[str, Any], str, str] | Refused:
    if not isinstance(given, str):
        return _from_value(tools, name, given)
    if not given.strip():
        return _nothing(tools, name)
    try:
        value = loads(given)
    except StrictJsonError as error:
        mended = _mended(tools, name, given, ended=ended)
        return mended or Refused("arguments_not_json", str(error))
    if isinstance(value, str) and value.strip():
        return _decoded(value)
    if value is None or isinstance(value, str):
        return _nothing(tools, name)
    if not isinstance(value, dict):
        return Refused("arguments_not_object", f"the arguments are a JSON {_KINDS[type(value)]}")
    return value, given, ""


_KINDS = {list: "array", int: "number", float: "number", bool: "boolean", str: "string"}


def _from_value(tools: ToolSet, name: str, given: Any) -> tuple[dict[str, Any], str, str] | Refused:
    """A JSON value where a string belongs: read through the strict reader like any other."""
    if given is None:
        return _nothing(tools, name)
    if not isinstance(given, dict):
        return Refused("arguments_not_object", f"the arguments are a JSON {_KINDS.get(type(given), 'value')}")
    try:
        raw = json.dumps(given, ensure_ascii=False, allow_nan=False)
        return loads(raw), raw, "object_arguments"
    except (ValueError, TypeError, RecursionError) as error:
        reason = str(error) if isinstance(error, StrictJsonError) else type(error).__name__
        return Refused("arguments_not_json", reason)


def _nothing(tools: ToolSet, name: str) -> tuple[dict[str, Any], str, str] | Refused:
    if tools.zero_argument_ok(name):
        return {}, "", "empty_arguments"
    return Refused("arguments_not_object", "no arguments, but the tool requires some")


def _decoded(inner: str) -> tuple[dict[str, Any], str, str] | Refused:
    """Arguments encoded twice: unwrapped once."""
    try:
        value = loads(inner)
    except StrictJsonError as error:
        return Refused("arguments_not_json", f"encoded twice, and inside: {error}")
    if not isinstance(value, dict):
        return Refused("arguments_not_object", "the arguments are a JSON string")
    return value, inner, "double_encoding"


# Repairs. Each gives an object or nothing; the first that gives one is taken.


def _mended(tools: ToolSet, name: str, text: str, *, ended: bool) -> tuple[dict[str, Any], str, str] | None:
    repairs: tuple[tuple[str, Callable[[str], Any]], ...] = (
        ("fenced_arguments", lambda text: _inside(_FENCED, text)),
        ("placeholder", lambda text: _inside(_PLACEHOLDER, text)),
        ("control_characters", lambda text: loads(text, control_characters=True)),
        ("trailing_comma", lambda text: loads(_TRAILING_COMMA.sub(lambda found: found[0].rstrip(","), text))),
        ("smart_quotes", lambda text: _with_plain_quotes(text, tools, name)),
        ("literal", read_literal),
        ("junk", lambda text: _without_junk(text, tools, name)),
        ("closed_brackets", _closed),
    )
    for note, repair in repairs if ended else repairs[:-1]:
        try:
            value = repair(text)
        except ValueError:  # of the strict reader, the literal reader, or json.dumps
            continue
        if isinstance(value, dict):
            return value, "", note
    return None


def _inside(pattern: re.Pattern[str], text: str) -> Any:
    found = pattern.match(text)
    return loads(found[1]) if found else None


def _with_plain_quotes(text: str, tools: ToolSet, name: str) -> Any:
    """`{“a”: “b”}`: only where every quote is a typographic one, so that none can be content, and every key is known.

    With both kinds in one text, what ends a string is anybody's guess: a content could become a key.
    """
    if not _TYPOGRAPHIC.fullmatch(text):
        return None
    value = loads(text.replace("“", '"').replace("”", '"'))
    known = tools.properties(name)
    return value if isinstance(value, dict) and all(key in known for key in value) else None


def _without_junk(text: str, tools: ToolSet, name: str) -> Any:
    """`.functions.read:0 {...}x`: one word before, at most two characters after, which begin nothing of their own."""
    found = _PREFIX.match(text)
    if found and _ID_AROUND.sub("", found[0].strip()) in set(tools.names) - {name}:
        return None  # another call's header: whose arguments these are is anybody's guess
    body = text[found.end() :] if found else text
    stripped = body.rstrip()
    for cut in range(MAX_SUFFIX + 1):
        candidate = stripped[: len(stripped) - cut]
        if candidate.endswith("}") and not _BEGINS.search(stripped, len(candidate)):
            try:
                return loads(candidate)
            except StrictJsonError:
                continue
    return None


def _closed(text: str) -> Any:
    """Brackets left open outside any string, closed; refused where the last value itself may have been cut."""
    stack: list[str] = []
    for found in _BRACKET.finditer(text):
        mark = found[0]
        if mark[0] == '"':
            if not found[1]:
                return None  # an open string
        elif mark in "{[":
            stack.append("}" if mark == "{" else "]")
        elif not stack or stack.pop() != mark:
            return None
    stripped = text.rstrip()
    if not stack or stripped[-1] not in '"}]':
        return None
    return loads(stripped + "".join(reversed(stack)))


# Values that were encoded once more inside the arguments.


def _unwrap(tools: ToolSet, name: str, value: dict[str, Any], *, words: bool) -> bool:
    """Decode, in place, strings that stand where the schema takes no string; True if the whole is valid then.

    Only containers are decoded (`"42"` stays a wrong string), unless `words`: there everything was written as text.
    """
    if not tools.explainable(name):
        return False  # a recursive schema: its error objects may take exponential time
    validator = tools.validator(name)
    all_at_once = not _more_nodes_than(value, MAX_NODES)
    decoded = 0
    while True:
        try:
            errors = _errors(validator, value, all_at_once=all_at_once)
        except ValueError:
            return False
        if not errors:
            return tools.errors(name, value) is None
        wrong = [path for error in errors for path in _paths(error)]
        decoded += len(wrong)
        if decoded > MAX_DECODED or not any([_decode_at(value, path, words=words) for path in wrong]):  # noqa: C419 - all of them
            return False


def _errors(
    validator: jsonschema_rs.Validator, value: Any, *, all_at_once: bool
) -> list[jsonschema_rs.ValidationError]:
    if all_at_once:
        return list(islice(validator.iter_errors(value), MAX_DECODED + 1))
    first = first_error(validator, value)
    return [first] if first else []


def _more_nodes_than(value: Any, limit: int) -> bool:
    """Whether a JSON value has more than `limit` keys and items."""
    level, count = [value], 0
    while level and count <= limit:
        node = level.pop()
        children = list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
        count += len(children)
        level += [child for child in children[: limit + 1] if isinstance(child, (dict, list))]
    return count > limit


def _paths(error: jsonschema_rs.ValidationError) -> Iterator[list[str | int]]:
    """Where the error says that a string stands in a place of the schema that takes none."""
    branches = getattr(error.kind, "context", None)
    if branches is None:
        if _refuses_strings(error):
            yield list(error.instance_path)
    elif branches and all(
        any(_refuses_strings(cause) and cause.instance_path == error.instance_path for cause in branch)
        for branch in branches
    ):
        yield list(error.instance_path)


def _refuses_strings(error: jsonschema_rs.ValidationError) -> bool:
    return error.kind.name == "type" and "string" not in getattr(error.kind, "types", ("string",))


def _decode_at(value: Any, path: list[str | int], *, words: bool) -> bool:
    if not path:
        return False
    for key in path[:-1]:
        value = value[key]
    text = value[path[-1]]
    if not isinstance(text, str) or len(text) > MAX_DECODED_CHARS:
        return False
    try:
        inner = loads(text)
    except StrictJsonError:
        return False
    if isinstance(inner, str) or not (words or isinstance(inner, (dict, list))):
        return False
    value[path[-1]] = inner
    return True

"""Problems of a flags file as sentences: violations of its JSON Schema, and of rules that a schema cannot express."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import islice, pairwise
from typing import Any, TypeAlias

from ..evidence.model import parse_utc
from ..parsing.schema_files import node_at, unknown_key
from ..parsing.strict_yaml import Document

Path: TypeAlias = "tuple[str | int, ...]"
_TYPES = {
    "integer": "a whole number",
    "boolean": "true or false",
    "string": "a string",
    "object": "a mapping",
    "array": "a list",
}
_SHOWN = 60
_MAX_TOLD = 100
_MAX_GLOBS = 1000
_MAX_KEYS = 200
_MAX_VALUES = 50_000


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One problem, at 1-based line and column; `path` is `flags.NAME.percent`, or "" for the file."""

    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def problems(document: Document) -> list[Problem]:
    """Everything that makes a flags file unreadable, in the order of the file; empty for a good one."""
    found: list[Problem] = []
    for look in (_oversize, _violations, _rules):  # each may rely on the ones before it
        told = islice(look(document.data), _MAX_TOLD)
        found = found or [_problem(document, path, message) for path, message in told]
    return sorted(set(found))


def _problem(document: Document, path: Path, message: str) -> Problem:
    line, column = document.position(path)
    return Problem(line, column, _dotted(path), message)


def _dotted(path: Path) -> str:
    """`flags.NAME.controls[0]`; text of the file is escaped, because it may be anything."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{ascii(step)[1:-1][:_SHOWN]}" for step in path)
    return text.removeprefix(".")


def shown(value: Any) -> str:
    """A value of the file as a message may show it: JSON, escaped and short."""
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _oversize(data: Any) -> Iterator[tuple[Path, str]]:
    """Problems found before the schema is used, which reports each wrong value with a copy of its parent."""
    left = _MAX_VALUES
    waiting: list[tuple[Path, Any]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        left -= 1
        if isinstance(value, dict) and len(value) > _MAX_KEYS:
            yield path, f"has more than {_MAX_KEYS} keys"
            return
        if isinstance(value, list):
            left -= len(value)
        if left < 0:
            yield (), f"holds more than {_MAX_VALUES} values"
            return
        waiting += _containers(path, value)


def _containers(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return (((*path, step), child) for step, child in children if isinstance(child, dict | list))


# ---------------------------------------------------------------------------------------------------------- schema


def _violations(data: Any) -> Iterator[tuple[Path, str]]:
    # To JSON Schema 10.0 and 1e1 are integers, to a reviewer they are typing errors.
    floats = set(_floats(data, ()))
    for error in _validator().iter_errors(data):
        path: Path = tuple(error.instance_path)
        keyword = str(error.schema_path[-1])
        if keyword == "additionalProperties":
            known = node_at(schema(), error.schema_path[:-1])["properties"]
            for key in error.instance:
                if key not in known:
                    yield (*path, key), unknown_key(key, known)
        elif path not in floats:
            yield path, _sentence(keyword, error)
    for path in sorted(floats, key=str):
        yield path, "must be a whole number, without point or exponent"
    yield from _bad_names(data)


def _bad_names(data: Any) -> Iterator[tuple[Path, str]]:
    flags = data.get("flags") if isinstance(data, dict) else None
    allowed = schema()["definitions"]["name"]
    for name in flags if isinstance(flags, dict) else ():
        if not re.fullmatch(allowed["pattern"], name):
            yield ("flags", name), f"is not {allowed['title']}"


def _floats(data: Any, path: Path) -> Iterator[Path]:
    if isinstance(data, float):
        yield path
    children = data.items() if isinstance(data, Mapping) else enumerate(data) if isinstance(data, list) else ()
    for step, value in children:
        yield from _floats(value, (*path, step))


def _sentence(keyword: str, error: Any) -> str:
    value = shown(error.instance)
    node = node_at(schema(), error.schema_path[:-1])
    limit = node.get(keyword)
    match keyword:
        case "maximum":
            return f"{value} is more than the maximum of {limit}"
        case "minimum":
            return f"{value} is less than the minimum of {limit}"
        case "type":
            quote = ": put it in quotes" if limit == "string" and isinstance(error.instance, int) else ""
            return f"must be {_TYPES[limit]}, not {value}{quote}"
        case "const":
            return f"must be {shown(limit)}, not {value}"
        case "enum":
            return f"must be {' or '.join(map(shown, limit))}, not {value}"
        case "pattern":
            return f"{value} is not {node['title']}"
        case "minItems" | "minProperties" | "minLength":
            return "must not be empty"
        case "uniqueItems":
            return f"holds {shown(_repeated(error.instance))} twice"
        case "maxItems" | "maxProperties" | "maxLength":
            return f"is longer than {limit}"
        case _:  # required
            return str(error.message)


def _repeated(values: Sequence[Any]) -> Any:
    seen: set[str] = set()
    for value in values:
        text = json.dumps(value)
        if text in seen:
            return value
        seen.add(text)
    return None


@functools.cache
def schema() -> dict[str, Any]:
    """The JSON Schema (draft-07) of flags.yaml."""
    data: dict[str, Any] = json.loads(
        (resources.files(__package__.partition(".")[0]) / "flags.schema.json").read_text("utf-8")
    )
    return data


@functools.cache
def _validator() -> Any:
    import jsonschema_rs

    ours = json.loads(json.dumps(schema()))
    del ours["properties"]["flags"]["propertyNames"]  # _bad_names reports better, and the place
    # The linear engine: no value can make a pattern of ours run long.
    return jsonschema_rs.Draft7Validator(ours, pattern_options=jsonschema_rs.RegexOptions())


# ----------------------------------------------------------------------------------------------- beyond the schema


def _rules(data: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    if data.get("rollback_from", data["serial"] + 1) <= data["serial"]:
        yield ("rollback_from",), f"must be more than the serial, {data['serial']}: it allows the serial to go back"
    for name, flag in data["flags"].items():
        yield from _flag_rules(("flags", name), flag)
    yield from _ambiguous(data["flags"])


def _flag_rules(path: Path, flag: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    ladder = flag.get("ladder", [100])
    if ladder[-1] != 100 or any(low >= high for low, high in pairwise(ladder)):
        yield (*path, "ladder"), "must rise and end at 100"
    evidence = flag.get("evidence", {"judged": 0, "passed": 0})
    if evidence["passed"] > evidence["judged"]:
        yield (*path, "evidence", "passed"), f"{evidence['passed']} passed of {evidence['judged']} judged"
    for key, node in schema()["definitions"]["flag"]["properties"].items():
        if key in flag and node.get("$ref") == "#/definitions/time":
            try:
                parse_utc(flag[key])
            except ValueError:
                yield (*path, key), f"{shown(flag[key])} is not a date"


def specificity(glob: str) -> tuple[bool, int]:
    """How specific an endpoint glob is: one without `*` first, then the one with more letters beside `*`."""
    return "*" not in glob, len(glob) - glob.count("*")


def overlap(one: str, other: str) -> bool:
    """Whether some endpoint can match both of two globs of the same kind: both with `*`, or both without.

    Two globs with `*` have a common match exactly if one text before the first `*` begins with the other, and one text
    after the last `*` ends with the other. A text with both middle parts one after the other then matches both.
    """
    if "*" not in one or "*" not in other:
        return one == other
    heads = sorted((one[: one.index("*")], other[: other.index("*")]), key=len)
    tails = sorted((one[one.rindex("*") + 1 :], other[other.rindex("*") + 1 :]), key=len)
    return heads[1].startswith(heads[0]) and tails[1].endswith(tails[0])


def _ambiguous(flags: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Pairs of flags whose equally specific globs can match the same endpoint."""
    ranks: dict[tuple[bool, int], list[tuple[str, int, str]]] = {}
    total = 0
    for name, flag in flags.items():
        for number, glob in enumerate(flag["controls"]):
            total += 1
            if total > _MAX_GLOBS:  # the comparison below is quadratic
                yield ("flags", name, "controls"), f"more than {_MAX_GLOBS} globs in all flags"
                return
            equals = ranks.setdefault(specificity(glob), [])
            for other, _, rival in equals:
                if other != name and overlap(glob, rival):
                    told = f"{shown(glob)} of {name} and {shown(rival)} of {other} claim the same endpoints"
                    yield ("flags", name, "controls", number), f"{told}; make one of them more specific"
                    return
            equals.append((name, number, glob))

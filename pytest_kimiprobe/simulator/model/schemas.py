"""JSON Schema as far as a model must understand it: references, branches, what fits, and a value where nobody said one."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]
_DEEP = 12
"""Recursion stops here: a required member of itself can never be satisfied anyway."""

_NESTED = 2
"""From here on null is preferred, so that recursive schemas end."""
_LONG = 100_000
"""No text or list is made longer than this."""

_FORMATS: Mapping[str, str] = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "user@example.com",
    "idn-email": "user@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "uri-reference": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}


def resolve(schema: Any, root: Schema) -> Schema:
    """The schema itself: local references followed, `allOf` merged, `true` and absent read as anything."""
    seen = 0
    while isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str) and seen < _DEEP:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        target = _pointer(schema["$ref"], root)
        schema = {**(target if isinstance(target, Mapping) else {}), **beside}
        seen += 1
    if not isinstance(schema, Mapping):
        return {}
    if isinstance(schema.get("allOf"), list):
        return _merged(schema, [resolve(part, root) for part in schema["allOf"]])
    return schema


def _pointer(reference: str, root: Schema) -> Any:
    if not reference.startswith("#"):
        return {}
    node: Any = root
    for part in filter(None, reference[1:].split("/")):
        key = part.replace("~1", "/").replace("~0", "~")
        node = node.get(key, {}) if isinstance(node, Mapping) else {}
    return node


def _merged(schema: Schema, parts: list[Schema]) -> Schema:
    merged = {key: value for key, value in schema.items() if key != "allOf"}
    for part in parts:
        for key, value in part.items():
            if key == "properties":
                merged[key] = {**merged.get(key, {}), **value}
            elif key == "required":
                merged[key] = [*merged.get(key, []), *value]
            else:
                merged.setdefault(key, value)
    return merged


def branches(schema: Schema, root: Schema) -> list[Schema]:
    """The alternatives of `anyOf`, `oneOf` or a list of types, each with what stands beside them; a plain schema is one."""
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list) and schema[key]:
            beside = {name: value for name, value in schema.items() if name not in ("anyOf", "oneOf")}
            parts = [resolve(part, root) for part in schema[key]]
            return [branch for part in parts for branch in branches(_merged(beside, [part]), root)]
    kind = schema.get("type")
    if isinstance(kind, list):
        return [{**schema, "type": one} for one in kind] or [schema]
    return [schema]


def type_of(schema: Schema) -> str:
    """The type of a plain schema; read off its other words where it names none."""
    if isinstance(schema.get("type"), str):
        return str(schema["type"])
    if "properties" in schema or "additionalProperties" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if any(key in schema for key in ("minimum", "maximum", "multipleOf")):
        return "number"
    return "string"


def fits(value: Any, schema: Schema) -> bool:
    """Whether a scalar satisfies a plain schema."""
    if "const" in schema and value != schema["const"]:
        return False
    if isinstance(schema.get("enum"), list) and value not in schema["enum"]:
        return False
    if isinstance(value, str):
        return _text_fits(value, schema)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number_fits(value, schema)
    return True


def _text_fits(value: str, schema: Schema) -> bool:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf):
        return False
    shape = {
        "date": r"\d{4}-\d{2}-\d{2}$",
        "date-time": r"\d{4}-\d{2}-\d{2}T.+(Z|[+-]\d{2}:\d{2})$",
        "email": r"\S+@\S+$",
    }
    if schema.get("format") in shape and not re.match(shape[schema["format"]], value):
        return False
    try:
        return "pattern" not in schema or bool(re.search(schema["pattern"], value))
    except re.error:
        return True


def _number_fits(value: float, schema: Schema) -> bool:
    if schema.get("type") == "integer" and value != int(value):
        return False
    step = schema.get("multipleOf")
    return (
        schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf)
        and _number(schema.get("exclusiveMinimum"), -math.inf)
        < value
        < _number(schema.get("exclusiveMaximum"), math.inf)
        and (not step or abs(value / step - round(value / step)) < 1e-9)
    )


def _number(value: Any, other: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else other


def invent(schema: Any, root: Schema, depth: int = 0) -> Any:
    """A valid value where the message says none: const, default, example, first of an enum, else by type and format."""
    schema = resolve(schema, root)
    for key in ("const", "default"):
        if key in schema and fits(schema[key], schema):
            return schema[key]
    for key in ("enum", "examples"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    parts = branches(schema, root)
    if len(parts) > 1:
        ends = depth >= _NESTED and any(type_of(part) == "null" for part in parts)
        return (
            None
            if ends
            else invent(next((part for part in parts if type_of(part) != "null"), parts[0]), root, depth + 1)
        )
    return _by_type(parts[0], root, depth)


def _by_type(schema: Schema, root: Schema, depth: int) -> Any:
    kind = type_of(schema)
    if kind == "string":
        text = _FORMATS.get(schema.get("format", ""), "example")
        return text.ljust(min(int(schema.get("minLength", 0)), _LONG), "x")[: int(schema.get("maxLength", 10**6))]
    if kind in ("integer", "number"):
        return _any_number(schema, whole=kind == "integer")
    if kind == "array":
        return _any_array(schema, root, depth)
    if kind == "object":
        return _any_object(schema, root, depth)
    return None if kind == "null" else False


def _any_number(schema: Schema, *, whole: bool) -> int | float:
    step = schema.get("multipleOf") or (1 if whole else None)
    low = max(_number(schema.get("minimum"), -math.inf), _number(schema.get("exclusiveMinimum"), -math.inf))
    high = min(_number(schema.get("maximum"), math.inf), _number(schema.get("exclusiveMaximum"), math.inf))
    wanted = min(max(1.0, low), high)
    around = [wanted, low, high, (low + high) / 2 if math.isfinite(low + high) else wanted]
    for value in [item for item in around if math.isfinite(item)]:
        for shift in (0, 1, -1):
            option = (round(value / step) + shift) * step if step else value + shift / 2
            option = int(option) if float(option).is_integer() else option
            if fits(option, schema):
                return option
    return int(wanted)


def _any_array(schema: Schema, root: Schema, depth: int) -> list[Any]:
    first = [invent(item, root, depth + 1) for item in schema.get("prefixItems", ())]
    wanted = min(int(schema.get("minItems", 0)), _LONG)
    items = resolve(schema.get("items", {}), root)
    options = items.get("enum") or []
    while len(first) < wanted and depth < _DEEP:
        value = options[len(first) % len(options)] if options else invent(items, root, depth + 1)
        unequal = schema.get("uniqueItems") and value in first
        first.append(
            f"{value}{len(first)}"
            if unequal and isinstance(value, str)
            else value + len(first)
            if unequal and not isinstance(value, bool | dict | list | None)
            else value
        )
    return first


def _any_object(schema: Schema, root: Schema, depth: int) -> dict[str, Any]:
    known = schema.get("properties", {})
    if depth >= _DEEP:
        return {}
    return {name: invent(known.get(name, {}), root, depth + 1) for name in schema.get("required", ())}

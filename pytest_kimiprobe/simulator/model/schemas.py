"""JSON Schema as far as a model must understand it: references, branches, what fits, and valid values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from ..validity import checker
from .words import knowledge

Schema: TypeAlias = Mapping[str, Any]
_DEEP = 12
"""Levels of references and of nested values that are followed."""
_NESTED = 2
"""From this level on null is preferred, so that recursive schemas end."""
_LONG = 100_000
"""Most characters of a text and most items of a list that are made."""


_SIGNS = {
    **dict.fromkeys(("properties", "additionalProperties"), "object"),
    **dict.fromkeys(("items", "prefixItems"), "array"),
    **dict.fromkeys(("minimum", "maximum", "multipleOf"), "number"),
}
"""Keyword of JSON Schema -> the type of value that it implies."""


def resolve(schema: Any, root: Schema) -> Schema:
    """The schema with local references followed and `allOf` merged. `true` and no schema become an empty one."""
    for _ in range(_DEEP):
        if not isinstance(schema, Mapping) or not isinstance(schema.get("$ref"), str):
            break
        target = _pointer(schema["$ref"], root)
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**(target if isinstance(target, Mapping) else {}), **beside}
    if not isinstance(schema, Mapping):
        return {}
    parts = schema.get("allOf")
    return _merged(schema, "allOf", *(resolve(part, root) for part in parts)) if isinstance(parts, list) else schema


def _pointer(reference: str, root: Schema) -> Any:
    node: Any = root if reference.startswith("#") else {}
    for part in filter(None, reference[1:].split("/")):
        key = part.replace("~1", "/").replace("~0", "~")
        node = node.get(key, {}) if isinstance(node, Mapping) else {}
    return node


def _merged(schema: Schema, without: str, *parts: Schema) -> Schema:
    merged = {key: value for key, value in schema.items() if key != without}
    for key, value in (item for part in parts for item in part.items()):
        if key == "properties":
            merged[key] = {**merged.get(key, {}), **value}
        elif key == "required":
            merged[key] = [*merged.get(key, []), *value]
        else:
            merged.setdefault(key, value)
    return merged


def branches(schema: Schema, root: Schema) -> list[Schema]:
    """The alternatives of `anyOf`, `oneOf` or a list of types, each with what is beside them; at least one."""
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list) and schema[key]:
            parts = [_merged(schema, key, resolve(part, root)) for part in schema[key]]
            return [branch for part in parts for branch in branches(part, root)]
    kind = schema.get("type")
    return [{**schema, "type": one} for one in kind] if isinstance(kind, list) and kind else [schema]


def type_of(schema: Schema) -> str:
    """The type of a schema without branches, taken from its other keywords if it names none."""
    if isinstance(schema.get("type"), str):
        return str(schema["type"])
    return next((kind for key, kind in _SIGNS.items() if key in schema), "string")


def fits(value: Any, schema: Schema) -> bool:
    """Whether a value satisfies a resolved schema, formats included."""
    return _checker(json.dumps(schema, default=str))(value)


@lru_cache(maxsize=2048)
def _checker(schema: str) -> Callable[[Any], bool]:
    return checker(json.loads(schema), formats=True)


def invent(schema: Any, root: Schema, depth: int = 0) -> Any:
    """A valid value: const, default, first of an enum, example, else one made by type and format."""
    parts = branches(resolve(schema, root), root)
    parts.sort(key=lambda part: (type_of(part) == "null") is (depth < _NESTED))
    made = [(value, part) for part in parts for value in _possible(part, root, depth)]
    return next((value for value, part in made if fits(value, part)), made[0][0])


def _possible(schema: Schema, root: Schema, depth: int) -> Iterator[Any]:
    yield from (schema[key] for key in ("const", "default") if key in schema)
    yield from (value for key in ("enum", "examples") if isinstance(schema.get(key), list) for value in schema[key])
    kind = type_of(schema)
    if kind == "string":
        text = str(knowledge()["formats"].get(schema.get("format"), "example"))
        yield text.ljust(min(int(schema.get("minLength", 0)), _LONG), "x")[: int(schema.get("maxLength", 10**6))]
    elif kind in ("integer", "number"):
        yield from _numbers(schema, schema.get("multipleOf") or (1 if kind == "integer" else None))
    elif kind == "array":
        yield _array(schema, root, depth)
    elif kind == "object":
        known, needed = schema.get("properties", {}), schema.get("required", ()) if depth < _DEEP else ()
        yield {name: invent(known.get(name, {}), root, depth + 1) for name in needed}
    else:
        yield None if kind == "null" else False


def _numbers(schema: Schema, step: float | None) -> Iterator[int | float]:
    """Numbers at, around and between the schema's bounds, in steps."""
    bounds = [value for key, value in schema.items() if key.lower().endswith(("minimum", "maximum"))]
    bounds = [value for value in bounds if isinstance(value, int | float) and not isinstance(value, bool)]
    for value in (1, *bounds, sum(bounds) / 2):
        for shift in (0, 1, -1):
            option = (round(value / step) + shift) * step if step else value + shift / 2
            yield int(option) if float(option).is_integer() else option


def _array(schema: Schema, root: Schema, depth: int) -> list[Any]:
    made = [invent(item, root, depth + 1) for item in schema.get("prefixItems", ())]
    items = resolve(schema.get("items", {}), root)
    options = items.get("enum") or []
    while len(made) < min(int(schema.get("minItems", 0)), _LONG) and depth < _DEEP:
        value = options[len(made) % len(options)] if options else invent(items, root, depth + 1)
        if schema.get("uniqueItems") and value in made and not isinstance(value, bool | dict | list | None):
            value = f"{value}{len(made)}" if isinstance(value, str) else value + len(made)
        made.append(value)
    return made

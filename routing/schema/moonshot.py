"""Adapts a tool's JSON Schema to Moonshot's dialect (MFJS): Moonshot's API refuses schemas outside it.

Rules: https://github.com/MoonshotAI/walle (docs/walle.md; Moonshot's server applies level `strict`). Constraints that
MFJS cannot express are left out. They still apply, because answers are verified against the caller's own schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ..errors import RequestRejected
from ..types import JsonObject
from .parts import (
    MAPS,
    TYPES,
    both,
    branches_of,
    definition_name,
    endings,
    inferred_type,
    loosened,
    pointed,
    references,
    root_followed,
    types_of_enum,
    union,
)

_ANNOTATIONS = frozenset({"description", "title", "default"})
"""The keywords that MFJS allows beside `anyOf` or `$ref` in one schema."""
_SINGLE_SCHEMAS = (
    "additionalProperties",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "unevaluatedProperties",
)
_SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_DROPPED = frozenset({"$defs", "definitions", "$schema", "$id", "$comment", "$anchor", "additionalItems", "id"})
_SHAPES: Mapping[str, type] = {
    **dict.fromkeys(MAPS, dict),
    **dict.fromkeys(_SCHEMA_LISTS, list),
    **dict.fromkeys(("description", "title"), str),
    "additionalProperties": bool,
}
"""Keyword -> the type that its value must have. A keyword with a value of another type is left out.
It is looked up only for values that `_keyword` does not adapt.
"""
_RESERVED = frozenset({"$defs", "$ref", "anyOf", "required", "additionalProperties", ""})
"""Property names that MFJS forbids. Inside definitions MFJS also forbids property names with a slash."""


def adapted(schema: Any) -> tuple[JsonObject, tuple[str, ...]]:
    """A copy of a tool's schema in Moonshot's dialect, and one phrase for each kind of change that was made.

    Raises RequestRejected for a schema that is nested too deeply.
    """
    try:
        adapter = _Adapter(schema if isinstance(schema, dict) else {})
        made = adapter.root()
    except RecursionError:
        raise RequestRejected("bad_request", "a tool's schema is nested too deeply", phase="send") from None
    return made, tuple(adapter.notes)


class _Adapter:
    def __init__(self, schema: JsonObject) -> None:
        self.whole = schema
        self.notes: dict[str, None] = {}
        self._names: dict[str, str] = {}
        self._defs: JsonObject = {}
        self._defining = 0

    def root(self) -> JsonObject:
        schema, followed = root_followed(self.whole)  # the root must be the schema of an object
        if followed:
            self._note("$ref at the root followed")
        made = self._keywords(self._distributed(schema))
        if isinstance(made.get("anyOf"), list):
            self._note("anyOf at the root merged into one object")
            made = union({**made, "anyOf": [self._defs.get(definition_name(one), one) for one in made["anyOf"]]})
        if made.get("type") != "object":
            self._note("type object set at the root")
            made = {"type": "object", **{key: value for key, value in made.items() if key != "type"}}
        made = self._typed_keywords(made)
        defs = self._used(made)
        made = {**made, "$defs": defs} if defs else made
        if (ended := endings(made)) is not None and "#" not in ended:
            self._note("required names that never end left out")
            made = loosened(made, ended)
        return made

    def _used(self, made: JsonObject) -> JsonObject:
        """The definitions that the adapted schema `made` refers to, directly or through other definitions."""
        used: dict[str, None] = {}
        waiting = list(references(made))
        while waiting:
            name = waiting.pop()
            if name not in used:
                used[name] = None
                waiting += references(self._defs[name])
        return {name: node for name, node in self._defs.items() if name in used}

    def node(self, schema: Any) -> JsonObject:
        if not isinstance(schema, dict):
            if schema is not True:
                self._note("a schema that is not an object replaced by one that allows anything")
            return {}
        if "$ref" in schema:
            return self._reference(schema)
        made = self._keywords(self._distributed(schema))
        return made if "anyOf" in made else self._typed_keywords(self._one_type(made))

    def _keywords(self, schema: JsonObject) -> JsonObject:
        """The schema with all subschemas adapted and without the keywords that MFJS forbids."""
        made: JsonObject = {}
        for key, value in schema.items():
            if key == "items":
                self._items(value, schema, made)
            elif key not in _DROPPED:
                self._keyword(key, value, made)
        return made

    def _keyword(self, key: str, value: Any, made: JsonObject) -> None:
        if key in MAPS and isinstance(value, dict):
            place = self.node if key == "properties" else self._wrapped
            made[key] = {name: place(child) for name, child in value.items()}
        elif key in _SCHEMA_LISTS and isinstance(value, list):
            if value:
                made[key] = [self.node(child) for child in value]
        elif key in _SINGLE_SCHEMAS and isinstance(value, dict):
            made[key] = (self.node if key == "additionalProperties" else self._wrapped)(value)
        elif isinstance(value, dict) and "$ref" in value:
            self._note(f"{key[:40]} with a $ref left out")
        elif not isinstance(value, _SHAPES.get(key, object)):
            self._note(f"{key} of a wrong shape left out")
        else:
            made[key] = value

    def _wrapped(self, schema: Any) -> JsonObject:
        """The schema adapted for a position at which MFJS does not allow `$ref`: a reference is put into an `anyOf`."""
        made = self.node(schema)
        return {"anyOf": [made]} if "$ref" in made else made

    def _items(self, value: Any, schema: JsonObject, made: JsonObject) -> None:
        if isinstance(value, dict):
            made["items"] = self.node(value)
        elif isinstance(value, list) and value:
            self._note("items as a list written as prefixItems")
            made["prefixItems"] = [self.node(child) for child in value]
            if isinstance(schema.get("additionalItems"), dict):
                made["items"] = self.node(schema["additionalItems"])
        else:
            self._note("items that is not a schema object left out")

    def _reference(self, schema: JsonObject) -> JsonObject:
        pointer = schema["$ref"]
        target = pointed(self.whole, pointer)
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        if target is None:
            self._note("a $ref to elsewhere left out")
            return self.node(rest)
        if set(rest) - _ANNOTATIONS:
            self._note("keywords beside $ref left out")
        beside = {key: value for key, value in rest.items() if key in _ANNOTATIONS}
        return {**beside, "$ref": "#" if target is self.whole else f"#/$defs/{self._defined(pointer, target)}"}

    def _defined(self, pointer: str, target: Any) -> str:
        """The name under `$defs` of the schema that `pointer` points to. The definition is added on first use."""
        if pointer not in self._names:
            base = re.sub(r"[^A-Za-z0-9_.-]", "_", pointer.rsplit("/", 1)[-1]) or "definition"
            name, count = base, 1
            while name in self._defs:
                count += 1
                name = f"{base}_{count}"
            self._names[pointer] = name
            self._defs[name] = {}
            if not pointer.startswith("#/$defs/") or pointer.count("/") != 2 or name != pointer.rsplit("/", 1)[-1]:
                self._note("definitions moved to $defs at the root")
            self._defining += 1
            self._defs[name] = self.node(target)
            self._defining -= 1
        return self._names[pointer]

    def _distributed(self, schema: JsonObject) -> JsonObject:
        """The schema with the keywords that are beside `anyOf` moved into each branch of that `anyOf`."""
        branches = schema.get("anyOf")
        outer = {key: value for key, value in schema.items() if key not in {"anyOf", *_ANNOTATIONS, *_DROPPED}}
        if not isinstance(branches, list) or not branches or not outer:
            return schema
        self._note("keywords beside anyOf moved into its branches")
        beside = {key: value for key, value in schema.items() if key in _ANNOTATIONS}
        return {**beside, "anyOf": [_merged(outer, branch) for branch in branches]}

    def _one_type(self, made: JsonObject) -> JsonObject:
        """The schema with a list of types replaced by `anyOf`: one branch for each type, with that type's keywords.

        A list of types with only a title or description beside it is kept.
        """
        rest = {key: value for key, value in made.items() if key != "type"}
        types = made.get("type")
        known = [
            kind for kind in (types if isinstance(types, list) else [types]) if isinstance(kind, str) and kind in TYPES
        ]
        if "type" in made and not known:
            self._note("an unknown type left out")
        known = known or types_of_enum(rest)
        if len(known) <= 1:
            return {"type": known[0], **rest} if known else rest
        if not set(rest) - {"description", "title"}:
            return {**rest, "type": known}
        self._note("several types written as anyOf")
        beside = {key: value for key, value in rest.items() if key in _ANNOTATIONS}
        own = {key: value for key, value in rest.items() if key not in _ANNOTATIONS}
        return {**beside, "anyOf": [self._typed_keywords(branch) for branch in branches_of(known, own)]}

    def _typed_keywords(self, made: JsonObject) -> JsonObject:
        """The schema with its type added if it can be inferred, and without forbidden names and values.

        Names are removed from `properties` and `required`, values from `enum`.
        """
        if "type" not in made and "anyOf" not in made and (inferred := inferred_type(made)):
            made = {"type": inferred, **made}
        return self._enum(self._required(self._without_reserved_names(made)))

    def _without_reserved_names(self, made: JsonObject) -> JsonObject:
        """The schema without the properties that have reserved names; its `description` describes them instead."""
        given = made.get("properties")
        given = given if isinstance(given, dict) else {}
        kept = {
            name: child for name, child in given.items() if not (name in _RESERVED or (self._defining and "/" in name))
        }
        if len(kept) == len(given):
            return made
        self._note("properties of reserved names moved into the description")
        told = "; ".join(f"{json.dumps(name)}: {json.dumps(given[name])}" for name in given if name not in kept)
        words = f"{made.get('description', '')}\nIt also has these properties: {told}".strip()
        return {**made, "description": words, "properties": kept}

    def _required(self, made: JsonObject) -> JsonObject:
        if "required" not in made:
            return made
        names, given = made["required"], made.get("properties")
        names = names if isinstance(names, list) else []
        given = given if isinstance(given, dict) else {}
        kept = [name for name in names if isinstance(name, str) and name in given]
        if kept == names and names:
            return made
        if names:
            self._note("required names without property left out")
        rest = {key: value for key, value in made.items() if key != "required"}
        return {**rest, "required": kept} if kept else rest

    def _enum(self, made: JsonObject) -> JsonObject:
        if "enum" not in made:
            return made
        kind, values = made.get("type"), made["enum"]
        rest = {key: value for key, value in made.items() if key != "enum"}
        values = values if isinstance(values, list) else []
        fits = [value for value in values if not isinstance(kind, str) or TYPES[kind](value)]
        if fits and not any(isinstance(value, dict | list) for value in fits):
            return {**rest, "enum": fits}
        self._note("an enum that cannot be expressed left out")
        return rest

    def _note(self, text: str) -> None:
        self.notes[text] = None


def _merged(outer: JsonObject, branch: Any) -> Any:
    """One branch of an `anyOf`, combined with `outer`: the keywords that were beside the `anyOf`.

    A branch with a `$ref` or an `anyOf` is returned unchanged.
    """
    if branch is True:
        return outer
    return branch if not isinstance(branch, dict) or "$ref" in branch or "anyOf" in branch else both(outer, branch)

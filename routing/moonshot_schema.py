"""A tool's JSON Schema in Moonshot's flavour (MFJS), which Moonshot's API refuses everything else for.

Rules: https://github.com/MoonshotAI/walle (docs/walle.md; level `strict` is what its server asks for). What cannot be
said there is left out, never made up: an answer is always verified against the schema that the caller wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .errors import RequestRejected
from .schema_parts import (
    MAPS,
    TYPES,
    both,
    branches_of,
    definition_name,
    inferred_type,
    pointed,
    references,
    types_of_enum,
    union,
)
from .types import JsonObject

_BESIDE = frozenset({"description", "title", "default"})
"""What may stand beside `anyOf` and `$ref`."""
_ONE = ("additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "unevaluatedProperties")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_DROPPED = frozenset({"$defs", "definitions", "$schema", "$id", "$comment", "$anchor", "additionalItems", "id"})
_SHAPES: Mapping[str, type] = {
    **dict.fromkeys(MAPS, dict),
    **dict.fromkeys(_LISTS, list),
    **dict.fromkeys(("description", "title"), str),
    "additionalProperties": bool,
}
"""What a keyword must be, where it is not already adapted as what it may be."""
_RESERVED = frozenset({"$defs", "$ref", "anyOf", "required", "additionalProperties", ""})
"""Names that no property may have there."""


def adapted(schema: Any) -> tuple[JsonObject, tuple[str, ...]]:
    """The schema in Moonshot's flavour, and what had to be changed, one phrase each. The given one is not touched.

    Raises RequestRejected for a schema nested beyond all reason.
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
        self._open = {"#"}
        """References to what is being written just now: one that must be followed would never end."""

    def root(self) -> JsonObject:
        schema = self._without_ref(self.whole)
        made = self._keywords(schema)
        if isinstance(made.get("anyOf"), list):
            self._note("anyOf at the root merged into one object")
            made = union({**made, "anyOf": [self._defs.get(definition_name(one), one) for one in made["anyOf"]]})
        if made.get("type") != "object":
            self._note("type object set at the root")
            made = {"type": "object", **{key: value for key, value in made.items() if key != "type"}}
        made = self._typed_keywords(made)
        defs = self._used(made)
        return {**made, "$defs": defs} if defs else made

    def _used(self, made: JsonObject) -> JsonObject:
        """The definitions that something still refers to."""
        used: dict[str, None] = {}
        waiting = list(references(made))
        while waiting:
            name = waiting.pop()
            if name not in used:
                used[name] = None
                waiting += references(self._defs[name])
        return {name: node for name, node in self._defs.items() if name in used}

    def _without_ref(self, schema: JsonObject) -> JsonObject:
        """A `$ref` at the root followed: the root itself must be an object's schema."""
        for _ in range(8):
            target = pointed(self.whole, schema.get("$ref"))
            if not isinstance(target, dict) or target is self.whole:
                break
            self._note("$ref at the root followed")
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        return schema if "$ref" not in schema else {key: value for key, value in schema.items() if key != "$ref"}

    def node(self, schema: Any) -> JsonObject:
        if not isinstance(schema, dict):
            if schema is not True:
                self._note("a schema that is no object replaced by one that allows anything")
            return {}
        if "$ref" in schema:
            return self._reference(schema)
        made = self._keywords(schema)
        if isinstance(made.get("anyOf"), list):
            return self._spread(made)
        return self._typed_keywords(self._one_type(made))

    def _keywords(self, schema: JsonObject) -> JsonObject:
        """The schema with all below it adapted; what is not allowed at all is gone."""
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
        elif key in _LISTS and isinstance(value, list):
            if value:
                made[key] = [self.node(child) for child in value]
        elif key in _ONE and isinstance(value, dict):
            made[key] = (self.node if key == "additionalProperties" else self._wrapped)(value)
        elif isinstance(value, dict) and "$ref" in value:
            self._note(f"{key[:40]} with a $ref left out")
        elif not isinstance(value, _SHAPES.get(key, object)):
            self._note(f"{key} of a wrong shape left out")
        else:
            made[key] = value

    def _wrapped(self, schema: Any) -> JsonObject:
        """For places where a bare `$ref` is refused."""
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
            self._note("items that is no schema object left out")

    def _reference(self, schema: JsonObject) -> JsonObject:
        pointer = schema["$ref"]
        target = pointed(self.whole, pointer)
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        if target is None:
            self._note("a $ref to elsewhere left out")
            return self.node(rest)
        if set(rest) - _BESIDE:
            self._note("keywords beside $ref left out")
        beside = {key: value for key, value in rest.items() if key in _BESIDE}
        return {**beside, "$ref": "#" if target is self.whole else f"#/$defs/{self._defined(pointer, target)}"}

    def _defined(self, pointer: str, target: Any) -> str:
        """The name of a definition at the root, made on first use."""
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
            self._open.add(f"#/$defs/{name}")
            self._defs[name] = self.node(target)
            self._open.discard(f"#/$defs/{name}")
        return self._names[pointer]

    def _spread(self, made: JsonObject) -> JsonObject:
        """`anyOf` alone: what stands beside it moves into each of its branches."""
        outer = {key: value for key, value in made.items() if key != "anyOf" and key not in _BESIDE}
        beside = {key: value for key, value in made.items() if key in _BESIDE}
        if not outer:
            return made
        self._note("keywords beside anyOf moved into its branches")
        branches = []
        for branch in made["anyOf"]:
            if "$ref" in branch or "anyOf" in branch:
                branches.append(branch)
            else:
                branches.append(self._typed_keywords(self._one_type(both(outer, branch))))
        return {**beside, "anyOf": branches}

    def _one_type(self, made: JsonObject) -> JsonObject:
        """Several types written as branches, each with the keywords that are its own."""
        types = made.get("type", types_of_enum(made))
        if not isinstance(types, list):
            return made
        known = [kind for kind in types if isinstance(kind, str) and kind in TYPES]
        rest = {key: value for key, value in made.items() if key != "type"}
        if len(known) <= 1:
            return {"type": known[0], **rest} if known else rest
        if not set(rest) - {"description", "title"}:
            return {**made, "type": known}
        self._note("several types written as anyOf")
        beside = {key: value for key, value in rest.items() if key in _BESIDE}
        own = {key: value for key, value in rest.items() if key not in _BESIDE}
        return {**beside, "anyOf": [self._typed_keywords(branch) for branch in branches_of(known, own)]}

    def _typed_keywords(self, made: JsonObject) -> JsonObject:
        """One type at most; `required` and `enum` such that they can be met."""
        kind = made.get("type")
        if kind is not None and not (isinstance(kind, list) or kind in TYPES):
            self._note("an unknown type left out")
            made = {key: value for key, value in made.items() if key != "type"}
        if "type" not in made and "anyOf" not in made and (inferred := inferred_type(made)):
            made = {"type": inferred, **made}
        return self._enum(self._required(self._speakable(made)))

    def _speakable(self, made: JsonObject) -> JsonObject:
        """Properties of reserved names are told in the description instead."""
        given = made.get("properties")
        if not isinstance(given, dict) or not _RESERVED & given.keys():
            return made
        self._note("properties of reserved names told in the description")
        told = "; ".join(f"{json.dumps(name)}: {json.dumps(given[name])}" for name in sorted(_RESERVED & given.keys()))
        words = f"{made.get('description', '')}\nIt also has these properties: {told}".strip()
        kept = {name: child for name, child in given.items() if name not in _RESERVED}
        return {**made, "description": words, "properties": kept}

    def _required(self, made: JsonObject) -> JsonObject:
        if "required" not in made:
            return made
        names, given = made["required"], made.get("properties")
        names = names if isinstance(names, list) else []
        given = given if isinstance(given, dict) else {}
        kept = [name for name in names if isinstance(name, str) and name in given and not self._endless(given[name])]
        if kept == names and names:
            return made
        if names:
            self._note("required names that are no property, or recur without end, left out")
        rest = {key: value for key, value in made.items() if key != "required"}
        return {**rest, "required": kept} if kept else rest

    def _endless(self, node: JsonObject) -> bool:
        """Whether the node leads back to what is being written, as Moonshot reads it: an array is never empty."""
        if "$ref" in node:
            return node["$ref"] in self._open
        if isinstance(node.get("anyOf"), list):
            return all(map(self._endless, node["anyOf"]))
        return isinstance(node.get("items"), dict) and self._endless(node["items"])

    def _enum(self, made: JsonObject) -> JsonObject:
        if "enum" not in made:
            return made
        kind, values = made.get("type"), made["enum"]
        rest = {key: value for key, value in made.items() if key != "enum"}
        values = values if isinstance(values, list) else []
        fits = [value for value in values if not isinstance(kind, str) or TYPES[kind](value)]
        if fits and not any(isinstance(value, dict | list) for value in fits):
            return {**rest, "enum": fits}
        self._note("an enum that cannot be said left out")
        return rest

    def _note(self, text: str) -> None:
        self.notes[text] = None

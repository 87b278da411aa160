"""A judge of Moonshot's schema flavour, written from https://github.com/MoonshotAI/walle (docs/walle.md), level `strict`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TYPES = {"null", "boolean", "object", "array", "number", "integer", "string"}
RESERVED = {"$defs", "$ref", "anyOf", "required", "additionalProperties", ""}


def faults(schema: Any) -> list[str]:
    """Everything that Moonshot's server refuses in a tool's parameters."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return ["the root must be of type object"]
    return list(_faults(schema, schema, root=True))


def _faults(node: dict[str, Any], whole: dict[str, Any], *, root: bool = False) -> Iterator[str]:
    yield from _own(node, whole)
    if "$defs" in node and not root:
        yield "$defs below the root"
    for key in ("properties", "$defs"):
        children = node.get(key, {})
        if not isinstance(children, dict):
            yield f"{key} must be an object"
            return
        if key == "properties" and RESERVED & children.keys():
            yield "a property of a reserved name"
        for name, child in children.items():
            if key == "$defs" and "/" in name:
                yield "a definition's name holds a slash"
            yield from _child(child, whole)
    for key in ("items", "additionalProperties"):
        if key in node and not (key == "additionalProperties" and isinstance(node[key], bool)):
            yield from _child(node[key], whole)
    for branch in node.get("anyOf", []):
        yield from _child(branch, whole)


def _child(node: Any, whole: dict[str, Any]) -> Iterator[str]:
    if not isinstance(node, dict):
        yield "a schema must be an object"
        return
    yield from _faults(node, whole)


def _own(node: dict[str, Any], whole: dict[str, Any]) -> Iterator[str]:
    kinds = node.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds is not None and (not isinstance(kinds, list) or not kinds or not set(kinds) <= TYPES):
        yield "invalid type"
        return
    for alone in ("anyOf", "$ref"):
        if alone in node and kinds is not None:
            yield f"type beside {alone}"
    if kinds is not None and len(kinds) > 1 and node.keys() - {"type", "description", "title"}:
        yield "keywords beside several types"
    yield from _named(node, whole)


def _named(node: dict[str, Any], whole: dict[str, Any]) -> Iterator[str]:
    if node.get("anyOf") == []:
        yield "anyOf is empty"
    if "$ref" in node and node["$ref"] != "#" and node["$ref"].removeprefix("#/$defs/") not in whole.get("$defs", {}):
        yield "a reference to nowhere"
    if set(node.get("required", [])) - node.get("properties", {}).keys():
        yield "a required name that is no property"
    if "enum" in node and (not node["enum"] or any(isinstance(value, dict | list) for value in node["enum"])):
        yield "an enum that cannot be said"
    for words in ("description", "title"):
        if not isinstance(node.get(words, ""), str):
            yield f"{words} must be a text"

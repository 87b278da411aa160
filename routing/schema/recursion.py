"""Finds which self-referring schemas have finite values, by Moonshot's rules. Pure.

Moonshot treats arrays as never empty. It treats an object as finite if one of its required properties is
(https://github.com/MoonshotAI/walle, CheckRefTermination).
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

from ..types import JsonObject


def endings(whole: JsonObject) -> AbstractSet[str] | None:
    """The references (`#` for the root) that have finite values; None if the schema has no references."""
    targets = {"#": whole, **{f"#/$defs/{name}": node for name, node in whole.get("$defs", {}).items()}}
    if len(targets) == 1 and not _refers(whole):
        return None
    ended: set[str] = set()
    while more := {name for name, node in targets.items() if name not in ended and _ends(node, ended)}:
        ended |= more
    return ended


def _refers(node: Any) -> bool:
    if isinstance(node, list):
        return any(map(_refers, node))
    return isinstance(node, dict) and ("$ref" in node or any(map(_refers, node.values())))


def _ends(node: JsonObject, ended: AbstractSet[str]) -> bool:
    if "$ref" in node:
        return node["$ref"] in ended
    if isinstance(node.get("anyOf"), list):
        return any(_ends(branch, ended) for branch in node["anyOf"])
    kind = node.get("type")
    if kind == "object":
        names, given = node.get("required"), node.get("properties")
        return not names or not given or any(_ends(given[name], ended) for name in names)
    if kind == "array":
        return not node.get("items") or _ends(node["items"], ended)
    return kind is not None or not node


def loosened(node: Any, ended: AbstractSet[str]) -> Any:
    """The schema without each `required` whose properties have no finite value."""
    if isinstance(node, list):
        return [loosened(child, ended) for child in node]
    if not isinstance(node, dict):
        return node
    made = {key: loosened(child, ended) for key, child in node.items()}
    if node.get("type") == "object" and isinstance(node.get("required"), list) and not _ends(node, ended):
        del made["required"]
    return made

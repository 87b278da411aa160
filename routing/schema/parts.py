"""Operations on JSON Schemas: infer types, combine schemas, follow references, find endless recursion. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from ..types import JsonObject

LITERAL = frozenset({"enum", "const", "default", "examples"})
MAPS = ("properties", "patternProperties", "dependentSchemas")
OF_TYPE: Mapping[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties", "patternProperties", "dependentSchemas"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"}),
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
}
TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}


def branches_of(types: Iterable[str], own: JsonObject) -> list[JsonObject]:
    """One schema for each type, with those keywords of `own` that apply to the type.

    A type is left out if `own` has an enum without a value of that type.
    """
    foreign = frozenset().union(*OF_TYPE.values())
    branches = []
    for kind in types:
        mine = OF_TYPE.get("number" if kind == "integer" else kind, frozenset())
        branch = {key: value for key, value in own.items() if key in mine or key not in foreign}
        if isinstance(branch.get("enum"), list):
            branch["enum"] = [value for value in branch["enum"] if TYPES[kind](value)]
            if not branch["enum"]:
                continue  # no value of this type is allowed
        branches.append({"type": kind, **branch})
    return branches or [{"type": kind} for kind in types]


def inferred_type(made: JsonObject) -> str | None:
    """The type that a schema without `type` implies by its keywords, `const` or `enum`; None if it implies none."""
    for kind, keywords in OF_TYPE.items():
        if keywords & made.keys():
            return kind
    values = [made["const"]] if "const" in made else made.get("enum")
    if isinstance(values, list) and values:
        for kind in ("string", "boolean", "integer", "number"):
            if all(map(TYPES[kind], values)):
                return kind
    return None


def types_of_enum(made: JsonObject) -> list[str]:
    """The types of the values of a schema's `enum`; empty if it has no `enum` or `inferred_type` finds one type."""
    values = made.get("enum")
    if not isinstance(values, list) or inferred_type(made):
        return []
    scalar = [value for value in values if not isinstance(value, dict | list)]
    kinds = [kind for kind in ("string", "boolean", "null", "integer") if any(map(TYPES[kind], scalar))]
    return kinds + (["number"] if any(isinstance(value, float) for value in scalar) else [])


def both(outer: JsonObject, branch: JsonObject) -> JsonObject:
    """One schema for values that satisfy both given schemas, as far as possible without `allOf`.

    `properties` and `required` are combined. Any other keyword that both have is taken from `branch`.
    """
    merged = {**outer, **branch}
    if isinstance(outer.get("properties"), dict) and isinstance(branch.get("properties"), dict):
        merged["properties"] = {**outer["properties"], **branch["properties"]}
    if isinstance(outer.get("required"), list) and isinstance(branch.get("required"), list):
        merged["required"] = list(dict.fromkeys([*outer["required"], *branch["required"]]))
    return merged


def union(made: JsonObject) -> JsonObject:
    """One object schema, without `anyOf`, that allows what any branch of the `anyOf` in `made` allows.

    It has the properties of all branches, and requires those that every branch requires.
    """
    outer = {key: value for key, value in made.items() if key != "anyOf"}
    branches = [branch for branch in made["anyOf"] if "$ref" not in branch]
    properties = dict(outer.get("properties") or {})
    for branch in branches:
        properties |= {
            name: child for name, child in (branch.get("properties") or {}).items() if name not in properties
        }
    lists = [branch.get("required") if isinstance(branch.get("required"), list) else [] for branch in branches]
    always = set.intersection(*map(set, lists)) if len(branches) == len(made["anyOf"]) else set()
    required = [*(outer.get("required") or []), *sorted(always)]
    union = {**outer, "type": "object", "properties": properties, "required": list(dict.fromkeys(required))}
    if any("$ref" in branch for branch in made["anyOf"]) or properties.keys() != (outer.get("properties") or {}).keys():
        union.pop("additionalProperties", None)
    return union


def definition_name(node: JsonObject) -> str:
    return str(node.get("$ref", "")).removeprefix("#/$defs/")


def references(node: Any) -> Iterator[str]:
    """Names of the definitions in `$defs` that a schema in Moonshot's dialect refers to."""
    if isinstance(node, list):
        for child in node:
            yield from references(child)
    elif isinstance(node, dict):
        if isinstance(node.get("$ref"), str) and node["$ref"] != "#":
            yield definition_name(node)
        for key, child in node.items():
            if key in MAPS and isinstance(child, dict):
                yield from references(list(child.values()))
            elif key not in LITERAL:
                yield from references(child)


def pointed(whole: JsonObject, pointer: Any) -> Any:
    """The schema inside `whole` that a `$ref` points to; None if it points to another document or to nothing."""
    node = at_pointer(whole, pointer) if isinstance(pointer, str) else None
    return node if isinstance(node, dict | bool) else None


def root_followed(whole: JsonObject) -> tuple[JsonObject, bool]:
    """The schema with a `$ref` at its root replaced by the schema it points to, and whether one was replaced.

    The other keywords at the root are kept.
    """
    schema, followed = whole, False
    for _ in range(8):
        target = pointed(whole, schema.get("$ref"))
        if not isinstance(target, dict) or target is whole:
            break
        schema, followed = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}, True
    return {key: value for key, value in schema.items() if key != "$ref"}, followed


def at_pointer(root: Any, reference: str) -> Any:
    """The value inside `root` that a reference (`#` or `#/...`) points to.

    None for a reference of another form, and for a pointer to nothing.
    """
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        return None
    node = root
    for part in reference[2:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and key.isascii() and key.isdigit() and len(key) < 6 and int(key) < len(node):
            node = node[int(key)]
        elif isinstance(node, dict) and key in node:
            node = node[key]
        else:
            return None
    return node


def endings(whole: JsonObject) -> AbstractSet[str] | None:
    """The references (`#` for the root) to schemas that some finite value satisfies.

    A schema that requires itself has none. The result is None if the whole schema has no references.

    Moonshot treats arrays as never empty. It treats an object as finite if one of its required properties is
    (https://github.com/MoonshotAI/walle, CheckRefTermination).
    """
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
    """The schema without `required` in each object that no finite value satisfies. `ended` comes from `endings`."""
    if isinstance(node, list):
        return [loosened(child, ended) for child in node]
    if not isinstance(node, dict):
        return node
    made = {key: loosened(child, ended) for key, child in node.items()}
    if node.get("type") == "object" and isinstance(node.get("required"), list) and not _ends(node, ended):
        del made["required"]
    return made

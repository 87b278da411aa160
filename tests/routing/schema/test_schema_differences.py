"""A second opinion on tool arguments, from `jsonschema`.

Every known difference is listed with the behaviour chosen here.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
import referencing
from shared_data import DATA

from routing.schema import ToolSet
from routing.schema.parts import at_pointer

SCHEMAS = DATA / "schemas" / "validator_cases"


def toolset(parameters: Any) -> ToolSet:
    return ToolSet.of([{"type": "function", "function": {"name": "t", "parameters": parameters}}])


ECMA = "patterns are ECMA-262 (JSON Schema core 6.4), `jsonschema` runs them as Python's"
DECIMAL = "multipleOf counts in decimal, as written; `jsonschema` divides binary floats"
EXACT = "multipleOf is exact; `jsonschema` loses digits beyond a double's 53 bits"
UNICODE = "a pattern that Python cannot run has a verdict here; `jsonschema` raises"
SELF = "a `$ref` that leads only back to itself adds nothing; `jsonschema` recurses until Python stops it"
DIFFERENCES: list[tuple[dict[str, Any], Any, bool, bool | None, str]] = [
    # (schema of the argument, value, valid here, valid in jsonschema (None: it raises), why)
    ({"pattern": r"^\d+$"}, "\u0661", False, True, ECMA),
    ({"pattern": r"^\d+$"}, "1\n", False, True, ECMA),
    ({"pattern": r"^[a-z]+$"}, "a\n", False, True, ECMA),
    ({"pattern": r"^\w+$"}, "\u00e9", False, True, ECMA),
    ({"pattern": r"\W"}, "\u00e9", True, False, ECMA),
    ({"pattern": r"\D"}, "\u0661", True, False, ECMA),
    ({"pattern": r"^\s$"}, "\ufeff", True, False, ECMA),
    ({"pattern": r"^\s$"}, "\x1c", False, True, ECMA),
    ({"pattern": r"^\s$"}, "\x85", False, True, ECMA),
    ({"pattern": r"\B"}, "", True, False, ECMA),
    ({"pattern": r"^\p{L}+$"}, "\u00e9", True, None, UNICODE),
    ({"pattern": r"\cM"}, "\r", True, None, UNICODE),
    ({"pattern": r"(?<n>a)"}, "a", True, None, UNICODE),
    ({"patternProperties": {r"^\d+$": False}}, {"\u0661": 1}, True, False, ECMA),
    ({"multipleOf": 0.01}, 0.07, True, False, DECIMAL),
    ({"multipleOf": 0.01}, 19.99, True, False, DECIMAL),
    ({"multipleOf": 0.1}, 0.3, True, False, DECIMAL),
    ({"multipleOf": 1e-8}, 4.02, True, False, DECIMAL),
    ({"multipleOf": 3}, 1e300, False, True, EXACT),
    ({"multipleOf": 0.3}, 10**20, False, True, EXACT),
    ({"$ref": "#/properties/v"}, 1, True, None, SELF),
]


def _oracle(parameters: Any) -> jsonschema.protocols.Validator:
    cls = jsonschema.validators.validator_for(parameters, default=jsonschema.Draft202012Validator)
    oracle: jsonschema.protocols.Validator = cls(parameters, registry=referencing.Registry())
    return oracle


@pytest.mark.parametrize(("schema", "value", "here", "there", "why"), DIFFERENCES)
def test_each_known_difference_is_as_listed(schema: Any, value: Any, here: bool, there: bool | None, why: str) -> None:
    """The table of differences from `jsonschema` is correct for both libraries."""
    parameters = {"properties": {"v": schema}}
    assert (toolset(parameters).errors("t", {"v": value}) is None) is here, why
    try:
        theirs: bool | None = _oracle(parameters).is_valid({"v": value})
    except Exception:  # noqa: BLE001 - re.error, RecursionError
        theirs = None
    assert theirs is there, why


@pytest.mark.parametrize("identifier", ["#user", "any of these", "https://example.com/user#/$defs/name"])
def test_an_odd_root_identifier_is_ignored(identifier: str) -> None:
    """Moonshot accepts such an `$id`; it identifies nothing inside one tool's schema."""
    text = {"$ref": "#/$defs/text"}
    parameters = {
        "$id": identifier,
        "$defs": {"text": {"type": "string"}},
        "properties": {"a": text},
        "required": ["a"],
    }
    tools = toolset(parameters)
    assert tools.problems == ()
    for value in ({}, {"a": 1}, {"a": "x"}):
        assert (tools.errors("t", value) is None) is _oracle(parameters).is_valid(value) is (value == {"a": "x"})


def _filled(rng: random.Random, schema: Any, root: Any, depth: int = 0) -> Any:
    """A value that mostly follows `schema` and sometimes breaks it."""
    if depth > 6 or not isinstance(schema, dict):
        return rng.choice([None, True, 0, 1.5, "x", [], {}])
    if isinstance(schema.get("$ref"), str) and rng.random() < 0.95:
        return _filled(rng, at_pointer(root, schema["$ref"]), root, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _filled(rng, rng.choice(schema[key]), root, depth + 1)
    if schema.get("enum"):
        return rng.choice(schema["enum"])
    if "const" in schema:
        return schema["const"]
    kinds = ["string", "integer", "number", "object", "array", "null", "boolean"]
    kind = schema.get("type") or ("object" if "properties" in schema else rng.choice(kinds))
    kind = rng.choice(kind) if isinstance(kind, list) else rng.choice(kinds) if rng.random() < 0.08 else kind
    low, high = schema.get("minimum", 0), schema.get("maximum", 5)
    scalars: dict[str, list[Any]] = {
        "string": ["", "a", "abc" * 7, "2020-01-01", "\u00e9", "\U0001f600"],
        "integer": [0, 1, -1, low, high, 10**20, 2.0],
        "number": [0, 1.5, -1, low, high, 3],
        "boolean": [True, False, 0, 1],
        "null": [None],
    }
    if kind in scalars:
        return rng.choice(scalars[kind])
    if kind == "array":
        return [_filled(rng, schema.get("items", {}), root, depth + 1) for _ in range(rng.randint(0, 4))]
    wanted = {
        name: _filled(rng, child, root, depth + 1)
        for name, child in (schema.get("properties") or {}).items()
        if rng.random() < (0.95 if name in schema.get("required", ()) else 0.6)
    }
    return wanted | ({"zz": 1} if rng.random() < 0.15 else {})


@pytest.mark.skipif(not SCHEMAS.exists(), reason="shared data is absent")
def test_moonshots_schemas_get_the_same_verdicts_from_both_libraries() -> None:
    """All of Moonshot's public tool schemas compile; `jsonschema` gives the same verdict on 40 values for each."""
    rng = random.Random(20261123)
    compared = 0
    for path in sorted(SCHEMAS.glob("*/valid.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            parameters = json.loads(line)
            tools, oracle = toolset(parameters), _oracle(parameters)
            assert tools.problems == (), line
            for _ in range(40):
                value = _filled(rng, parameters, parameters)
                value = value if isinstance(value, dict) else {"v": value}
                assert (tools.errors("t", value) is None) == oracle.is_valid(value), (line, value)
                compared += 1
    assert compared >= 8_000


_KEYWORDS: list[Callable[[random.Random, int], dict[str, Any]]] = [
    lambda rng, _: {"type": rng.choice(["string", "integer", "number", "boolean", "null", "array", "object"])},
    lambda rng, _: {"type": rng.sample(["string", "integer", "null", "array"], 2)},
    lambda rng, _: {"const": rng.choice([1, 1.0, True, False, 0, None, "a", [1], [True], {"a": 1}, 10**20])},
    lambda rng, _: {"enum": rng.choice([[1, "a"], [True], [0, None], [[1, True]], [{"a": 0}]])},
    lambda rng, _: {rng.choice(["minimum", "maximum"]): rng.choice([0, 1.5, 10**20])},
    lambda rng, _: {rng.choice(["exclusiveMinimum", "exclusiveMaximum"]): rng.choice([0, 1.5, 10**20])},
    lambda rng, _: {"multipleOf": rng.choice([1, 2, 5])},
    lambda rng, _: {rng.choice(["minLength", "maxLength", "minItems", "maxItems"]): rng.choice([0, 1, 2])},
    lambda rng, _: {rng.choice(["minProperties", "maxProperties"]): 1},
    lambda rng, _: {"pattern": rng.choice(["^a", "a|b", "[0-9]", "^[^/]+"])},
    lambda _, __: {"uniqueItems": True},
    lambda rng, depth: {rng.choice(["items", "contains", "not", "propertyNames"]): _schema(rng, depth)},
    lambda rng, depth: {"contains": _schema(rng, depth), "minContains": rng.choice([0, 1, 2])},
    lambda rng, depth: {"prefixItems": [_schema(rng, depth)]},
    lambda rng, depth: {"properties": {"a": _schema(rng, depth), "b": _schema(rng, depth)}},
    lambda rng, depth: {"patternProperties": {rng.choice(["^a", "b"]): _schema(rng, depth)}},
    lambda rng, depth: {"additionalProperties": rng.choice([False, _schema(rng, depth)])},
    lambda rng, depth: {rng.choice(["anyOf", "oneOf", "allOf"]): [_schema(rng, depth), _schema(rng, depth)]},
    lambda rng, depth: {"if": _schema(rng, depth), "then": _schema(rng, depth), "else": _schema(rng, depth)},
    lambda _, __: {"required": ["a"]},
    lambda _, __: {"dependentRequired": {"a": ["b"]}},
    lambda _, __: {"unevaluatedProperties": False},
    lambda _, __: {"$ref": "#/$defs/d"},
    lambda rng, _: {"format": rng.choice(["date", "email", "ipv4"])},
]


def _schema(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for _ in range(rng.randint(0, 3) if depth < 4 else 0):
        made |= rng.choice(_KEYWORDS)(rng, depth + 1)
    return made


def _value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randint(0, 9 if depth < 3 else 6)
    if kind > 7:
        return {rng.choice(["a", "b", "zz", "ab"]): _value(rng, depth + 1) for _ in range(rng.randint(0, 3))}
    if kind == 7:
        return [_value(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    scalars = [None, True, False, 0, 1, 1.0, -1, 2, 1.5, 10**20, 1e20, 2**53 + 1, "", "a", "ab", "\u00e9", "e\u0301"]
    return rng.choice(scalars)


@pytest.mark.parametrize("seed", range(8))
def test_generated_schemas_get_the_same_verdicts_from_both_libraries(seed: int) -> None:
    """On schemas of every keyword, away from the listed differences, both libraries agree on every value."""
    rng = random.Random(seed)
    for _ in range(60):
        parameters = {**_schema(rng), "$defs": {"d": {"type": rng.choice(["object", "string"]), "maxLength": 2}}}
        tools, oracle = toolset(parameters), _oracle(parameters)
        assert tools.problems == (), parameters
        for _ in range(25):
            value = {"a": _value(rng), "b": _value(rng)} if rng.random() < 0.5 else {"zz": _value(rng)}
            assert (tools.errors("t", value) is None) == oracle.is_valid(value), (parameters, value)

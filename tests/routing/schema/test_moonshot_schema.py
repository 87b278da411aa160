"""Tool schemas in Moonshot's dialect."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from made_requests import schemas
from mfjs import faults
from shared_data import DATA, needs_data

from routing.errors import RequestRejected
from routing.schema.moonshot import adapted
from routing.types import JsonObject

STRING: JsonObject = {"type": "string"}


def obj(**properties: Any) -> JsonObject:
    return {"type": "object", "properties": properties}


def value(schema: JsonObject, whole: JsonObject | None = None) -> JsonObject:
    """The adapted schema of a property."""
    made, _ = adapted({**obj(x=schema), **(whole or {})})
    found: JsonObject = made["properties"]["x"]
    return found


def test_what_is_right_is_not_touched() -> None:
    """A valid schema gives no notes either."""
    schema = {**obj(city=STRING, unit={"enum": ["c", "f"], "type": "string"}), "required": ["city"]}
    assert adapted(schema) == (schema, ())


CASES: list[tuple[str, JsonObject, JsonObject]] = [
    ("items as a list", {"type": "array", "items": [STRING]}, {"type": "array", "prefixItems": [STRING]}),
    (
        "type beside anyOf moves into the branches",
        {"type": "string", "anyOf": [{"minLength": 3}, {"enum": ["a"]}], "description": "d"},
        {"description": "d", "anyOf": [{"type": "string", "minLength": 3}, {"type": "string", "enum": ["a"]}]},
    ),
    (
        "what else stands beside anyOf moves too",
        {**obj(a=STRING, b=STRING), "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"anyOf": [{**obj(a=STRING, b=STRING), "required": ["a"]}, {**obj(a=STRING, b=STRING), "required": ["b"]}]},
    ),
    (
        "several types become branches, each with its own keywords",
        {"type": ["string", "null"], "minLength": 3},
        {"anyOf": [{"type": "string", "minLength": 3}, {"type": "null"}]},
    ),
    ("several types alone may stay", {"type": ["string", "null"]}, {"type": ["string", "null"]}),
    (
        "an enum of several types becomes branches",
        {"enum": ["a", 1]},
        {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "integer", "enum": [1]}]},
    ),
    ("a type that is plainly meant is said", {"enum": ["a"]}, {"type": "string", "enum": ["a"]}),
    ("one of a schema without type as well", {"properties": {"a": STRING}}, obj(a=STRING)),
    (
        "required names must be properties",
        {**obj(a=STRING), "required": ["a", "b"]},
        {**obj(a=STRING), "required": ["a"]},
    ),
    ("true allows anything", True, {}),  # type: ignore[list-item]
    ("an unknown type is left out", {"type": "date"}, {}),
    ("an empty enum is left out", {"type": "string", "enum": []}, STRING),
    ("words must be text", {"type": "string", "description": 3}, STRING),
    ("a reference to elsewhere is left out", {"$ref": "https://example.org/x.json"}, {}),
]


@pytest.mark.parametrize(("schema", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_rule_of_the_dialect_is_applied(schema: JsonObject, expected: JsonObject) -> None:
    """One case for each rule. What cannot be expressed is left out, never invented."""
    assert value(schema) == expected


class TestRoot:
    @pytest.mark.parametrize("schema", [{}, {"type": "string"}, {"type": ["object", "null"]}, None, True, []])
    def test_it_is_an_object(self, schema: Any) -> None:
        """The root is an object, whatever was given."""
        assert adapted(schema)[0]["type"] == "object"

    def test_its_reference_is_followed(self) -> None:
        """Generators write recursive models with a root `$ref`."""
        node = obj(next={"$ref": "#/definitions/Node"})
        made, notes = adapted({"$ref": "#/definitions/Node", "definitions": {"Node": node}})
        assert made == {**obj(next={"$ref": "#/$defs/Node"}), "$defs": {"Node": obj(next={"$ref": "#/$defs/Node"})}}
        assert notes == ("$ref at the root followed", "definitions moved to $defs at the root")

    @pytest.mark.parametrize("pointer", ["#/anyOf/\u00b2", "#/anyOf/" + "9" * 5000])
    def test_a_reference_to_nothing_does_not_crash(self, pointer: str) -> None:
        """Digits that are not decimal, and too many of them, do not raise."""
        made, _ = adapted({"anyOf": [{"type": "object"}], "properties": {"a": {"$ref": pointer}}})
        assert made["type"] == "object"

    def test_its_branches_become_one_object(self) -> None:
        """It has all properties and requires only what every branch requires."""
        one, two = (
            {**obj(kind=STRING, a=STRING), "required": ["kind", "a"]},
            {**obj(kind=STRING, b=STRING), "required": ["kind"]},
        )
        made, notes = adapted({"anyOf": [one, two], "additionalProperties": False})
        assert made == {**obj(kind=STRING, a=STRING, b=STRING), "required": ["kind"]}
        assert notes[-1] == "anyOf at the root merged into one object"


class TestReferences:
    @pytest.mark.parametrize("pointer", ["#/definitions/A", "#/$defs/A", "#/properties/y", "#/definitions/a~1b"])
    def test_they_point_to_definitions_at_the_root(self, pointer: str) -> None:
        """Definitions are moved to the root, and their names hold no slash."""
        whole = {"definitions": {"A": STRING, "a/b": STRING}, "$defs": {"A": STRING}}
        made, _ = adapted({**obj(x={"$ref": pointer}, y=STRING), **whole})
        name = made["properties"]["x"]["$ref"].removeprefix("#/$defs/")
        assert made["$defs"] == {name: STRING}
        assert "/" not in name

    def test_only_annotations_are_kept_beside_them(self) -> None:
        """Only descriptions may be beside a reference: Moonshot refuses a type there."""
        made, notes = adapted(
            {**obj(x={"$ref": "#/$defs/A", "type": "string", "description": "d"}), "$defs": {"A": STRING}}
        )
        assert made["properties"]["x"] == {"description": "d", "$ref": "#/$defs/A"}
        assert notes == ("keywords beside $ref left out",)

    def test_one_without_finite_values_is_not_required(self) -> None:
        """Moonshot treats arrays as never empty; one required property with finite values makes an object finite."""
        node = obj(children={"type": "array", "items": {"$ref": "#"}}, name=STRING)
        made, notes = adapted({**node, "required": ["children"]})
        assert "required" not in made
        assert notes == ("required names that never end left out",)
        assert adapted({**node, "required": ["name", "children"]})[1] == ()
        list_end = {"anyOf": [{"$ref": "#"}, {"type": "null"}]}
        assert adapted({**obj(next=list_end), "required": ["next"]})[1] == ()

    def test_unused_definitions_are_left_out(self) -> None:
        """Unused definitions cost tokens."""
        assert adapted({**obj(x=STRING), "$defs": {"A": STRING}})[0] == obj(x=STRING)


def test_properties_of_reserved_names_are_moved_into_the_description() -> None:
    """A property must not be called `required`, but the model must still know of it."""
    made, _ = adapted({**obj(required=STRING, a=STRING), "required": ["a", "required"], "description": "d"})
    assert made["properties"] == {"a": STRING}
    assert made["required"] == ["a"]
    assert made["description"] == 'd\nIt also has these properties: "required": {"type": "string"}'


def test_a_schema_nested_beyond_reason_is_the_callers_mistake() -> None:
    """It raises RequestRejected, not RecursionError."""
    schema: JsonObject = {"type": "object"}
    for _ in range(5000):
        schema = {"type": "array", "items": schema}
    with pytest.raises(RequestRejected, match="nested"):
        adapted(obj(x=schema))


@given(schemas)
def test_every_schema_becomes_one_that_moonshot_takes(schema: Any) -> None:
    """A judge written from Moonshot's rules accepts the result.

    The caller's schema is not modified, and adapting twice changes nothing more.
    """
    before = copy.deepcopy(schema)
    made, _ = adapted(schema)
    assert schema == before
    assert faults(made) == []
    assert adapted(made)[0] == made


@needs_data
def test_moonshots_own_valid_schemas_are_not_changed() -> None:
    """This holds for those with an object at the root."""
    lines = [line for path in sorted(Path(DATA / "schemas").rglob("*.jsonl")) for line in path.read_text().splitlines()]
    seen = 0
    for line in filter(None, lines):
        schema = json.loads(line)
        if isinstance(schema, dict) and schema.get("type") == "object" and not faults(schema):
            made, notes = adapted(schema)
            assert not set(notes) - {"definitions moved to $defs at the root"}, schema
            assert made["properties"].keys() == schema["properties"].keys() if "properties" in schema else True
            seen += 1
    assert seen > 20

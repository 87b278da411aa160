"""Tool arguments against the tool's schema: the right verdict, offline, bounded, for any schema and value."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import routing.schema as schema_module
from routing.schema import CACHED_SETS, MAX_SENTENCE, ToolSchemaError, ToolSet, printable

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer"},
    },
    "required": ["city"],
    "additionalProperties": False,
}
EXPRESSION = {  # recursive, with two ways down at each level: error messages of the library take exponential time
    "$defs": {
        "Expr": {"anyOf": [{"$ref": "#/$defs/Add"}, {"$ref": "#/$defs/Mul"}, {"type": "number"}]},
        "Add": {"properties": {"left": {"$ref": "#/$defs/Expr"}, "op": {"const": "add"}}, "required": ["op", "left"]},
        "Mul": {"properties": {"left": {"$ref": "#/$defs/Expr"}, "op": {"const": "mul"}}, "required": ["op", "left"]},
    },
    "type": "object",
    "properties": {"e": {"$ref": "#/$defs/Expr"}},
}


def tool(parameters: Any, name: str = "t") -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def toolset(parameters: Any) -> ToolSet:
    return ToolSet.of([tool(parameters)])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"city": "Paris"}, None),
        ({"city": "Paris", "unit": "celsius", "days": 3}, None),
        ({"city": "Paris", "days": 3.0}, None),
        ({}, "'city' is a required property"),
        ({"city": 5}, "city: it is not of type 'string'"),
        ({"city": "Paris", "unit": "kelvin"}, "unit: it is not one of 'celsius' or 'fahrenheit'"),
        ({"city": "Paris", "days": "3"}, "days: it is not of type 'integer'"),
        ({"city": "Paris", "days": True}, "days: it is not of type 'integer'"),
        ({"city": "Paris", "x": 1}, "Additional properties are not allowed ('x' was unexpected)"),
        ([], "the arguments must be an object"),
        (None, "the arguments must be an object"),
        ("{}", "the arguments must be an object"),
    ],
)
def test_the_first_error_is_a_sentence(arguments: Any, sentence: str | None) -> None:
    """`errors` gives None for a valid call, else one short sentence that names the place."""
    assert toolset(WEATHER).errors("t", arguments) == sentence


def test_a_name_not_offered_is_an_error() -> None:
    """A call of an unknown tool is wrong with any arguments; its name cannot break a log line."""
    assert toolset(WEATHER).errors("rm\n::error::", {}) == "no tool rm\\u000a::error:: was offered"
    with pytest.raises(KeyError):
        toolset(WEATHER).validator("rm")


@given(st.dictionaries(st.text(max_size=400), st.text(max_size=400), max_size=4))
@settings(deadline=None)
def test_a_sentence_is_short_and_printable(arguments: dict[str, Any]) -> None:
    """Hostile keys and values never make the sentence long or put a control character into it."""
    sentence = toolset(WEATHER).errors("t", {"city": 5, **arguments}) or toolset(WEATHER).errors("t", {}) or ""
    assert 0 < len(sentence) <= MAX_SENTENCE
    assert sentence.isprintable()


@given(st.text())
@settings(deadline=None)
def test_printable_is_bounded(text: str) -> None:
    """`printable` gives one printable line of at most the limit."""
    shown = printable(text, 40)
    assert len(shown) <= 40
    assert shown.isprintable()


@pytest.mark.parametrize("missing", [{"name": "now"}, {"name": "now", "parameters": None}])
def test_missing_parameters_are_an_empty_object(missing: dict[str, Any]) -> None:
    """A tool without parameters takes `{}` and has neither required keys nor properties."""
    tools = ToolSet.of([{"type": "function", "function": missing}])
    assert tools.names == ("now",)
    assert tools.errors("now", {}) is None
    assert tools.zero_argument_ok("now")
    assert (tools.required("now"), tools.properties("now")) == ((), {})


def test_required_and_properties_are_read_through_a_root_reference() -> None:
    """Generators write recursive models as a root `$ref`; the keys are those of its target."""
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}, "required": ["next"]}
    tools = toolset({"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    assert tools.required("t") == ("next",)
    assert tuple(tools.properties("t")) == ("next",)
    assert not tools.zero_argument_ok("t")
    loop = toolset({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}})
    assert loop.required("t") == ()


@pytest.mark.parametrize(
    ("parameters", "ok"),
    [
        ({}, True),
        ({"type": "object", "properties": {"a": {}}}, True),
        (WEATHER, False),
        ({"type": "object", "minProperties": 1}, False),
        ({"anyOf": [{"required": ["a"]}]}, False),
        ({"type": "nonsense"}, False),
    ],
)
def test_zero_arguments_need_a_schema_that_takes_them(parameters: Any, ok: bool) -> None:
    """`zero_argument_ok` is true exactly if `{}` is valid and no key is required."""
    assert toolset(parameters).zero_argument_ok("t") is ok


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ([], "parameters must be a JSON Schema object"),
        (False, "parameters must be a JSON Schema object"),
        ({"type": "objekt"}, "not a JSON Schema: at type"),
        ({"properties": {"a": {"required": True}}}, "not a JSON Schema: at properties/a/required"),
        ({"$ref": "http://127.0.0.1:9/x"}, "a $ref cannot be resolved offline"),
        ({"$ref": "file:///etc/passwd"}, "a $ref cannot be resolved offline"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "a $ref cannot be resolved offline"),
        ({"properties": {"a": {"pattern": "^(?!x)"}}}, "properties/a/pattern uses look-around or a back-reference"),
        ({"properties": {"a": {"pattern": "(?<=x)y"}}}, "uses look-around"),
        ({"properties": {"a": {"pattern": r"(a)\1"}}}, "a back-reference"),
        ({"patternProperties": {"(?=a)": {}}}, "uses look-around"),
        ({"properties": {"a": {"pattern": "("}}}, "is not a regular expression"),
        ({"properties": {"a": {"pattern": "(a{1000}){1000}"}}}, "is not a regular expression that runs in linear time"),
        ({"properties": {"a": {"const": "\ud800"}}}, "the schema cannot be read"),
        ({"$schema": "http://json-schema.org/draft-03/schema#"}, "is not a draft from 4 to 2020-12"),
        ({"$schema": 7}, "is not a draft from 4 to 2020-12"),
    ],
)
def test_a_schema_of_no_use_is_the_callers_error(parameters: Any, reason: str) -> None:
    """A wrong schema raises ToolSchemaError (class `request`) that names the tool and says what is wrong."""
    tools = toolset(parameters)
    for _ in range(2):  # the second time comes from memory
        with pytest.raises(ToolSchemaError) as caught:
            tools.errors("t", {})
        assert reason in str(caught.value)
        assert str(caught.value).startswith("tool t: ")
        assert (caught.value.tool, caught.value.error_class) == ("t", "request")


def test_one_wrong_schema_leaves_the_other_tools_usable() -> None:
    """Calls of the other tools are judged as usual; `problems` names every unusable tool once."""
    tools = ToolSet.of(
        [
            tool({"type": "objekt"}, "broken"),
            tool(WEATHER, "weather"),
            {"type": "function"},
            {"type": "openrouter:web_search"},
            tool({}, "twice"),
            tool({}, "twice"),
        ]
    )
    assert tools.errors("weather", {"city": "Paris"}) is None
    assert [problem.tool for problem in tools.problems] == ["#2", "broken", "twice"]
    assert tools.names == ("broken", "weather", "twice")
    assert "weather" in tools
    assert "openrouter:web_search" not in tools


@pytest.mark.parametrize("tools", [[{1, 2}], [float], [tool({"x": object()})]])
def test_tools_that_are_not_json_are_refused(tools: Any) -> None:
    """Tools that could not be sent raise ToolSchemaError."""
    with pytest.raises(ToolSchemaError, match="not JSON"):
        ToolSet.of(tools)


@pytest.mark.parametrize(
    ("declared", "tuple_items_checked"),
    [
        (None, False),
        ("https://json-schema.org/draft/2020-12/schema", False),
        ("http://json-schema.org/draft-07/schema#", True),
        ("http://json-schema.org/draft-07/schema", True),
        ("http://json-schema.org/draft-04/schema#", True),
    ],
)
def test_the_declared_draft_decides(declared: str | None, tuple_items_checked: bool) -> None:
    """`$schema` selects the draft (default 2020-12): `additionalItems` is a keyword in draft 7, but not in 2020-12."""
    parameters: dict[str, Any] = {"properties": {"a": {"items": [{"type": "integer"}], "additionalItems": False}}}
    if declared is not None:
        parameters["$schema"] = declared
    tools = toolset(parameters)
    if not tuple_items_checked:  # an array of schemas under `items` is no schema any more
        assert "not a JSON Schema" in str(tools.problems[0])
    else:
        assert tools.errors("t", {"a": [1]}) is None
        assert tools.errors("t", {"a": [1, 2]}) is not None


@pytest.mark.parametrize("declared", [None, "http://json-schema.org/draft-07/schema#"])
def test_format_is_a_comment_in_every_draft(declared: str | None) -> None:
    """No draft makes `format` refuse a call: no provider enforces it, and libraries disagree."""
    parameters: dict[str, Any] = {"properties": {"day": {"type": "string", "format": "date"}}}
    if declared:
        parameters["$schema"] = declared
    assert toolset(parameters).errors("t", {"day": "tomorrow"}) is None


def test_the_same_tools_are_compiled_once() -> None:
    """Equal content gives the same set; later changes of the caller's object have no effect."""
    mine = [tool({"type": "object", "required": ["a"]})]
    first = ToolSet.of(mine)
    assert ToolSet.of(json.loads(json.dumps(mine))) is first
    assert ToolSet.of(first) is first
    assert first.validator("t") is first.validator("t")
    mine[0]["function"]["parameters"]["required"].append("b")
    assert first.required("t") == ("a",)
    assert ToolSet.of(mine).required("t") == ("a", "b")


def test_the_cache_is_bounded() -> None:
    """The least recently used set is removed first; a caller with endless tool sets does not fill the memory."""
    first = ToolSet.of([tool({}, "first")])
    for index in range(CACHED_SETS):
        ToolSet.of([tool({}, f"t{index}")])
    assert ToolSet.of([tool({}, "first")]) is not first


def test_sets_that_differ_by_one_text_share_their_other_tools() -> None:
    """An agent that changes one description does not compile 59 validators anew."""
    common = [tool({**WEATHER, "title": f"shared {index}"}, f"t{index}") for index in range(59)]
    one, other = (ToolSet.of([*common, tool({**WEATHER, "title": text}, "last")]) for text in ("a", "b"))
    assert one is not other
    assert [one.validator(f"t{index}") is other.validator(f"t{index}") for index in range(59)] == [True] * 59
    assert one.validator("last") is not other.validator("last")


def test_the_cache_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few sets of large tools fill it as many sets of small ones do."""
    monkeypatch.setattr(schema_module, "MAX_CACHED_BYTES", 4 << 20)
    for index in range(40):
        ToolSet.of([tool({**WEATHER, "description": f"{index}" * 10_000}, f"t{number}") for number in range(10)])
    kept = {each.key: each.size for one in schema_module._sets.values() for each in one.offered}
    assert 0 < sum(kept.values()) <= 4 << 20


@pytest.mark.parametrize("changed", [True, 1.0, "1", None, [1], {"a": 1}])
def test_a_tool_that_was_changed_in_place_is_another(changed: Any) -> None:
    """Even if Python calls both contents equal, as it does for 1, 1.0 and true."""
    mine = tool({"type": "object", "default": 1})
    first = ToolSet.of([mine])
    mine["function"]["parameters"]["default"] = changed
    second = ToolSet.of([mine])
    assert second is not first
    assert json.dumps(second.tools[0]) == json.dumps(mine)


def test_other_kinds_of_mappings_are_tools() -> None:
    """Their content counts."""
    mine = tool({"type": "object", "required": ["a"]})
    frozen = MappingProxyType({**mine, "function": MappingProxyType(mine["function"])})
    assert ToolSet.of([frozen]).required("t") == ("a",)
    assert ToolSet.of(ToolSet.of([frozen]).tools) is ToolSet.of([frozen])


@pytest.fixture
def web() -> Iterator[tuple[str, list[str]]]:
    """A schema server on this machine, and the requests that it received."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "text",
    [
        '{"$ref": "BASE/root"}',
        '{"properties": {"a": {"$ref": "BASE/deep"}}}',
        '{"$id": "BASE/id", "properties": {"a": {"$ref": "other"}}}',
        '{"$schema": "BASE/meta"}',
        '{"properties": {"a": {"$dynamicRef": "BASE/dynamic"}}}',
    ],
)
def test_no_schema_makes_a_request(web: tuple[str, list[str]], text: str) -> None:
    """A reference to another document is refused and never fetched."""
    base, asked = web
    tools = toolset(json.loads(text.replace("BASE", base)))
    with pytest.raises(ToolSchemaError):
        tools.errors("t", {"a": 1})
    assert asked == []


def _doubling(levels: int) -> dict[str, Any]:
    definitions: dict[str, Any] = {"d0": {"type": "object"}}
    for level in range(1, levels + 1):
        definitions[f"d{level}"] = {"allOf": [{"$ref": f"#/$defs/d{level - 1}"}] * 2}
    return {"$defs": definitions, "$ref": f"#/$defs/d{levels}"}


def _nested(levels: int, key: str = "left") -> dict[str, Any]:
    value: dict[str, Any] = {"op": "div", key: 1}
    for _ in range(levels):
        value = {key: value, "op": "mul"}
    return value


@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 50_000 + "!"}),
        ({"properties": {"a": {"pattern": "^(a|a)*$"}}}, {"a": "a" * 50_000 + "!"}),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [{"k": index % 19_999} for index in range(20_000)]}),
        (EXPRESSION, {"e": _nested(60)}),
        (json.loads(json.dumps(EXPRESSION).replace("anyOf", "oneOf")), {"e": _nested(60)}),
        ({"properties": {"a": {"$ref": "#"}}, "required": ["b"]}, {"a": _nested(100_000, "a")}),
        ({"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}, "type": "object"}, _nested(90, "a")),
    ],
)
def test_no_value_makes_checking_slow_or_crash(parameters: Any, arguments: Any) -> None:
    """Patterns, recursion, depth and size: a hostile value is refused within a second."""
    begin = time.process_time()
    assert toolset(parameters).errors("t", arguments) is not None
    assert time.process_time() - begin < 1


def test_references_that_multiply_are_refused() -> None:
    """A schema that doubles at each of 60 references is the caller's error; at 10 it is used."""
    assert toolset(_doubling(10)).errors("t", {}) is None
    with pytest.raises(ToolSchemaError, match="references multiply"):
        toolset(_doubling(60)).errors("t", {})


def test_a_deeply_nested_schema_is_an_error_not_a_crash() -> None:
    """A schema nested too deeply for the parsers raises ToolSchemaError."""
    schema: dict[str, Any] = {}
    for _ in range(700):
        schema = {"not": schema}
    with pytest.raises(ToolSchemaError):
        toolset(schema).errors("t", {})


@pytest.mark.parametrize("arguments", [{"city": "\ud800"}, {"\ud800": 1, "city": "x"}, {"city": "x", "unit": "\udfff"}])
def test_half_a_surrogate_pair_is_never_valid_by_accident(arguments: Any) -> None:
    """A lone surrogate in a key or in a checked string is an error, not an exception."""
    schema = {**WEATHER, "properties": {**WEATHER["properties"], "city": {"pattern": "."}}}  # type: ignore[dict-item]
    assert toolset(schema).errors("t", arguments) is not None


def test_threads_share_a_set() -> None:
    """Many threads may compile and use one set concurrently."""
    tools = ToolSet.of([tool({**WEATHER, "title": f"{index}"}, f"t{index}") for index in range(20)])
    wrong: list[str] = []

    def use() -> None:
        wrong.extend(name for name in tools.names if tools.errors(name, {"city": "x"}) or not tools.errors(name, {}))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []

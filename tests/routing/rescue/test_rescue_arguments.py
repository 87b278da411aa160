"""Arguments: what parses strictly is never touched, repairs cannot change a meaning, open strings are truncations."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.parsing.literals import LiteralError, read_call, read_literal
from routing.parsing.strict_json import StrictJsonError, loads
from routing.rescue.arguments import Arguments, Refused, judge
from routing.schema import ToolSet


def toolset(parameters: Any) -> ToolSet:
    return ToolSet.of([{"type": "function", "function": {"name": "t", "parameters": parameters}}])


CITY = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "steps": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "array"}}}},
        "tags": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
        "place": {"oneOf": [{"$ref": "#/$defs/p"}, {"type": "integer"}]},
        "any": {},
        "either": {"type": ["string", "array"]},
    },
    "required": ["city"],
    "$defs": {"p": {"type": "object", "required": ["lat"]}},
}
TOOLS = toolset(CITY)
NOTHING = toolset({"type": "object", "properties": {}})


@pytest.mark.parametrize(
    ("given_arguments", "value", "note"),
    [
        # right as they come
        ('{"city": "Paris"}', {"city": "Paris"}, ""),
        (' {"city": "a", "any": [1e5, null]}\n', {"city": "a", "any": [1e5, None]}, ""),
        ('{"city": "{\\"not\\": \\"decoded\\"}"}', {"city": '{"not": "decoded"}'}, ""),
        ('{"city": "a", "either": "[1]"}', {"city": "a", "either": "[1]"}, ""),
        ('{"city": "a", "any": "[1]"}', {"city": "a", "any": "[1]"}, ""),
        # the wrong JSON type around them
        ({"city": "Paris"}, {"city": "Paris"}, "object_arguments"),
        ('"{\\"city\\": \\"Paris\\"}"', {"city": "Paris"}, "double_encoding"),
        # containers encoded once more, where the schema takes no string
        ('{"city": "a", "steps": "[]"}', {"city": "a", "steps": []}, "nested_encoding"),
        ('{"city": "a", "steps": "[{\\"x\\": \\"[1]\\"}]"}', {"city": "a", "steps": [{"x": [1]}]}, "nested_encoding"),
        ('{"city": "a", "tags": "[\\"b\\"]"}', {"city": "a", "tags": ["b"]}, "nested_encoding"),
        ('{"city": "a", "place": "{\\"lat\\": 1}"}', {"city": "a", "place": {"lat": 1}}, "nested_encoding"),
        # around the object
        ('{}{"city": "Paris"}', {"city": "Paris"}, "placeholder"),
        ('.functions.read:0 {"city": "Paris"}x', {"city": "Paris"}, "junk"),
        ('{"city": "Paris"}}', {"city": "Paris"}, "junk"),
        ('```json\n{"city": "Paris"}\n```', {"city": "Paris"}, "fenced_arguments"),
        # inside it
        ('{"city": "Paris",}', {"city": "Paris"}, "trailing_comma"),
        ('{"city": "a,}",}', {"city": "a,}"}, "trailing_comma"),
        ('{"city": "two\nlines"}', {"city": "two\nlines"}, "control_characters"),
        ("{\u201ccity\u201d: \u201cParis\u201d}", {"city": "Paris"}, "smart_quotes"),
        ("{'city': 'Paris', 'any': [True, None,]}", {"city": "Paris", "any": [True, None]}, "literal"),
        ("{city: 'it\\'s', \"days\": 3}", {"city": "it's", "days": 3}, "literal"),
    ],
)
def test_these_arguments_are_read(given_arguments: Any, value: Any, note: str) -> None:
    """Each has one meaning; `note` says what was mended, `raw` parses strictly to the value."""
    before = copy.deepcopy(given_arguments)
    judged = judge(TOOLS, "t", given_arguments)
    assert isinstance(judged, Arguments), judged
    assert (judged.value, judged.note) == (value, note)
    assert loads(judged.raw) == value
    assert given_arguments == before
    assert note or judged.raw == given_arguments


@pytest.mark.parametrize(
    ("given_arguments", "reason"),
    [
        # truncated, or anybody's guess
        ('{"city": "Bei', "arguments_not_json"),
        ('{"city": "Paris"', "arguments_not_json"),
        ('{"city": "Paris", ', "arguments_not_json"),
        ('{"city": "a", "days": 1', "arguments_not_json"),
        ('{"city": "Paris\\', "arguments_not_json"),
        ('{"city": "a"} {"city": "b"}', "arguments_not_json"),
        ('{"city": "a"}{}', "arguments_not_json"),
        ('{"city": "a", "city": "b"}', "arguments_not_json"),
        ("{'city': 'a', 'city': 'b'}", "arguments_not_json"),
        ('{"city": NaN}', "arguments_not_json"),
        ('{"city": 1e999}', "arguments_not_json"),
        ('{"city": "\\ud800"}', "arguments_not_json"),
        ('{"city": "C:\\Users\\kar"}', "arguments_not_json"),
        ("{'city': 'C:\\Users\\kar'}", "arguments_not_json"),
        ('{"city": "he said "hi""}', "arguments_not_json"),
        ("{city: Paris}", "arguments_not_json"),
        ("{'city': 'it's'}", "arguments_not_json"),
        ('{"city": "a" /* why */}', "arguments_not_json"),
        ('{"city": "a\x00b"}', "arguments_not_json"),
        ("{invalid json here}", "arguments_not_json"),
        ('do not run this: {"city": "Paris"}', "arguments_not_json"),
        ('{"city": "Paris"} and more', "arguments_not_json"),
        # both kinds of quotes: a content could become a key
        ('{"city": "safe", "any":\u201cA \u201d, \u201ccity\u201d: \u201cB\u201d\u201d}', "arguments_not_json"),
        ("{\u201ccity\u201d: \u201ca\u201d, \u201ccity\u201d: \u201cb\u201d}", "arguments_not_json"),
        ("{\u201ccity\u201d: \u201ca\u201d, \u201cunknown\u201d: \u201cb\u201d}", "arguments_not_json"),
        ({"city": float("nan")}, "arguments_not_json"),
        ({"city": "\ud800"}, "arguments_not_json"),
        ('"not an object"', "arguments_not_json"),
        ('"\\"{}\\""', "arguments_not_object"),
        # no object
        ("[1]", "arguments_not_object"),
        ("42", "arguments_not_object"),
        ("true", "arguments_not_object"),
        ("null", "arguments_not_object"),
        ("", "arguments_not_object"),
        (" \n", "arguments_not_object"),
        ('""', "arguments_not_object"),
        (None, "arguments_not_object"),
        ([], "arguments_not_object"),
        (5, "arguments_not_object"),
        # not the tool's
        ("{}", "arguments_break_schema"),
        ('{"city": 5}', "arguments_break_schema"),
        ('{"city": "a", "days": "3"}', "arguments_break_schema"),
        ('{"city": "a", "days": "true"}', "arguments_break_schema"),
        ('{"city": "a", "steps": "{oops}"}', "arguments_break_schema"),
        ('{"city": "a", "steps": "42"}', "arguments_break_schema"),
        ('{"city": "a", "place": "{}"}', "arguments_break_schema"),
        ('{"city": ["a"]}', "arguments_break_schema"),
    ],
)
def test_these_arguments_are_refused(given_arguments: Any, reason: str) -> None:
    """Truncated, ambiguous, of another type or against the schema: a reason, never a guess."""
    judged = judge(TOOLS, "t", given_arguments)
    assert isinstance(judged, Refused), judged
    assert judged.reason == reason
    assert judged.detail


@pytest.mark.parametrize("nothing", ["", " ", None, "null", '""', '" "'])
def test_nothing_is_an_empty_object_where_the_tool_takes_one(nothing: Any) -> None:
    """Empty arguments of a tool without required keys are `{}`."""
    judged = judge(NOTHING, "t", nothing)
    assert isinstance(judged, Arguments)
    assert (judged.value, judged.raw, judged.note) == ({}, "{}", "empty_arguments")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"city": "Paris"', {"city": "Paris"}),
        ('{"city": "Paris", "any": {"b": ["c"', {"city": "Paris", "any": {"b": ["c"]}}),
        ('{"city": "Paris", "any": [{}', {"city": "Paris", "any": [{}]}),
        ('{"city": "Par', None),
        ('{"city": "Paris", ', None),
        ('{"city": "Paris", "days"', None),
        ('{"city": "a", "days": 1', None),
        ('{"city": "Paris"]', None),
    ],
)
def test_brackets_are_closed_only_behind_an_end_mark(text: str, value: Any) -> None:
    """With the call's own end mark open brackets are closed, if the last value cannot have been cut."""
    judged = judge(TOOLS, "t", text, ended=True)
    assert (judged.value if isinstance(judged, Arguments) else None) == value
    assert isinstance(judge(TOOLS, "t", text), Refused)


def test_words_are_read_by_the_schema() -> None:
    """Where every value was written as bare text, the schema says which are numbers; strings stay strings."""
    words = json.dumps({"city": "5", "days": "3", "tags": '["b"]', "either": "[1]"})
    judged = judge(TOOLS, "t", words, words=True)
    assert isinstance(judged, Arguments)
    assert judged.value == {"city": "5", "days": 3, "tags": ["b"], "either": "[1]"}
    assert isinstance(judge(TOOLS, "t", json.dumps({"city": "a", "days": "many"}), words=True), Refused)


def test_a_tool_without_a_usable_schema_takes_no_call() -> None:
    """Nobody can say whether the arguments are right: the reason is the caller's schema, not the model."""
    judged = judge(toolset({"type": "nonsense"}), "t", "{}")
    assert isinstance(judged, Refused)
    assert judged.reason == "tool_schema"


def test_a_recursive_schema_refuses_without_exploding() -> None:
    """The library's error objects take exponential time there; the verdict alone is asked for."""
    node = {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}
    kind = {"type": "object", "properties": {"left": {"$ref": "#/$defs/n"}}, "required": ["left", "op"]}
    tools = toolset({"$defs": {"n": node, "a": kind, "b": kind}, "properties": {"e": {"$ref": "#/$defs/n"}}})
    value: Any = 1
    for _ in range(60):
        value = {"left": value, "op": 1}
    assert not tools.explainable("t")
    refused = judge(tools, "t", json.dumps({"e": value}))
    assert refused == Refused("arguments_break_schema", "the arguments break the tool's schema")


_STRICT = st.dictionaries(
    st.text(max_size=6) | st.sampled_from(["city", "days", "steps"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@given(_STRICT, st.booleans())
@settings(deadline=None)
def test_what_parses_strictly_and_fits_is_never_touched(value: dict[str, Any], ascii_only: bool) -> None:
    """A repairer that changes right arguments is worse than none."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    judged = judge(toolset({}), "t", text)
    assert judged == Arguments(value, text)


def leaves(value: Any) -> set[str]:
    """Every key and scalar in a value."""
    if isinstance(value, dict):
        return {repr(key) for key in value}.union(*map(leaves, value.values()))
    return set().union(*map(leaves, value)) if isinstance(value, list) else {repr(value)}


@given(_STRICT, st.data())
@settings(deadline=None)
def test_a_truncated_object_is_never_read_as_another(value: dict[str, Any], data: st.DataObject) -> None:
    """Every proper prefix is refused; behind an end mark it may lack members, but no key or scalar is ever a new one."""
    text = json.dumps(value)
    cut = text[: data.draw(st.integers(1, len(text) - 1))]
    assert isinstance(judge(toolset({}), "t", cut), Refused)
    ended = judge(toolset({}), "t", cut, ended=True)
    assert isinstance(ended, Refused) or leaves(ended.value) <= leaves(value)


@given(st.text(alphabet="{}[]\"',:\\ab1.eE+-nulltrue \n\u201c\u201d`", max_size=40))
@settings(deadline=None)
def test_no_text_raises(text: str) -> None:
    """Whatever stands where arguments belong, the answer is arguments or a reason; arguments satisfy the schema."""
    for ended in (False, True):
        judged = judge(TOOLS, "t", text, ended=ended)
        if isinstance(judged, Arguments):
            assert TOOLS.errors("t", judged.value) is None
            assert loads(judged.raw) == judged.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("()", {}),
        ('({"a": 1})', {"a": 1}),
        ("({'a': [1, 'b',],},)", {"a": [1, "b"]}),
        (
            "(a=1, b='x\\n', c=None, d=[True], e={'f': 2.5})",
            {"a": 1, "b": "x\n", "c": None, "d": [True], "e": {"f": 2.5}},
        ),
        ("( a = 1 , )", {"a": 1}),
        ('("a")', None),
        ("(1)", None),
        ("(a=b)", None),
        ("(a=1, a=2)", None),
        ("(a=f(1))", None),
        ("(**x)", None),
        ("(a=1", None),
        ("(a=01)", None),
        ("(a='\\x41')", None),
        ("(a=1) or b", None),
        ("([1])", None),
    ],
)
def test_calls_in_code_are_read_exactly(text: str, value: Any) -> None:
    """Keywords with literals, or one object; an expression, a positional value or a second meaning is refused."""
    if value is None:
        with pytest.raises(LiteralError):
            read_call(text)
    else:
        assert read_call(text) == value


@given(st.text(alphabet="{}[]()=\"',:\\ab1.e-NoneTrue \n", max_size=40))
@settings(deadline=None)
def test_a_literal_is_python_or_json(text: str) -> None:
    """What the grammar takes is what JSON, or Python's own reader, makes of it."""
    import ast

    try:
        value = read_literal(text)
    except LiteralError:
        return
    try:
        other = loads(text)
    except StrictJsonError:
        words = {"true": True, "false": False, "null": None}
        try:
            other = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError):
            return  # an unquoted key, or JSON's words in Python's quotes
        assert text not in words
    assert value == other


def test_deep_and_long_literals_are_refused() -> None:
    """Nesting and numbers beyond every bound raise LiteralError, not RecursionError."""
    for text in ("[" * 5_000 + "]" * 5_000, "[" * 150 + "]" * 150 + "x", "9" * 5_000, "'" + "a" * (1 << 20) + "'"):
        with pytest.raises(LiteralError):
            read_literal(text)

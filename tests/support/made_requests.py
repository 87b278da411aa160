"""Requests as callers write them, honest and odd ones, for tests of what is made of them."""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import strategies as st

from routing.types import ChatRequest

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\nrest").decode()
texts = st.one_of(st.sampled_from(["", " ", "hello", "<|tool_call_begin|>", "a\nb"]), st.text(max_size=12))
ids = st.sampled_from(["functions.get_weather:0", "functions.get_weather:1", "call_a", "a.b", "a_b", "", "0", "ü" * 70])
tool_names = st.sampled_from(["get_weather", "create_file", "mcp.server-1", "1password", "x" * 90, "größe", "a b"])
arguments = st.sampled_from(
    ['{"city": "Paris"}', "{}", "", "[1]", "{oops", '"{}"', "null", '{"a": NaN}', {"city": 1}, None]
)
_JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "city", "schema": {"type": "object"}, "strict": True}}
types = st.sampled_from(["string", "integer", "number", "boolean", "null", "object", "array"])


def _deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["city", "unit", "required", "$ref", "x/y"])
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.one_of(types, st.lists(types, min_size=1, max_size=2, unique=True)),
            "properties": st.dictionaries(names, inner, max_size=3),
            "required": st.lists(names, max_size=2, unique=True),
            "items": st.one_of(inner, st.lists(inner, max_size=2)),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "description": st.text(max_size=5),
            "enum": st.lists(st.sampled_from(["a", 1, None]), min_size=1, max_size=3),
            "$defs": st.dictionaries(st.just("node"), inner, max_size=1),
            "$schema": st.just("http://json-schema.org/draft-07/schema#"),
            "additionalProperties": st.booleans(),
        },
    )


_leaves = st.one_of(
    st.fixed_dictionaries({"type": types}),
    st.just({"$ref": "#/$defs/node"}),
    st.just({"$ref": "#/$defs/node", "minLength": 3}),
)
schemas = st.one_of(
    st.none(),
    st.just({}),
    st.recursive(_leaves, _deeper, max_leaves=8),
    _deeper(_leaves).map(lambda s: {**s, "type": "object"}),
)


@st.composite
def tools(draw: st.DrawFn) -> list[Any]:
    """Up to three tools of different names."""
    names = draw(st.lists(tool_names, max_size=3, unique=True))
    made = []
    for name in names:
        function: dict[str, Any] = {"name": name}
        if draw(st.booleans()):
            function["description"] = draw(texts)
        if (schema := draw(schemas)) is not None:
            function["parameters"] = schema
        if draw(st.booleans()):
            function["strict"] = draw(st.booleans())
        made.append({"type": "function", "function": function})
    return made


_parts = st.one_of(
    texts.map(lambda text: {"type": "text", "text": text}),
    texts.map(lambda text: {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}),
    texts,
)
_images = st.sampled_from(
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "high"}},
        {"type": "image_url", "image_url": f"data:image/jpg;base64,{PNG}"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "nonsense"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    ]
)


def contents(*, images: bool) -> st.SearchStrategy[Any]:
    """What stands in `content`."""
    parts = st.one_of(_parts, _images) if images else _parts
    return st.one_of(texts, st.none(), st.lists(parts, max_size=3))


_calls = st.lists(
    st.fixed_dictionaries(
        {
            "id": ids,
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": tool_names, "arguments": arguments}),
        },
        optional={"index": st.integers(0, 2)},
    ),
    min_size=1,
    max_size=3,
)


def messages(*, images: bool) -> st.SearchStrategy[list[Any]]:
    """Conversations in any order of roles, results lost, doubled and out of place."""
    content = contents(images=images)
    told = st.fixed_dictionaries({"role": st.sampled_from(["system", "developer"]), "content": content})
    asked = st.fixed_dictionaries({"role": st.just("user"), "content": content}, optional={"name": st.just("bob")})
    said = st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": content},
        optional={
            "tool_calls": _calls,
            "reasoning": texts,
            "reasoning_content": texts,
            "reasoning_details": st.just([{"type": "reasoning.text", "text": "hm"}]),
            "refusal": st.none(),
            "annotations": st.just([]),
            "audio": st.none(),
        },
    )
    result = st.fixed_dictionaries(
        {"role": st.just("tool"), "content": content}, optional={"tool_call_id": ids, "name": tool_names}
    )
    return st.lists(st.one_of(told, asked, said, said, result, result), min_size=1, max_size=9)


@st.composite
def requests(draw: st.DrawFn, *, images: bool) -> ChatRequest:
    """A whole request."""
    offered = draw(tools())
    named = [{"type": "function", "function": {"name": tool["function"]["name"]}} for tool in offered]
    choices: list[Any] = [None, "auto", "none", "required", *named]
    return ChatRequest(
        messages=draw(messages(images=images)),
        tools=offered,
        tool_choice=draw(st.sampled_from(choices)),
        parallel_tool_calls=draw(st.sampled_from([None, True, False])),
        max_tokens=draw(st.sampled_from([None, 1, 4096])),
        temperature=draw(st.sampled_from([None, 0.0, 1.0, 1.5])),
        stream=draw(st.booleans()),
        top_p=draw(st.sampled_from([None, 0.9])),
        stop=draw(st.sampled_from([None, "\n", "END", ["a", " "]])),
        reasoning_effort=draw(st.sampled_from([None, "none", "low", "medium", "high", "max"])),
        response_format=draw(st.sampled_from([None, {"type": "text"}, {"type": "json_object"}, _JSON_SCHEMA])),
        seed=draw(st.sampled_from([None, 0, 7])),
    )

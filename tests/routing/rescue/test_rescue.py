"""Rescue by dialect: the forms that leak, what makes them calls, and what refuses them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rescue_fragments import TOOLS, k2, k2_section, k3

from routing.reasons import REASONS
from routing.rescue import Dropped, Rescue, rescue
from routing.schema import ToolSchemaError, ToolSet
from routing.types import RawToolCall

PARIS = '{"city": "Paris"}'
ENVELOPE = f'{{"name": "get_weather", "arguments": {PARIS}}}'
SPACE = "antml" + ":"


def calls(found: Rescue) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, call.arguments) for call in found.tool_calls]


def paris(found: Rescue) -> bool:
    return calls(found) == [("get_weather", {"city": "Paris"})] and found.outcome == "rescued" and not found.dropped


def reasons(found: Rescue) -> list[str]:
    return [drop.reason for drop in found.dropped]


def begun(header: str, arguments: str = PARIS) -> str:
    return f"<|tool_call_begin|>{header}<|tool_call_argument_begin|>{arguments}"


ARGUMENT = '<|open|>argument key="city"<|sep|>Paris<|close|>argument<|sep|>'
K2_FORMS = [
    k2_section(k2("get_weather", PARIS)),
    f"<|tool_call_section_begin|>{k2('get_weather', PARIS)}<|tool_call_section_end|>",
    k2("get_weather", PARIS),
    k2("get_weather", PARIS, "17"),
    begun("get_weather:0") + "<|tool_call_end|>",
    begun("functions.get_weather") + "<|tool_call_end|>",
    begun("functions.functions.get_weather:0") + "<|tool_call_end|>",
    begun("functions.get_weather:0"),
    begun("functions.get_weather:0") + "<|tool_calls_section_end|>",
    f"<|tool_call_begin|>functions.get_weather:0\n```json\n{PARIS}\n```\n<|tool_call_end|>",
    f"<|tool_call_begin|>functions.get_weather:0 {PARIS}<|tool_call_end|>",
    f"<|tool_calls_section_begin|>{k2('get_weather', PARIS)}<|im_end|>",
    begun("functions.get_weather:0") + "<|tool_call_argument_end|><|tool_call_end|>",
    begun("functions_get_weather_2") + "<|tool_call_end|>",
]
K3_FORMS = [
    k3("get_weather", city="Paris"),
    f'<|open|>call tool="get_weather" index="1"<|sep|>{ARGUMENT}<|close|>call<|sep|>',
    (
        f'<|open|>tools<|sep|>\n<|open|>call tool="get_weather" index="1"<|sep|>\n  {ARGUMENT}\n<|close|>call<|sep|>\n'
        "<|close|>tools<|sep|><|close|>message<|sep|>"
    ),
    (
        f'<|open|>tools<|sep|><|open|>call tool="get_weather"<|sep|><|open|>json type="object"<|sep|>{PARIS}'
        "<|close|>json<|sep|><|close|>call<|sep|><|close|>tools<|sep|>"
    ),
]
JSON_FORMS = [
    ENVELOPE,
    f"\n  {ENVELOPE}\n",
    f"I'll check.\n{ENVELOPE}",
    f'{{"name": "get_weather", "parameters": {PARIS}}}',
    f'{{"tool": "get_weather", "args": {PARIS}}}',
    f'{{"tool_name": "get_weather", "tool_input": {PARIS}}}',
    f'{{"action": "get_weather", "action_input": {PARIS}}}',
    f'{{"type": "function", "function": {{"name": "get_weather", "arguments": {PARIS}}}}}',
    f'{{"type": "tool-call", "toolCallId": "abc", "toolName": "get_weather", "args": {PARIS}}}',
    f'{{"arguments": {PARIS}, "name": "functions.get_weather"}}',
    f'{{"function_call": {{"name": "get_weather", "arguments": {json.dumps(PARIS)}}}}}',
    f'{{"role": "assistant", "content": null, "tool_calls": [{ENVELOPE}]}}',
    f"[{ENVELOPE}]",
    f"[TOOL_CALLS][{ENVELOPE}]",
    f'{{"tool_uses": [{{"recipient_name": "functions.get_weather", "parameters": {PARIS}}}]}}',
    f'{{"calls": [{ENVELOPE}]}}',
]
FENCED_FORMS = [
    f"```json\n{ENVELOPE}\n```",
    f"Let me call the tool:\n\n```\n{ENVELOPE}\n```\n\n",
    f"~~~tool_call\n{ENVELOPE}\n~~~",
    f"````JSON\r\n{ENVELOPE}\r\n````",
    f"```\n[TOOL_CALLS][{ENVELOPE}]\n```",
]
HERMES_FORMS = [
    f"<tool_call>{ENVELOPE}</tool_call>",
    f"Sure!\n<tool_call>\n{ENVELOPE}\n</tool_call>\n",
    f"<tool_calls>[{ENVELOPE}]</tool_calls>",
    f"<tool_calls>\n<tool_call>{ENVELOPE}</tool_call>\n</tool_calls>",
    f"<function_call>{ENVELOPE}</function_call>",
    f"<tool_call>{ENVELOPE}",
]
INVOKE_FORMS = [
    '<invoke name="get_weather"><parameter name="city">Paris</parameter></invoke>',
    '<function_calls><invoke name="get_weather">\n<parameter name="city">\nParis\n</parameter>\n</invoke></function_calls>',
    f'<{SPACE}invoke name="get_weather"><{SPACE}parameter name="city">Paris</{SPACE}parameter></{SPACE}invoke>',
    f'<invoke name="get_weather">{PARIS}</invoke>',
    '<function name="get_weather"><parameter name="city">Paris</parameter></function>',
]
FUNCTION_FORMS = [
    f"<function=get_weather>{PARIS}</function>",
    f"<function=get_weather{PARIS}</function>",
    f"<function=get_weather({PARIS})</function>",
    "<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>",
    "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>",
]
NOTATION_FORMS = [
    f"get_weather({PARIS})",
    "get_weather(city='Paris')",
    'I\'ll check the weather.\nfunctions.get_weather( city = "Paris", )',
    '[get_weather(city="Paris")]',
    "get_weather({'city': 'Paris'})\n",
    "```python\nget_weather(city='Paris')\n```",
]
BARE_FORMS = [
    f"functions.get_weather:0{PARIS}",
    f"I'll look it up. functions.get_weather:0 {PARIS}",
    f"I'll look it up.functions.get_weather:0{PARIS}",
    f"get_weather:0{PARIS}",
    f"Let me look it up and then.get_weather:3{PARIS}",
    f"get_weather:0<|tool_call_argument_begin|>{PARIS}<|tool_call_end|>",
]
FORMS = [
    (text, dialect)
    for dialect, forms in (
        ("k2", K2_FORMS),
        ("k3", K3_FORMS),
        ("json", JSON_FORMS),
        ("fenced_json", FENCED_FORMS),
        ("hermes", HERMES_FORMS),
        ("xml_invoke", INVOKE_FORMS),
        ("function_tag", FUNCTION_FORMS),
        ("call_notation", NOTATION_FORMS),
        ("k2_bare", BARE_FORMS),
    )
    for text in forms
]


@pytest.mark.parametrize(("text", "dialect"), FORMS)
def test_each_form_is_read(text: str, dialect: str) -> None:
    """Every form of the same call gives it, names its dialect, and leaves nothing of itself in the text."""
    found = rescue(text, TOOLS, finish_reason="stop")
    assert paris(found), found
    assert found.dialect == (dialect if "<function=" not in text or dialect != "function_tag" else found.dialect)
    assert not [mark for mark in ("<", "{", "city", "get_weather") if mark in found.text]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        # names
        (k2("delete_file", "{}"), "unknown_tool"),
        (k2("Get_Weather", PARIS), "unknown_tool"),
        (begun("chatcmpl-tool-bde5fae954a11b1b") + "<|tool_call_end|>", "unknown_tool"),
        (begun("call_abc") + "<|tool_call_end|>", "unknown_tool"),
        (begun("functions.:0") + "<|tool_call_end|>", "unknown_tool"),
        (begun("functions.get_weather.0") + "<|tool_call_end|>", "unknown_tool"),
        (begun("functions.get_weather:first") + "<|tool_call_end|>", "unknown_tool"),
        (begun("") + "<|tool_call_end|>", "leaked_call"),
        (begun("no id but words") + "<|tool_call_end|>", "leaked_call"),
        (begun("x" * 5_000) + "<|tool_call_end|>", "unknown_tool"),
        (begun("x" + "\u00e9\u5929" * 500) + "<|tool_call_end|>", "unknown_tool"),
        (k3("get_traffic", city="Paris"), "unknown_tool"),
        ('{"name": "delete_file", "arguments": {"path": "/"}}', "unknown_tool"),
        (f'<invoke name="Bash"><parameter name="command">ls</parameter></invoke>{"" * 2}', "unknown_tool"),
        (f"<function=rm>{PARIS}</function>", "unknown_tool"),
        ("functions.rm:0{}", "unknown_tool"),
        # arguments
        (k2("get_weather", '{"city": "Par'), "arguments_not_json"),
        (k2("get_weather", "{'city': Paris}"), "arguments_not_json"),
        (k2("get_weather", '{"city": "a"}{"city": "b"}'), "arguments_not_json"),
        (k2("get_weather", "[1]"), "arguments_not_object"),
        (k2("get_weather", ""), "arguments_not_object"),
        (k2("get_weather", "{}"), "arguments_break_schema"),
        (k2("get_weather", '{"city": "a", "days": "3"}'), "arguments_break_schema"),
        (k3("get_weather", unit="c"), "arguments_break_schema"),
        ('{"name": "get_weather", "arguments": {"city": 5}}', "arguments_break_schema"),
        ('{"name": "get_weather", "arguments": [1]}', "arguments_not_object"),
        ("get_weather()", "arguments_break_schema"),
        ('<function=get_weather [{"a": "b"}, {"c": "d"}]</function>', "arguments_not_object"),
        # forms that are broken or cut
        ("I'll check. <|tool_calls_section_begin|>", "leaked_call"),
        ("I'll check. <|tool_calls_section_begin|><|tool_call_begin|>functions.get_wea", "leaked_call"),
        ("<|tool_calls_section_begin|>Let me think.<|tool_calls_section_end|>", "leaked_call"),
        ("text<|tool_call_argument_begin|>more", "leaked_call"),
        ('is cold"}<|tool_call_end|>', "leaked_call"),
        (begun("functions.get_weather:0") + "<|tool_call_argument_begin|>{}<|tool_call_end|>", "leaked_call"),
        ("<|open|>tools<|sep|>", "leaked_call"),
        ("All done<|open|>", "leaked_call"),
        ('<|open|>call tool="get_weather" index="1"<|sep|>', "leaked_call"),
        (f'<|open|>call tool="get_weather"<|sep|>{ARGUMENT}', "leaked_call"),
        (f'<|open|>call tool="get_weather"<|sep|>{ARGUMENT}{ARGUMENT}<|close|>call<|sep|>', "leaked_call"),
        (f'<|open|>call tool="get_weather"<|sep|>hello{ARGUMENT}<|close|>call<|sep|>', "leaked_call"),
        (('<|open|>call tool="get_weather"<|sep|><|open|>argument key="city"<|sep|>Par<|sep|>is<|close|>argument<|sep|>'
         "<|close|>call<|sep|>"), "leaked_call"),
        (('<|open|>call tool="get_weather"<|sep|><|open|>argument key="city"<|sep|>Parisargument key="days" type="number"3'
         "<|close|>argument<|sep|><|close|>call<|sep|>"), "leaked_call"),
        (f"{ARGUMENT}<|close|>call<|sep|>", "leaked_call"),
        (f'{{"name": "get_weather", "arguments": {PARIS}', "leaked_call"),
        (f'{{"name": "get_weather", "name": "now", "arguments": {PARIS}}}', "leaked_call"),
        (f'I\'ll do that.\n```json\n{{"name": "get_weather", "arguments": {PARIS}', "leaked_call"),
        ('<tool_call>\n{"name": "get_weather", "argum', "leaked_call"),
        ("<tool_call>get_weather</tool_call>", "leaked_call"),
        ("<function=g", "leaked_call"),
        ('<invoke name="get_weather"><parameter name="city">Paris</parameter>', "leaked_call"),
        ('<invoke name="get_weather"><parameter name="city">Paris<parameter name="unit">c</parameter></invoke>', "leaked_call"),
        ('get_weather({"city": "Par', "leaked_call"),
        ('functions.get_weather:0{"city": "Tok', "leaked_call"),
        ("<exec>ls -la</exec>", "leaked_call"),
        ("I'll check.\n<get_weather>\n<city>Paris</city>\n</get_weather>", "leaked_call"),
        ('ris"}\n</tool_call>', "leaked_call"),
        # arguments without a name
        (PARIS, "leaked_call"),
        (f"I'll call get_weather: {PARIS}", "leaked_call"),
        (f"I'll call it: {ENVELOPE}", "leaked_call"),
    ],
)  # fmt: skip
def test_what_looks_like_a_failed_call_is_suspect(text: str, reason: str) -> None:
    """Not offered, against the schema, broken, cut or nameless: no call, no delivery, and the reason is told."""
    found = rescue(text, TOOLS, finish_reason="stop")
    assert (found.outcome, found.tool_calls) == ("suspect", ())
    assert reasons(found)[0] == reason, found
    assert "<|" not in found.text


@pytest.mark.parametrize(
    "text",
    [
        "2 < 3 and f <| x |> g; a <|b|> c",
        "normal text <",
        "hello<|op",
        "hello<|tool_call_",
        '{"name": "Paris", "country": "France"}',
        '{"name": "Paris", "parameters": {"population": 2}}',
        '{"name": "debate", "arguments": ["pro", "con"]}',
        '{"type": "weather", "name": "get_weather", "arguments": {"city": "Paris"}}',
        '{"name": "get_weather", "description": "Weather", "parameters": {"type": "object", "properties": {}}}',
        '{"name": "now", "parameters": {"type": "object", "properties": {}}}',
        '{"tool_calls": [], "content": "Nothing to do."}',
        '{"role": "user", "content": null, "tool_calls": [{"name": "now", "arguments": {}}]}',
        '[1, 2, {"name": "now", "arguments": {}}]',
        '{"id": 5, "items": [{"a": {}}]}',
        '```json\n{"a": 1}\n```',
        "```python\nprint(get_weather(city='Paris'))\n```",
        "now we are ready (finally)",
        "write (verb): to put down words",
        "now (that is, today) it rains",
        "get_weather(city)",
        "The functions.get_weather:0 id is Kimi's own.",
        "Call `now()` to get the time.",
        "A call of now() gives the time.",
        "Use <tool_call> tags for that.",
        "The <think> tag starts a thought.",
        "Look at functions.",
        "- now()\n- get_weather(city='Paris')\n",
        "<b>bold</b>",
        "Write it as <now></now>",
        "The element is:\n<now></now>",
    ],
)
def test_ordinary_text_is_delivered_as_it_is(text: str) -> None:
    """What only resembles a call is clean text, letter for letter."""
    found = rescue(text, TOOLS, finish_reason="stop", last_user="Tell me about JSON objects.")
    assert (found.outcome, found.text, found.dropped) == ("clean_text", text, ())


TALK = [
    (
        "Kimi emits a tool call as <|tool_calls_section_begin|> then one entry per call and finally "
        "<|tool_calls_section_end|>. Hope that helps!"
    ),
    "The token <|open|>tools<|sep|> opens a section. Nothing follows.",
    "<|tool_call_begin|> marks the start of a call and <|tool_call_argument_begin|> the arguments.",
    "Markers such as <|tool_call_begin|>, <|tool_call_end|> and <|tool_calls_section_end|>, are special tokens.",
    "To call it the model writes <tool_call><function=get_weather> and then the parameters.",
    "A call without arguments is written <tool_call><function=now></tool_call>, like that.",
]


@pytest.mark.parametrize("text", TALK)
def test_a_marker_that_is_a_word_of_a_sentence_is_text(text: str) -> None:
    """No call follows it, but the sentence goes on: delivered letter for letter. Behind a real call it is prose."""
    found = rescue(text, TOOLS, finish_reason="stop")
    assert (found.outcome, found.text) == ("clean_text", text)
    after = rescue(f"{SECTION}\n{text}", TOOLS)
    assert (after.outcome, after.tool_calls) == ("suspect", ())


@pytest.mark.parametrize(
    ("text", "delivered"),
    [
        ("Here. <|tool_calls_section_begin|><|tool_calls_section_end|> And more.", "Here.  And more."),
        ("normal text<|tool_calls_section_end|>", "normal text"),
        ("The answer.<|im_end|>", "The answer."),
        ("<|im_start|>The answer.<|im_end|>\n", "The answer.\n"),
        ("thought <|close|>think<|sep|>after", "after"),
        ("thought <|close|>think\nafter", "\nafter"),
        ("It is so, I think.</think>The answer.", "The answer."),
        ("before <|close|><|sep|>after", "before after"),
        ("before <|sep|>after", "before after"),
        ("<|open|>response<|sep|>Hi there<|close|>response<|sep|><|close|>message<|sep|>", "Hi there"),
        ("done<|end_of_msg|>", "done"),
        ("<think>Hm.</think>The answer.", "The answer."),
        ("\n<think>\nHm, now()?\n</think>\n\nThe answer.", "\n\n\nThe answer."),
        ("<think>One.</think><think>Two.</think>Three.", "Three."),
        ("It is so.\n</think>\nThe answer.", "\nThe answer."),
        ("Four.<|im_end|><|im_user|>user<|im_middle|>And five?<|im_end|>", "Four."),
        ("<|open|>think<|sep|>Hm.<|close|>think<|sep|><|open|>response<|sep|>Yes.", "Yes."),
    ],
)
def test_stray_markers_are_stripped(text: str, delivered: str) -> None:
    """Marks of channels, turns and empty sections are left out of the text; a marked thought is never delivered."""
    found = rescue(text, TOOLS, finish_reason="stop")
    assert (found.outcome, found.text) == ("clean_text", delivered)
    assert found.notes == (("markers_stripped",) if "<|" in text or "think" not in text[:9] else ())


def test_each_call_is_judged_alone() -> None:
    """Valid calls are returned in order, invalid ones are dropped and reported beside them."""
    found = rescue(
        k2_section(k2("rm", "{}"), k2("get_weather", PARIS, "1"), k2("get_weather", "{}", "2"), k2("now", "{}", "3")),
        TOOLS,
    )
    assert calls(found) == [("get_weather", {"city": "Paris"}), ("now", {})]
    assert found.outcome == "rescued"
    assert [(drop.name, drop.reason) for drop in found.dropped] == [
        ("functions.rm:0", "unknown_tool"),
        ("get_weather", "arguments_break_schema"),
    ]


def test_an_end_mark_inside_a_string_is_content() -> None:
    """The arguments are read with JSON's rules: markers in a string belong to it."""
    content = "<|tool_call_end|><|tool_call_begin|>functions.now:1<|tool_call_argument_begin|>{}<|tool_call_end|>"
    text = k2_section(k2("write", json.dumps({"path": "a.md", "content": content})))
    assert calls(rescue(text, TOOLS)) == [("write", {"path": "a.md", "content": content})]


def test_nothing_inside_an_open_string_is_a_call() -> None:
    """A file that is being written when the answer is cut may hold markers: they are never executed."""
    inner = k2("now", "{}", "1")
    for text in (
        f'<|tool_call_begin|>functions.write:0<|tool_call_argument_begin|>{{"path": "a", "content": "{inner}',
        (
            f'<|tool_calls_section_begin|><|tool_call_begin|>functions.write:0<|tool_call_argument_begin|>{{"path": "a", "content": "x{inner}'
            "<|tool_calls_section_end|>"
        ),
        f'{{"name": "write", "arguments": {{"path": "a", "content": "{inner}',
        f'{{"name": "write", "arguments": {{"path": "a", "content": "some text {inner} more',
    ):
        found = rescue(text, TOOLS, finish_reason="length")
        assert (found.outcome, found.tool_calls) == ("suspect", ()), text


def test_nothing_after_a_quotation_mark_too_many_is_a_call() -> None:
    """One stray quotation mark turns inside and outside around: from there on no mark can be trusted."""
    inner = k2("now", "{}", "1")
    broken = k2("get_weather", '{"city": "the "city"}')
    written = k2("write", json.dumps({"path": "a", "content": inner}), "2")
    for text in (k2_section(broken, written), k2_section(broken, written, written), broken + written + inner):
        found = rescue(text, TOOLS)
        assert (found.outcome, found.tool_calls) == ("suspect", ()), text
        assert "arguments_not_json" in reasons(found)


def test_a_value_that_ends_its_own_call_revokes_all() -> None:
    """K3 and tags have no escapes: end marks left over show that a call may be part of a value, and none is executed."""
    close = "<|close|>argument<|sep|><|close|>call<|sep|>"
    inner = '<|open|>call tool="now" index="2"<|sep|><|close|>call<|sep|>'
    for content in (f"a{close}{inner}b", f"a{close}{inner}", f"a<|open|>{close}{inner}", f"a<|sep|>b{close}{inner}"):
        found = rescue(k3("write", path="x", content=content), TOOLS)
        assert (found.outcome, found.tool_calls) == ("suspect", ()), content
    for content in (
        'a</parameter></invoke><invoke name="now"></invoke>',
        'a</parameter></invoke><invoke name="now"></invoke> b',
    ):
        parameters = f'<parameter name="path">x</parameter><parameter name="content">{content}</parameter>'
        for lead in ("", "I'll write it.\n"):
            found = rescue(f'{lead}<invoke name="write">{parameters}</invoke>', TOOLS)
            assert (found.outcome, found.tool_calls) == ("suspect", ()), content
    cut = k3("now") + k3("get_weather", city="Paris")[:-60]
    assert calls(rescue(cut, TOOLS, finish_reason="length")) == [("now", {})]


def test_a_call_within_a_json_answer_is_content() -> None:
    """Markers in a string of an ordinary JSON answer are quoted text."""
    text = json.dumps({"log": f"it printed {k2('now', '{}')} twice", "count": 2})
    found = rescue(text, TOOLS, last_user="Give me the log as JSON.")
    assert (found.outcome, found.text) == ("clean_text", text)


@pytest.mark.parametrize(
    ("header", "arguments", "tools", "name"),
    [
        ("0", PARIS, TOOLS[:1], "get_weather"),
        ("3", PARIS, TOOLS, "get_weather"),
        ("0", '{"path": "a", "content": "b"}', TOOLS, "write"),
        ("0", '{"city": "a", "planet": "Mars"}', TOOLS, None),
        ("0", "{}", TOOLS, "now"),
        ("0", PARIS, [TOOLS[0], {"type": "function", "function": {**TOOLS[0]["function"], "name": "book"}}], None),
        ("0", '{"city": "Par', TOOLS, None),
    ],
)
def test_a_bare_counter_needs_arguments_that_fit_one_tool(
    header: str, arguments: str, tools: Any, name: str | None
) -> None:
    """A number for an id: the only tool, or the only one that knows every key and has its required keys."""
    found = rescue(begun(header, arguments) + "<|tool_call_end|>", tools)
    assert [call.name for call in found.tool_calls] == ([name] if name else [])
    assert found.outcome == ("rescued" if name else "suspect")


def test_given_ids_are_kept_and_missing_ones_invented() -> None:
    """An id is kept if it is one and free, else Kimi's own form is made; two calls never share one."""
    text = k2_section(k2("now", "{}", "5"), k2("now", "{}", "5"), k2("now", "{}", "6"))
    assert [call.id for call in rescue(text, TOOLS).tool_calls] == [
        "functions.now:5",
        "functions.now:1",
        "functions.now:6",
    ]
    raw = [
        {"id": identifier, "function": {"name": "now", "arguments": "{}"}}
        for identifier in ("call_1", "call_1", None, "", "with space", "nul\x00", "x" * 300, 7)
    ]
    ids = [call.id for call in rescue("", TOOLS, raw_tool_calls=raw).tool_calls]
    assert ids[0] == "call_1"
    assert len(set(ids)) == len(raw)
    assert all(identifier.startswith("functions.now:") for identifier in ids[1:])
    assert [call.id for call in rescue(ENVELOPE[:-1] + ', "id": "call_9"}', TOOLS).tool_calls] == ["call_9"]


def test_a_call_in_both_places_is_returned_once() -> None:
    """Structured and in the text: once; the same twice in one place is twice; another one in Kimi's markers is added."""
    raw = [RawToolCall("call_1", "get_weather", PARIS)]
    once = rescue(k2_section(k2("get_weather", '{ "city":"Paris" }')), TOOLS, raw_tool_calls=raw)
    assert [(call.id, call.name) for call in once.tool_calls] == [("call_1", "get_weather")]
    assert (once.text, once.dialect) == ("", "structured")
    echoed = rescue(f"I'll look.\n```json\n{ENVELOPE}\n```", TOOLS, raw_tool_calls=raw)
    assert paris(echoed)
    assert echoed.text == "I'll look.\n"
    assert len(rescue("", TOOLS, raw_tool_calls=raw * 2).tool_calls) == 2
    added = rescue(k2_section(k2("now", "{}"), k2("get_weather", PARIS)), TOOLS, raw_tool_calls=raw)
    assert calls(added) == [("get_weather", {"city": "Paris"}), ("now", {})]
    assert len({call.id for call in added.tool_calls}) == 2


def test_written_calls_beside_structured_ones_are_not_believed() -> None:
    """Next to structured calls another one in JSON, tags or code is talk: reported, not executed."""
    raw = [RawToolCall("call_1", "now", "{}")]
    found = rescue(ENVELOPE, TOOLS, raw_tool_calls=raw)
    assert calls(found) == [("now", {})]
    assert reasons(found) == ["leaked_call"]


def test_true_is_not_one() -> None:
    """Calls are the same only with the same arguments: `1`, `1.0` and `true` differ."""
    tools = [
        {"type": "function", "function": {"name": "set", "parameters": {"type": "object", "properties": {"v": {}}}}}
    ]
    for one, other in (("1", "true"), ("1", "1.0"), ("0", "false"), ('"1"', "1")):
        raw = [{"id": "a", "function": {"name": "set", "arguments": f'{{"v": {one}}}'}}]
        assert len(rescue(k2("set", f'{{"v": {other}}}'), tools, raw_tool_calls=raw).tool_calls) == 2


SECTION = k2_section(k2("get_weather", PARIS))


@pytest.mark.parametrize(
    ("content", "reasoning", "outcome"),
    [
        ("", f"I will search. {SECTION}", "rescued"),
        (None, f"I will search. {SECTION}\n", "rescued"),
        ("\n", f"So:{k3('get_weather', city='Paris')}", "rescued"),
        ("", f"I will search. {k2('get_weather', PARIS)}</think>", "rescued"),
        (f"<think>I will search. {SECTION}", "", "suspect"),
        (f"<think>I will search. {SECTION}</think>", None, "suspect"),
        ("<think>I will search.", f"I will search. {SECTION}", "rescued"),
        (f"<think>Maybe {k2('now', '{}')}</think>{SECTION}", None, "rescued"),
        ("It is cold.", f"I will search. {SECTION}", "clean_text"),
        (f"<think>I will search. {SECTION}</think>It is cold.", None, "clean_text"),
        ("", f"Maybe search? {SECTION} No, I know this.", "suspect"),
        ("", f'"{SECTION}', "suspect"),
        ("", f"I could call {ENVELOPE}", "suspect"),
        ("", f"<tool_call>{ENVELOPE}</tool_call>", "suspect"),
        ("", f"```\n{SECTION}\n```", "suspect"),
        ("", "I will search now.", "suspect"),
        ("", f"I will search. {SECTION[:-26]}", "rescued"),
        (
            "",
            '<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"ci',
            "suspect",
        ),
    ],
)
def test_a_call_begun_in_a_thought_counts_only_as_its_end(
    content: str | None, reasoning: str | None, outcome: str
) -> None:
    """Kimi's own markers at the end of a thought, with no answer: the call. A thought about a call is none."""
    found = rescue(content, TOOLS, reasoning=reasoning, finish_reason="stop")
    assert found.outcome == outcome, found
    assert calls(found) == ([("get_weather", {"city": "Paris"})] if outcome == "rescued" else [])
    assert "<|" not in found.text


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"function": {"name": "rm", "arguments": "{}"}}, "unknown_tool"),
        ({"function": {"name": "get_weather\x00", "arguments": PARIS}}, "unknown_tool"),
        ({"function": {"name": None, "arguments": PARIS}}, "unknown_tool"),
        ({"function": {"arguments": PARIS}}, "unknown_tool"),
        ({"function": {"name": ["get_weather"], "arguments": PARIS}}, "unknown_tool"),
        ({"function": None}, "unknown_tool"),
        ({}, "unknown_tool"),
        (None, "unknown_tool"),
        ("get_weather", "unknown_tool"),
        (["get_weather"], "unknown_tool"),
        ({"function": {"name": "get_weather", "arguments": "{"}}, "arguments_not_json"),
        ({"function": {"name": "get_weather", "arguments": '{"city": "Paris"'}}, "arguments_not_json"),
        ({"function": {"name": "get_weather", "arguments": 5}}, "arguments_not_object"),
        ({"function": {"name": "get_weather"}}, "arguments_not_object"),
        ({"function": {"name": "get_weather", "arguments": {"city": 5}}}, "arguments_break_schema"),
    ],
)
def test_broken_structured_calls_are_reported(raw: Any, reason: str) -> None:
    """Whatever stands where structured calls belong: a reason, never an exception, never a guess."""
    found = rescue("", TOOLS, raw_tool_calls=[raw], finish_reason="tool_calls")
    assert (found.outcome, found.tool_calls, reasons(found)) == ("suspect", (), [reason])


def test_a_right_structured_call_is_returned_untouched() -> None:
    """Nothing to mend: the same id, name, arguments and text, and no note."""
    found = rescue("Let me look.", TOOLS, raw_tool_calls=[RawToolCall("call_1", "get_weather", PARIS)])
    assert paris(found)
    assert (found.text, found.dialect, found.notes) == ("Let me look.", "structured", ())
    assert (found.tool_calls[0].id, found.tool_calls[0].raw) == ("call_1", PARIS)


def test_a_tool_with_a_wrong_schema_takes_no_call_and_stops_no_other() -> None:
    """The caller's mistake: its calls are dropped with a reason of their own, those of other tools are rescued."""
    tools = [{"type": "function", "function": {"name": "bad", "parameters": {"type": "nonsense"}}}, *TOOLS]
    found = rescue(k2_section(k2("bad", "{}"), k2("now", "{}", "1")), tools)
    assert calls(found) == [("now", {})]
    assert reasons(found) == ["tool_schema"]


def test_tools_that_are_not_json_are_the_callers_error() -> None:
    """Only this raises: no request with such tools could have been sent."""
    with pytest.raises(ToolSchemaError):
        rescue("hi", [object()])  # type: ignore[list-item]


def test_a_tool_set_is_as_good_as_a_list() -> None:
    """A prepared ToolSet gives the same."""
    assert rescue(SECTION, ToolSet.of(TOOLS)) == rescue(SECTION, TOOLS)


def test_names_may_be_odd() -> None:
    """Dots, hyphens, slashes, a prefix of another name, a name that starts with `functions.`: exact match first."""
    names = ["fs.read-all", "functions.Read", "get", "get_weather", "mcp__a__b-c", "\u5929\u6c14", "a(b", "a:1"]
    tools = [{"type": "function", "function": {"name": name}} for name in [*names, "Read"]]
    for name in names:
        for text in (
            k2(name, "{}"),
            k3(name),
            json.dumps({"name": name, "arguments": {}}),
            f"<function={name}>{{}}</function>",
        ):
            found = [call.name for call in rescue(text, tools).tool_calls]
            assert found == [name] or ("(" in name and "=" in text), text
    assert [call.name for call in rescue(k2("Read", "{}"), tools).tool_calls] == ["functions.Read"]
    assert [call.name for call in rescue("Read()", tools).tool_calls] == ["Read"]


def test_values_in_tags_are_text() -> None:
    """Values between tags stay as written, braces, entities and nested tags too; numbers follow the schema."""
    value = 'if (a &amp;&amp; b) { echo <invoke name="x"></invoke> }'
    text = f'<invoke name="write"><parameter name="path">7</parameter><parameter name="content">{value}</parameter></invoke>'
    assert calls(rescue(text, TOOLS)) == [("write", {"path": "7", "content": value})]
    days = (
        '<invoke name="get_weather"><parameter name="city">1</parameter><parameter name="days">3</parameter></invoke>'
    )
    assert calls(rescue(days, TOOLS)) == [("get_weather", {"city": "1", "days": 3})]


def test_values_in_k3_are_typed() -> None:
    """A string is raw, the other types are JSON of that type; a wrong one refuses the call."""

    def typed(key: str, kind: str, value: str) -> str:
        return f'<|open|>argument key="{key}" type="{kind}"<|sep|>{value}<|close|>argument<|sep|>'

    def one(*arguments: str) -> Rescue:
        body = "".join(arguments)
        return rescue(f'<|open|>call tool="get_weather" index="1"<|sep|>{body}<|close|>call<|sep|>', TOOLS)

    raw = ' say &quot;hi&quot; {"a": [1]} '
    assert calls(one(typed("city", "string", raw))) == [("get_weather", {"city": raw})]
    assert calls(one(typed("city", "color", "red"))) == [("get_weather", {"city": "red"})]
    found = one(typed("city", "string", "a"), typed("days", "number", "3"))
    assert calls(found) == [("get_weather", {"city": "a", "days": 3})]
    for kind, value in (
        ("number", "true"),
        ("number", '"3"'),
        ("boolean", "1"),
        ("object", "[]"),
        ("array", "{}"),
        ("null", "0"),
    ):
        refused = one(typed("city", "string", "a"), typed("days", kind, value))
        assert (refused.outcome, refused.tool_calls) == ("suspect", ())
    for kind, value in (("object", "{category:books}"), ("number", "NaN"), ("array", "[1"), ("boolean", "True")):
        assert reasons(one(typed("city", "string", "a"), typed("days", kind, value))) == ["arguments_not_json"]


def test_several_written_calls_at_the_end_are_all_read() -> None:
    """Lines of envelopes, tags after each other, fences after each other, a list in code."""
    rome = ENVELOPE.replace("Paris", "Rome")
    for text in (
        f"{ENVELOPE}\n{rome}",
        f"[{ENVELOPE}, {rome}]",
        f"```json\n{ENVELOPE}\n```\n\n```json\n{rome}\n```",
        f"```json\n[{ENVELOPE}, {rome}]\n```",
        f"<tool_call>{ENVELOPE}</tool_call><tool_call>{rome}</tool_call>",
        f"<tool_call>\n{ENVELOPE}\n{rome}\n</tool_call>",
        "get_weather(city='Paris')\nget_weather(city='Rome')",
        "[get_weather(city='Paris'), get_weather(city='Rome')]",
        f"functions.get_weather:0{PARIS}functions.get_weather:1{PARIS.replace('Paris', 'Rome')}",
    ):
        assert calls(rescue(text, TOOLS)) == [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome"})], (
            text
        )


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (f"I'll check.\n```json\n{ENVELOPE}\n```\nThis call asks for the weather.", "clean_text"),
        (f"{ENVELOPE}\nis what the gateway expects.", "suspect"),
        (f"The gateway is simple.\n{ENVELOPE}\nIt answers at once.", "clean_text"),
        (f"<tool_call>{ENVELOPE}</tool_call>\nThis is how Hermes models call tools.", "suspect"),
        (f"The weather gateway is simple. It is old.\n{ENVELOPE}", "suspect"),
        (f"The gateway is simple. It is old.\n```json\n{ENVELOPE}\n```", "suspect"),
        ("get_weather(city='Paris')\nreturns the weather of a city.", "clean_text"),
        (f"Before <tool_call>{ENVELOPE}</tool_call> after", "clean_text"),
        (f"{SECTION} is what the model writes.", "suspect"),
        (f"The model then wrote {SECTION} and stopped.", "suspect"),
        (f"I should not call any tool. {SECTION} So I did not.", "suspect"),
    ],
)
def test_in_doubt_nothing_is_called(text: str, outcome: str) -> None:
    """A written call with text after it, a marker in the middle of a sentence: never executed."""
    found = rescue(text, TOOLS)
    assert (found.outcome, found.tool_calls) == (outcome, ())


def test_every_reason_is_a_code() -> None:
    """Reasons are codes of `routing.reasons` (or proposed ones), and every dropped call is told in one short line."""
    for text, _ in [*FORMS, (SECTION[:-60], ""), ("<|open|>tools<|sep|>x", ""), ("", "")]:
        for variant in (
            text,
            text.replace("get_weather", "g\x1b[31m\n" * 60),
            text.replace("Paris", "\x00" * 300),
            text[:-9],
        ):
            for drop in rescue(variant, TOOLS).dropped:
                assert isinstance(drop, Dropped)
                assert drop.reason in REASONS
                assert (drop.name + drop.detail).isprintable()
                assert len(drop.name) <= 80


@pytest.mark.parametrize(
    "name", ["now\n", "\tnow", " now", "now ", "now\0", "\x1fnow", "now\x1b[0m", "n\u200bow", "now\u2028"]
)
def test_a_name_with_anything_around_it_is_not_offered(name: str) -> None:
    """A structured name is taken as it is: nobody has seen a host add white space, and control characters are hostile."""
    raw = [RawToolCall("a", name, "{}")]
    for found in (rescue("", TOOLS, raw_tool_calls=raw), rescue(json.dumps({"name": name, "arguments": {}}), TOOLS)):
        assert found.tool_calls == ()
    assert reasons(rescue("", TOOLS, raw_tool_calls=raw)) == ["unknown_tool"]


@pytest.mark.parametrize(
    ("around", "outcome"), [("\n", "rescued"), (" ", "rescued"), ("\x1f", "suspect"), ("\x0b", "suspect")]
)
def test_white_space_lays_native_ids_out(around: str, outcome: str) -> None:
    """Spaces and line ends around an id between markers are normal; other control characters are part of the name."""
    text = begun(f"{around}functions.get_weather:0{around}") + "<|tool_call_end|>"
    assert rescue(text, TOOLS).outcome == outcome

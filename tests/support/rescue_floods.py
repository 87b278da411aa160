"""Floods as in failures.md: nested openers, white space, calls and strings that never end, sentences before calls."""

from __future__ import annotations

NOW = "<|tool_call_begin|>functions.now:0<|tool_call_argument_begin|>{}<|tool_call_end|>"
BEGUN = "<|tool_call_begin|>functions.now:0<|tool_call_argument_begin|>"
PROSE = "the quick brown fox jumps over a lazy dog and " * 9

UNITS = {
    "prose": PROSE, "braces": "{", "brackets": "[", "objects": "a { b ", "quotes": '"', "slashes": "/", "spaces": " ",
    "lines": "\n", "angles": "<", "pipes": "<|", "marks": "<|tool_call", "begins": "<|tool_call_begin|>",
    "opens": "<|open|>", "separators": "<|sep|>", "sections": "<|tool_calls_section_begin|>", "fences": "```\n",
    "ticks": "` <|sep|>", "comments": "<!-- <|sep|>", "thoughts": "<think>", "tags": "<tool_call>",
    "invokes": '<invoke name="now">', "functions": "<function=now>{", "names": "\nget_weather(", "keys": '\n{"name": ',
    "envelopes": '{"name": "now", "arguments": {}}\n', "nested": '\n{"arguments":', "bare": "functions.now:0{",
    "leads": "for example, it would <|sep|> ", "calls": f'{BEGUN}{{"a": "b"}}', "strings": f'{BEGUN}{{"a": "b<|tool_call_end|>',
    "lines before marks": "so:" + "\n" * 200 + '"}<|tool_call_end|>', "k3 calls": '<|open|>call tool="now" index="1"<|sep|>',
    "sentences and calls": PROSE[:380] + NOW, "short sentences and calls": PROSE[:90] + NOW,
    "sentences and tags": PROSE[:380] + "\n<tool_call>x", "sentences and code": PROSE[:380] + "\nnow()\n",
    "announced calls": f"Let me see. {NOW}", "item fences": "- ```\n", "elements": "<pre><|sep|>", "words": "functions.now",
}  # fmt: skip
STARTS = {
    "white space in arguments": (BEGUN + "{", " "),
    "an id without end": ("<|tool_call_begin|>", "a"),
    "quotes in arguments": (BEGUN, '"'),
    "escapes in arguments": (BEGUN + '"', '\\"'),
    "an open string": ('{"name": "', "x"),
    "an attribute list": ("<|open|>call ", 'a="b" '),
    "a parenthesis": ("get_weather(", "("),
    "brackets in JSON": ('{"arguments": [', "[[]],"),
    "an open comment": ("<!-- ", "<|sep|> "),
    "an open fence": ("```\n", '{"name": "now"}\n'),
    "an open thought": ("<think>", "<|tool_call_begin|>"),
    "a long parameter": ('<invoke name="now"><parameter name="a">', "<b>"),
    "a K3 value": ('<|open|>call tool="now"<|sep|><|open|>argument key="a"<|sep|>', "<x "),
}
FLOODS = {name: ("", unit) for name, unit in UNITS.items()} | STARTS


def flood(name: str, size: int) -> str:
    start, unit = FLOODS[name]
    return start + unit * (size // len(unit))

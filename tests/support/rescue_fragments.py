"""Fragments of answers from which generated tests build messages: every mark, every quotation, whole and broken."""

from __future__ import annotations

import random
from typing import Any

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": properties, "required": required},
        },
    }
    for name, properties, required in (
        (
            "get_weather",
            {"city": {"type": "string"}, "unit": {"type": "string"}, "days": {"type": "integer"}},
            ["city"],
        ),
        ("now", {}, []),
        ("write", {"path": {"type": "string"}, "content": {"type": "string"}}, ["path", "content"]),
        ("fs.read-all", {"paths": {"type": "array", "items": {"type": "string"}}}, ["paths"]),
    )
]

MARKS = [
    "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", "<|tool_call_section_begin|>",
    "<|tool_call_section_end|>", "<|tool_call_begin|>", "<|tool_call_end|>", "<|tool_call_argument_begin|>",
    "<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>", "<|im_end|>", "<|im_start|>",
    "<think>", "</think>", "<!--", "-->", "<tool_call>", "</tool_call>", "<tool_calls>", "</tool_calls>",
    "<function_calls>", "</function_calls>", '<invoke name="get_weather">', "</invoke>", "<function=now>", "<function=",
    "</function>", '<parameter name="city">', "<parameter=city>", "</parameter>", "```", "```json\n", "\n```\n", "~~~",
    "````", "`", "``", '"', "'", "\\", "\n", "\n\n", " ", "    ", "\t", "> ", "{", "}", "[", "]", "(", ")", ",", ":",
]  # fmt: skip
WORDS = [
    "functions.get_weather:0", "functions.now:1", "functions.", "get_weather", "now", "write", "0", "fs.read-all:2",
    "tools", "think", "response", "message", 'call tool="get_weather" index="1"', 'call tool="now"',
    'argument key="city" type="string"', 'argument key="days" type="integer"', "argument", "call", "json",
    '{"city": "Paris"}', '{"city": "Par', "{}", '{"city": 5}', '{"path": "a", "content": "<|tool_call_end|>"}',
    '{"name": "get_weather", "arguments": {"city": "Paris"}}', '{"name": "now", "arguments": {}}', '{"name": "Paris"',
    '{"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\"}"}', '[{"name": "now", "arguments": {}}]',
    '{"tool_calls": [{"id": "call_1", "function": {"name": "now", "arguments": "{}"}}]}', '"name": "now"', '{"arguments":',
    'get_weather({"city": "Paris"})', "get_weather(city='Paris')", "now()", "[now(), now()]", "now(", "functions.now()",
    "I'll check the weather. ", "Let me look: ", "For example, ", "Do not call ", "The format is ", "Here is an example:\n",
    "Sure!", "Paris", "\u4f8b\u5982", "\u6211\u6765\u67e5\u4e00\u4e0b\uff1a", "caf\u00e9", "\U0001f600", "\ud800", "x",
    "Done.", "and more", "<", "<|", "<|to", "|>", "functions.now:3{}", 'functions.get_weather:0{"city": "Rome"}',
]  # fmt: skip


def k2(name: str, arguments: str, index: str = "0") -> str:
    """A call as K2 writes it, without a section."""
    return f"<|tool_call_begin|>functions.{name}:{index}<|tool_call_argument_begin|>{arguments}<|tool_call_end|>"


def k2_section(*calls: str) -> str:
    """Calls in a section."""
    return "<|tool_calls_section_begin|>" + "".join(calls) + "<|tool_calls_section_end|>"


def k3(name: str, **arguments: str) -> str:
    """A call with string arguments as K3 writes it."""
    body = "".join(
        f'<|open|>argument key="{key}" type="string"<|sep|>{value}<|close|>argument<|sep|>'
        for key, value in arguments.items()
    )
    call = f'<|open|>call tool="{name}" index="1"<|sep|>{body}<|close|>call<|sep|>'
    return f"<|open|>tools<|sep|>{call}<|close|>tools<|sep|>"


WHOLE = [
    k2_section(k2("get_weather", '{"city": "Paris"}')),
    k2_section(k2("now", "{}"), k2("get_weather", '{"city": "Rome"}', "1")),
    k2("get_weather", '{"city": "Paris"}'),
    k3("get_weather", city="Seoul"),
    k3("now"),
    '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>',
    '<function_calls>\n<invoke name="get_weather">\n<parameter name="city">Paris</parameter>\n</invoke>\n</function_calls>',
    '<function=get_weather>{"city": "Paris"}</function>',
    "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>",
    '```json\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n```',
    "```\nprint(1)\n```",
    "<think>I could call now().</think>",
]


def message(rng: random.Random) -> str:
    """A message of up to 24 fragments."""
    pool = [MARKS, WORDS, WHOLE]
    return "".join(rng.choice(rng.choice(pool)) for _ in range(rng.randint(1, 24)))


def chunks(rng: random.Random, text: str) -> list[str]:
    """The text in pieces: of one size, or at random places."""
    size = rng.choice([1, 2, 3, 5, 17, 0])
    if size:
        return [text[at : at + size] for at in range(0, len(text), size)]
    cuts = sorted(rng.sample(range(len(text) + 1), min(len(text) + 1, rng.randint(1, 4))))
    return [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]

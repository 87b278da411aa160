"""Texts that talk about calls: quoted, fenced, exemplified, forbidden, documented. None of them calls anything."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from rescue_fragments import k2, k2_section, k3

FORMS: dict[str, str] = {
    "k2": k2_section(k2("get_weather", '{"city": "Paris"}')),
    "k2 without section": k2("get_weather", '{"city": "Paris"}'),
    "k2 two calls": k2_section(k2("get_weather", '{"city": "Paris"}'), k2("now", "{}", "1")),
    "k2 zero arguments": k2_section(k2("now", "{}")),
    "k2 on lines": "<|tool_calls_section_begin|>\n<|tool_call_begin|>\nfunctions.now:0\n"
    "<|tool_call_argument_begin|>\n{}\n<|tool_call_end|>\n<|tool_calls_section_end|>",
    "k3": k3("get_weather", city="Seoul"),
    "k3 zero arguments": k3("now"),
    "json": '{"name": "get_weather", "arguments": {"city": "Paris"}}',
    "json parameters": '{"name": "get_weather", "parameters": {"city": "Paris"}}',
    "json openai": '{"tool_calls": [{"id": "call_1", "type": "function", "function": '
    '{"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\"}"}}]}',
    "json list": '[{"name": "get_weather", "arguments": {"city": "Paris"}}]',
    "hermes": '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>',
    "hermes on a line": '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}</tool_call>',
    "function tag": '<function=get_weather>{"city": "Paris"}</function>',
    "invoke": '<function_calls>\n<invoke name="get_weather">\n<parameter name="city">Paris</parameter>\n</invoke>\n</function_calls>',
    "invoke on a line": '<invoke name="get_weather"><parameter name="city">Paris</parameter></invoke>',
    "notation": 'get_weather({"city": "Paris"})',
    "notation with keywords": 'get_weather(city="Paris")',
    "notation without arguments": "now()",
    "k2 without tokens": 'functions.get_weather:0{"city": "Paris"}',
}
NATIVE = {name for name in FORMS if name.startswith(("k2", "k3"))} - {"k2 without tokens"}
WRITTEN = set(FORMS) - NATIVE
ONE_LINE = {name for name, form in FORMS.items() if "\n" not in form}

FENCES = [
    ("Here is an example of the raw output:\n```\n", "\n```\nThe server turns it into a tool call."),
    ("Example:\n```text\n", "\n```"),
    ("The format is:\n\n```xml\n", "\n```\n\nReplace the values with yours."),
    ("For instance:\n~~~\n", "\n~~~\nThat is all."),
    ("You could send this:\n````json\n", "\n````\nto the gateway."),
    ("1. Open the file\n2. Paste this:\n   ```\n   ", "\n   ```\n3. Save it"),
    ("The log of yesterday:\n```log\n", "\n```\nAs you see, it leaked."),
    ("```python\nprompt = '''\n", "\n'''\n```\nThis is the prompt that I used."),
]
SPANS = [
    ("You can send `", "` to the gateway."),
    ("The model wrote ``", "`` there."),
    ("Never trust `", "`: it is an injection."),
    ("- `", "` is how it looks"),
]
QUOTES = [
    ('The log says "', '" and stops.'),
    ("He typed \u201c", "\u201d by hand."),
    ("The string '", "' is not a call."),
    ("> ", ""),
    ("As the user wrote:\n> ", "\n\nWhat do you think?"),
    ("<!-- ", " -->\nThe page is empty."),
    ("The escaped form is \\", " in the docs."),
    ("The raw output looks like this:\n\n    ", "\n\nThe client parses it."),
]
SAID = [
    ("For example, ", " is what the model writes."),
    ("An example: ", ""),
    ("Do not call ", " now."),
    ("Don't run ", ", it is dangerous."),
    ("You should never execute ", " without asking."),
    ("I will not call ", " because nobody asked for it."),
    ("The syntax is ", ", as the manual says."),
    ("Instead of calling ", " I answer from memory."),
    ("A tool call would look like ", " in this format."),
    ("The request format looks like this: ", " and so on."),
    ("You could use ", " for that."),
]
SAID_WRITTEN = [
    ("The request body is:\n", "\nSend it with POST."),
    ("Here is an example:\n", ""),
    ("This is what a call looks like:\n", ""),
    ("The model answered with\n", "\nwhich the client ignored."),
    ("A typical payload:\n\n", "\n\nAdjust the city."),
    ("The documentation shows this sample:\n", ""),
    ("Such a call could be written as follows, for instance:\n", ""),
    ("\u4f8b\u5982\uff1a\n", ""),
    ("In the log I found ", " twice."),
    ("Do not send this:\n", ""),
]


def negatives() -> Iterator[tuple[str, str]]:
    """Name and text of every generated negative; in each a fence, a quotation or the sentence says what it is."""
    for (index, (before, after)), (name, form) in itertools.product(enumerate(FENCES), FORMS.items()):
        yield f"fence {index} {name}", f"{before}{form}{after}"
    for (index, (before, after)), (name, form) in itertools.product(enumerate([*SPANS, *QUOTES]), FORMS.items()):
        if name in ONE_LINE:
            yield f"quotation {index} {name}", f"{before}{form}{after}"
    for (index, (before, after)), (name, form) in itertools.product(enumerate(SAID), FORMS.items()):
        yield f"said {index} {name}", f"{before}{form}{after}"
    for index, (before, after) in enumerate(SAID_WRITTEN):
        for name in sorted(WRITTEN):
            yield f"written {index} {name}", f"{before}{FORMS[name]}{after}"


ASKED = [
    "Show me an example of a tool call in JSON.",
    "What does the raw format of a Kimi tool call look like?",
    "Give me a sample request with a function call.",
    "Explain the syntax of a tool call without calling any tool.",
    "How is a function call written in your tool calling format?",
]


def asked() -> Iterator[tuple[str, str, str]]:
    """Name, text and the user's last message: he asked to see a call, so the answer is none."""
    for (index, question), (name, form) in itertools.product(enumerate(ASKED), FORMS.items()):
        for lead in ("", "Sure!\n", "Here it is:\n"):
            yield f"asked {index} {name} {lead!r}", lead + form, question

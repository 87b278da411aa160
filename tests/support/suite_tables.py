"""What the packaged suite covers: what it must ask for, and the categories of other verifiers, by case.

`python tests/support/suite_tables.py` renews the tables of docs/cases.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_kimiprobe.cases import model as cases
from pytest_kimiprobe.cases.model import Case

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cases.md"
PACKAGED: Mapping[str, Case] = {
    case.name: case for file in sorted(cases.FOLDER.glob("*.yaml")) for case in cases.load(file)
}
EVERY = "every case"


def _written(case: Case) -> str:
    """All that is asked for and offered, as JSON."""
    return json.dumps([list(map(dict, case.messages)), [dict(tool) for tool in case.tools]], ensure_ascii=False)


def _schemas(case: Case) -> str:
    return json.dumps([tool["function"].get("parameters") for tool in case.tools])


def _names(case: Case) -> list[str]:
    return [tool["function"]["name"] for tool in case.tools]


def _results(case: Case) -> list[Any]:
    return [message for message in case.messages if message["role"] == "tool"]


def _calls(case: Case) -> int:
    return len(case.expect.calls or ())


Check = Callable[[Case], bool]
FEATURES: Mapping[str, tuple[Check, tuple[str, ...]]] = {
    "simple call": (lambda c: _calls(c) == 1, ("weather",)),
    "right tool among several": (lambda c: len(c.tools) > 3, ("right-tool-of-several",)),
    "right tool among 50": (lambda c: len(c.tools) >= 50, ("right-tool-of-fifty", "right-tool-of-all")),
    "several calls in one answer": (lambda c: _calls(c) > 1, ("several-tools", "calls-in-the-given-order")),
    "the same tool twice": (
        lambda c: len({call.name for call in c.expect.calls or ()}) == 1 < _calls(c),
        ("several-calls-of-one-tool", "plain-and-stream-alike", "well-formed-deltas"),
    ),
    "no call when none is needed": (
        lambda c: c.expect.calls == () and bool(c.tools),
        ("no-call-when-none-is-needed", "quoted-call-is-no-call"),
    ),
    "refusal to invent a tool": (lambda c: c.expect.calls == (), ("no-invented-tool",)),
    "tool_choice auto": (lambda c: c.tool_choice == "auto", ("choice-auto",)),
    "tool_choice none": (lambda c: c.tool_choice == "none", ("choice-none",)),
    "tool_choice required": (lambda c: c.tool_choice == "required", ("choice-required",)),
    "tool_choice named": (lambda c: isinstance(c.tool_choice, Mapping), ("choice-named", "choice-of-no-tool")),
    "tool without arguments": (
        lambda c: not (c.tools[0]["function"].get("parameters") or {}).get("properties"),
        ("tool-without-parameters", "tool-with-empty-schema"),
    ),
    "optional argument": (lambda c: "$absent" in repr(c.expect), ("optional-argument-left-out",)),
    "nullable argument": (lambda c: '"null"' in _schemas(c), ("nullable-argument",)),
    "enum": (lambda c: '"enum"' in _schemas(c), ("enum-argument",)),
    "nested objects": (lambda c: _schemas(c).count('"properties"') > 1, ("nested-objects", "recursive-schema")),
    "arrays of objects": (lambda c: '"items": {"type": "object"' in _schemas(c), ("array-of-objects",)),
    "anyOf": (lambda c: '"anyOf"' in _schemas(c), ("any-of",)),
    "$defs and $ref": (lambda c: '"$defs"' in _schemas(c), ("defs-and-refs", "recursive-schema")),
    "additionalProperties": (
        lambda c: '"additionalProperties"' in _schemas(c),
        ("no-other-arguments", "free-arguments"),
    ),
    "oneOf": (lambda c: '"oneOf"' in _schemas(c), ("one-of",)),
    "allOf": (lambda c: '"allOf"' in _schemas(c), ("all-of",)),
    "const": (lambda c: '"const"' in _schemas(c), ("const",)),
    "pattern": (lambda c: '"pattern"' in _schemas(c), ("pattern",)),
    "format": (lambda c: '"format"' in _schemas(c), ("format",)),
    "numbers at their limits": (lambda c: "9007199254740991" in _written(c), ("numbers-at-their-limits",)),
    "names with hyphens": (lambda c: "-" in _names(c)[0], ("name-with-hyphens",)),
    "names with dots": (lambda c: "." in _names(c)[0], ("name-with-dots",)),
    "names with digits": (lambda c: any(char.isdigit() for char in _names(c)[0]), ("name-with-digits",)),
    "names of 64 characters": (lambda c: len(_names(c)[0]) == 64, ("name-of-64-characters",)),
    "unicode, CJK, emoji": (lambda c: "世界" in _written(c) and "🎉" in _written(c), ("other-scripts",)),
    "escapes": (lambda c: "\\\\" in _written(c), ("escapes",)),
    "newlines and quotes": (lambda c: "\\n" in _written(c), ("newlines-and-quotes",)),
    "4 KB string arguments": (lambda c: "0123456789abcdef" * 256 in _written(c), ("four-kilobytes",)),
    "long context before the request": (lambda c: len(_written(c)) > 10_000, ("long-context", "very-long-context")),
    "multi-turn with tool results": (lambda c: bool(_results(c)), ("answer-from-a-result", "call-after-a-result")),
    "parallel results": (lambda c: len(_results(c)) > 1, ("answer-from-parallel-results",)),
    "error results": (lambda c: "Error" in str(_results(c)), ("answer-from-an-error",)),
    "ids that must survive": (
        lambda c: bool(_results(c)) or "native" in c.expect.ids,
        ("ids-stay-fresh", "foreign-ids-survive", "native-ids"),
    ),
    "reasoning kept across turns": (lambda c: "reasoning_content" in _written(c), ("reasoning-is-kept",)),
    "stream and plain give the same calls": (lambda c: bool(c.parity), ("plain-and-stream-alike",)),
    "stream deltas well formed": (lambda c: c.expect.well_formed, ("well-formed-deltas",)),
    "finish reason, usage and ids right": (
        lambda c: bool(c.expect.finish_reason and c.expect.usage and c.expect.ids),
        ("finish-usage-and-ids",),
    ),
    "no leaked tokens anywhere": (lambda _: True, (EVERY, "two-tools-one-call", "marker-in-an-argument")),
    "JSON-in-text": (lambda c: c.emulate_tools, ("json-in-text",)),
    "system prompt with conflicting instructions": (
        lambda c: c.messages[0]["role"] == "system",
        ("conflicting-system-prompt",),
    ),
    "prompt injection inside a tool result": (lambda c: bool(c.expect.never), ("injection-in-a-result",)),
    "1-2-tool requests": (lambda c: 1 <= len(c.tools) <= 2, ("weather", "two-tools-one-call")),
    "malformed history": (lambda c: "Error: the arguments" in _written(c), ("malformed-history",)),
    "thinking over several rounds": (
        lambda c: "thinking" in c.need and len(_results(c)) > 1,
        ("thinking-over-two-rounds",),
    ),
    "tools declared in a message": (lambda c: c.dynamic_tools, ("dynamic-tool",)),
    "response_format": (lambda c: "response_format" in c.options, ("structured-answer",)),
    "prompt tokens": (lambda c: c.expect.prompt_tokens is not None, ("prompt-tokens-are-right",)),
    "thinking on": (lambda c: c.expect.reasoning == "present", ("thinking-on",)),
    "thinking off": (lambda c: c.thinking is False, ("thinking-off",)),
    "images": (lambda c: "vision" in c.need, ("picture-in-words", "picture-and-tool")),
}
"""What the suite must ask for, each with a check that a case does ask for it."""

CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "simple call, correct values": ("weather", "text-that-looks-like-a-number"),
    "choose among multiple tools": ("right-tool-of-several", "right-tool-of-fifty"),
    "parallel calls": ("several-tools", "several-calls-of-one-tool"),
    "tool_choice auto / none / required": ("choice-auto", "choice-none", "choice-required"),
    "tool_choice named": ("choice-named",),
    "irrelevance (must not call)": ("no-call-when-none-is-needed", "no-invented-tool"),
    "multi-turn tool result round trip": ("answer-from-a-result", "call-after-a-result"),
    "end-state check": ("end-state",),
    "streaming delta reassembly": (EVERY, "well-formed-deltas"),
    "stream / non-stream parity on one request": ("plain-and-stream-alike", "several-calls-of-one-tool"),
    "id format, uniqueness, round trip": (
        "native-ids",
        "ids-stay-fresh",
        "foreign-ids-survive",
        "finish-usage-and-ids",
    ),
    "finish_reason consistent with payload": (EVERY, "finish-usage-and-ids", "choice-named"),
    "nested / $ref / anyOf / enum / nullable schemas": (
        "nested-objects",
        "defs-and-refs",
        "any-of",
        "enum-argument",
        "nullable-argument",
    ),
    "oneOf, allOf, const, pattern, format": ("one-of", "all-of", "const", "pattern", "format"),
    "unicode and escapes in keys/values": (
        "other-scripts",
        "keys-in-other-scripts",
        "escapes",
        "markup-in-an-argument",
    ),
    "zero-argument tools": ("tool-without-parameters", "tool-with-empty-schema"),
    "many tools (64-128) / long context": ("right-tool-of-all", "long-context", "very-long-context"),
    "strict mode": ("strict-tool",),
    "reasoning_content returned / preserved": ("thinking-on", "reasoning-is-kept"),
    "reasoning-only or empty answers": (EVERY, "no-call-when-none-is-needed", "thinking-over-two-rounds"),
    "leaked special tokens": (EVERY, "two-tools-one-call", "marker-in-an-argument"),
    "duplicate calls": (EVERY, "several-calls-of-one-tool"),
    "hallucinated tool names": (EVERY, "no-invented-tool"),
    "usage accounting": ("finish-usage-and-ids", "max-tokens-are-kept", "prompt-tokens-are-right"),
    "error shapes (400s)": ("choice-of-no-tool",),
    "parameter enforcement": ("max-tokens-are-kept", "choice-of-no-tool", "choice-none"),
    "transport error separated from quality": (EVERY,),
    "truncated stream detected": (EVERY,),
    "repeated-run reliability (pass^k, interval)": (EVERY,),
    "property order / repetition": ("arguments-in-the-schemas-order", "no-loops"),
    "vision + tools": ("picture-and-tool",),
    "tools declared in messages (K3)": ("dynamic-tool",),
    "malformed tool history": ("malformed-history",),
    "response_format": ("structured-answer",),
}
"""The categories of a complete suite that other verifiers assert, and those that none of them does."""


def tables() -> Iterator[tuple[str, str]]:
    """Name and text of each generated part of the page."""
    yield "what it asks for", _table("asks for", {feature: ids for feature, (_, ids) in FEATURES.items()})
    yield "categories", _table("category", CATEGORIES)


def _table(head: str, rows: Mapping[str, tuple[str, ...]]) -> str:
    lines = [f"| {head} | cases |", "|---|---|"]
    for name, ids in rows.items():
        shown = [one if one == EVERY else f"`{one}` ({PACKAGED[one].suite})" for one in ids]
        lines.append(f"| {name} | {', '.join(shown)} |")
    return "\n".join(lines)


def renewed(page: str) -> str:
    """The page with its generated parts as they are now."""
    for name, table in tables():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        head, found, rest = page.partition(start)
        assert found, f"docs/cases.md has no part {name!r}"
        page = f"{head}{start}\n{table}\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), "utf-8")

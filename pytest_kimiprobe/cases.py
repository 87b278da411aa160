"""Cases: one probe described as data. The packaged ones stand in cases/*.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from routing.documents import load_checked
from routing.emulation import emulation
from routing.errors import ConfigError
from routing.schema import ToolSet
from routing.types import ChatRequest, JsonObject, Message, Mode, Tool, ToolChoice

FOLDER = Path(__file__).parent / "cases"
SUITES = ("smoke", "core", "full")
Suite: TypeAlias = Literal["smoke", "core", "full"]
DEFAULT_MAX_TOKENS = 2048
"""Thinking counts too: less cuts models that think before they call."""


class CaseError(ConfigError):
    """A case file is wrong. The message names file, line and column."""


@dataclass(frozen=True, slots=True)
class ExpectedCall:
    """A call of a right answer; `arguments` maps names to values or matchers."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    other_arguments: bool = True


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a right answer is. `calls` None: calls are not looked at."""

    calls: tuple[ExpectedCall, ...] | None = None
    ordered: bool = False
    other_calls: bool = False
    text: Any = None


@dataclass(frozen=True, slots=True)
class Case:
    """One probe described as data: what is asked, what is offered, what a right answer is."""

    name: str
    messages: Sequence[Message]
    expect: Expectation
    tools: Sequence[Tool] = ()
    suite: Suite = "core"
    emulate_tools: bool = False
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int = DEFAULT_MAX_TOKENS
    temperature: float | None = None
    tests: str = ""
    why: str = ""
    seen: str = ""

    @property
    def capability(self) -> str:
        """What an endpoint must be able to do for this case."""
        return "tools:emulated" if self.emulate_tools else "tools"

    def request(self, mode: Mode) -> ChatRequest:
        """The request to send; emulated tools are described in a system message and not offered."""
        messages = [emulation(self.tools), *self.messages] if self.emulate_tools else self.messages
        return ChatRequest(
            messages=messages,
            tools=() if self.emulate_tools else self.tools,
            tool_choice=self.tool_choice,
            parallel_tool_calls=self.parallel_tool_calls,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            stream=mode == "stream",
        )


def load(path: Path) -> list[Case]:
    """All cases of a file, in its order. Raises CaseError naming file, line and column."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CaseError(error.strerror or "unreadable", where=str(path)) from None
    document = load_checked(data, "cases/case.schema.json", where=str(path), error=CaseError, package=__package__)
    shared = document.data.get("tools", {})
    cases: dict[str, Case] = {}
    for number, row in enumerate(document.data["cases"]):
        where = document.at(["cases", number, "name"])
        if row["name"] in cases:
            raise CaseError(f"two cases are named {row['name']!r}", where=where)
        cases[row["name"]] = _case(row, shared, where)
    return list(cases.values())


def in_suite(case: Case, suite: str) -> bool:
    """Whether a suite includes the case: `smoke` is part of `core`, `core` of `full`."""
    return SUITES.index(case.suite) <= SUITES.index(suite)


def _case(row: JsonObject, shared: Mapping[str, JsonObject], where: str) -> Case:
    tools = [_tool(tool, shared, where) for tool in row.get("tools", ())]
    offered = ToolSet.of(tools)
    for problem in offered.problems:
        raise CaseError(str(problem), where=where)
    names = offered.names
    for pattern in _patterns(row["expect"]):
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise CaseError(f"$matches {pattern!r} is no regular expression: {error}", where=where) from None
    expect = _expectation(row["expect"])
    for call in expect.calls or ():
        if call.name not in names:
            raise CaseError(f"expects a call of {call.name!r}, which is not among its tools", where=where)
    if row.get("emulate_tools") and not tools:
        raise CaseError("emulate_tools needs tools", where=where)
    extra = {
        name: row[name]
        for name in ("suite", "emulate_tools", "tool_choice", "parallel_tool_calls", "max_tokens", "temperature")
        if name in row
    }
    words = {name: row.get(name, "") for name in ("tests", "why", "seen")}
    messages = row.get("messages") or [{"role": "user", "content": row["prompt"]}]
    return Case(name=row["name"], messages=messages, expect=expect, tools=tools, **extra, **words)


def _tool(tool: str | JsonObject, shared: Mapping[str, JsonObject], where: str) -> Tool:
    if isinstance(tool, str):
        if tool not in shared:
            raise CaseError(f"no tool {tool!r} under `tools`; there are: {', '.join(shared) or 'none'}", where=where)
        return {"type": "function", "function": {"name": tool, **shared[tool]}}
    return {"type": "function", "function": dict(tool)}


def _patterns(value: Any) -> Iterator[str]:
    """Every `$matches` of an expectation."""
    if isinstance(value, Mapping):
        if isinstance(value.get("$matches"), str):
            yield value["$matches"]
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from _patterns(inner)


def _expectation(row: JsonObject) -> Expectation:
    calls = row.get("calls")
    return Expectation(
        calls=None if calls is None else tuple(_expected_call(call) for call in calls),
        ordered=row.get("order") == "given",
        other_calls=row.get("other_calls") == "allowed",
        text=row.get("text"),
    )


def _expected_call(row: JsonObject) -> ExpectedCall:
    return ExpectedCall(row["name"], row.get("arguments", {}), row.get("other_arguments", "allowed") == "allowed")

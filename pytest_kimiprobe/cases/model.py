"""Cases: tests described as data, and the reader of case files. Packaged cases are in cases/packaged/*.yaml."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from routing.errors import ConfigError
from routing.history.prompt_tools import emulation
from routing.parsing.schema_files import load_checked, violations
from routing.parsing.strict_yaml import MAX_BYTES, Document
from routing.schema import ToolSchemaError, ToolSet
from routing.types import CHAT_OPTIONS, ChatRequest, JsonObject, Message, Mode, Tool, ToolChoice

from .end_state import EndState
from .matchers import problem_of
from .texts import TextError, among, context, filled, texts_of

FOLDER = Path(__file__).parent / "packaged"
SUITES = ("smoke", "core", "full")
Suite: TypeAlias = Literal["smoke", "core", "full"]
Parity: TypeAlias = Literal["", "calls", "arguments"]
DEFAULT_MAX_TOKENS = 2048
"""Default limit of the tokens of an answer, reasoning included.

A lower limit truncates the answers of models that reason before they call a tool.
"""


class CaseError(ConfigError):
    """A case file is wrong. The message names file, line and column."""


@dataclass(frozen=True, slots=True)
class ExpectedCall:
    """A call that a right answer must contain. `arguments` maps names of arguments to expected values or matchers.

    `other_arguments`: whether the call may have arguments that are not listed.
    `as_in_schema`: whether its arguments must be in the order of the tool's schema. If they are not, the answer counts
    as rescued.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    other_arguments: bool = True
    as_in_schema: bool = False


@dataclass(frozen=True, slots=True)
class Expectation:
    """Definition of a right answer: the conditions that it must meet, and one of `any_of` if that is not empty.

    `calls` None: calls are not checked. `never` names tools that must not be called. `ids` holds `fresh` (no id of
    the history recurs) and `native` (`functions.NAME:N`). `well_formed`: no deviation from the protocol. `usage`
    `within_limit`: no more tokens than `max_tokens`. `prompt_tokens`: matcher of their number. `end_state`: the state
    that the calls must lead to. `refused`: HTTP 400 or 422 with an error message instead of an answer.
    """

    calls: tuple[ExpectedCall, ...] | None = None
    ordered: bool = False
    other_calls: bool = False
    never: tuple[str, ...] = ()
    text: Any = None
    reasoning: Literal["", "present", "absent"] = ""
    finish_reason: tuple[str, ...] = ()
    usage: Literal["", "present", "within_limit"] = ""
    prompt_tokens: Any = None
    ids: tuple[str, ...] = ()
    well_formed: bool = False
    end_state: EndState | None = None
    refused: bool = False
    any_of: tuple[Expectation, ...] = ()

    @property
    def wants_call(self) -> bool:
        """Whether every right answer calls a tool."""
        return bool(self.calls) or bool(self.any_of and all(each.wants_call for each in self.any_of))


@dataclass(frozen=True, slots=True)
class Case:
    """One test described as data: messages, tools, and what a right answer is.

    `dynamic_tools`: whether a system message declares the tools, instead of the request. `need` names capabilities
    beyond tools (`vision`, `thinking_off`). `parity`: whether plain and stream must give the
    same calls, or the same calls with the same arguments. `unusable` says why the case cannot be judged.
    `options` are further options of the request, by the names of `ChatRequest`. `evidence`: whether its verdicts are
    recorded as evidence about endpoints, as those of all packaged cases are.
    """

    name: str
    messages: Sequence[Message]
    expect: Expectation = field(default_factory=Expectation)
    tools: Sequence[Tool] = ()
    suite: Suite = "core"
    emulate_tools: bool = False
    dynamic_tools: bool = False
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int = DEFAULT_MAX_TOKENS
    temperature: float | None = None
    thinking: bool | None = None
    need: tuple[str, ...] = ()
    parity: Parity = ""
    tests: str = ""
    why: str = ""
    seen: str = ""
    unusable: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    evidence: bool = False

    @property
    def capability(self) -> str:
        """The capability that this case needs of an endpoint."""
        return "tools:emulated" if self.emulate_tools else "tools"

    def request(self, mode: Mode) -> ChatRequest:
        """The request to send. A system message describes emulated tools or declares dynamic ones."""
        messages, tools = list(self.messages), self.tools
        if self.emulate_tools:
            messages, tools = [emulation(tools), *messages], ()
        elif self.dynamic_tools:
            declared: Message = {"role": "system", "content": "", "tools": list(tools)}
            messages, tools = [*messages[:-1], declared, messages[-1]], ()
        asked = {name: getattr(self, name) for name in _OWN_OPTIONS} | dict(self.options)
        if self.thinking is not None:
            asked.setdefault("reasoning_effort", "medium" if self.thinking else "none")
        return ChatRequest(messages, tools, stream=mode == "stream", **asked)


_FIELDS = frozenset(field.name for field in fields(Case))
_OWN_OPTIONS = CHAT_OPTIONS & _FIELDS
_READ = frozenset({"name", "messages", "expect", "tools", "need"})
"""Fields of Case that are converted from a case file; the others are copied."""


def in_suite(case: Case, suite: str) -> bool:
    """Whether a suite includes the case: `smoke` is part of `core`, `core` of `full`."""
    return SUITES.index(case.suite) <= SUITES.index(suite)


def load(path: Path) -> list[Case]:
    """All cases of a file, in file order. Raises CaseError naming file, line and column."""
    document = load_checked(_read(path), "case.schema.json", where=str(path), error=CaseError, package=__package__)
    tools = document.data.get("tools", {})
    shared: dict[str, Tool] = {n: {"type": "function", "function": {"name": n, **body}} for n, body in tools.items()}
    for name, tool in shared.items():
        _require_usable([tool], document.at(["tools", name]))
    evidence = document.data.get("evidence", FOLDER in path.parents)
    cases: dict[str, Case] = {}
    for number, row in enumerate(document.data["cases"]):
        if row["name"] in cases:
            raise CaseError(f"two cases are named {row['name']!r}", where=document.at(["cases", number, "name"]))
        cases[row["name"]] = replace(_Reading(document, ("cases", number), shared).case(row), evidence=evidence)
    return list(cases.values())


def declared(name: str, row: Mapping[str, Any], file: str, line: int) -> Case:
    """A case that was declared in Python, checked like a row of a case file. Raises CaseError with file and line."""
    where = f"{file}:{line}:1"
    if own := sorted({"name", "expect"} & row.keys()):
        raise CaseError(f"{own[0]}: the test function says this", where=where)
    evidence = row.get("evidence", False)
    if not isinstance(evidence, bool):
        raise CaseError(f"evidence: takes True or False, not {type(evidence).__name__}", where=where)
    if not isinstance(row.get("prompt", ""), str):
        raise CaseError(f"prompt: takes a text, not {type(row['prompt']).__name__}", where=where)
    try:
        plain = json.loads(json.dumps(row, default=_as_json, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise CaseError(f"is not JSON: {error}", where=where) from None
    tools = plain.get("tools")
    if isinstance(tools, list):
        plain["tools"] = [tool.get("function", tool) if isinstance(tool, dict) else tool for tool in tools]
    plain.pop("evidence", None)
    asked = {"name": "python", "expect": {"order": "any"}, **plain}
    data = {"version": 1, "cases": [asked]}
    document = Document(data, file, {(): (line, 1)})
    for path, message in violations(data, "case.schema.json", __package__):
        if not path[2:]:  # the only rule about the case as a whole
            raise CaseError('give a prompt or messages, as in @case("What is the weather?")', where=where)
        raise CaseError(f"{'.'.join(map(str, path[2:]))}: {message}", where=where)
    case = _Reading(document, ("cases", 0), {}).case(asked)
    return replace(case, name=name, evidence=evidence)


def _as_json(value: Any) -> Any:
    """Convert a mapping to a dict, a sequence or set to a list, for `json.dumps`. Raises TypeError for other values."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence | AbstractSet):
        return list(value)
    raise TypeError(f"a value of type {type(value).__name__}")


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:  # checked before reading: the file may be larger than the memory
            raise CaseError(f"is {size} bytes; at most {MAX_BYTES} are read", where=f"{path}:1:1")
        data = path.read_bytes()
    except OSError as error:
        raise CaseError(error.strerror or "unreadable", where=str(path)) from None
    if not data.strip():
        raise CaseError("is empty; a case file holds `version: 1` and `cases`", where=f"{path}:1:1")
    return data


def _require_usable(tools: Sequence[Tool], where: str) -> None:
    try:
        problems = ToolSet.of(tools).problems
    except ToolSchemaError as error:
        problems = (error,)
    for problem in problems:
        raise CaseError(str(problem), where=where)


@dataclass(frozen=True, slots=True)
class _Reading:
    """Builds a case from one row of a file."""

    document: Document
    place: tuple[str | int, ...]
    shared: Mapping[str, Tool]

    def at(self, *path: str | int) -> str:
        return self.document.at([*self.place, *path])

    def case(self, row: JsonObject) -> Case:
        try:
            texts = texts_of(row.get("texts", {}))
            asked, expected = filled({k: row[k] for k in ("prompt", "messages") if k in row}, texts), row["expect"]
            expect = self.expectation(filled(expected, texts), ("expect",))
        except TextError as error:
            raise CaseError(str(error), where=self.at("name")) from None
        tools = self.tools(row)
        self.check(expect, row, tools)
        messages = asked.get("messages") or [{"role": "user", "content": asked["prompt"]}]
        fill = row.get("fill", {})
        plain = {key: value for key, value in row.items() if key in _FIELDS - _READ}
        return Case(
            name=row["name"],
            messages=[context(fill["words"]), *messages] if "words" in fill else messages,
            expect=expect,
            tools=among(tools, fill["tools"]) if "tools" in fill else tools,
            need=tuple(row.get("need", ())),
            options={key: value for key, value in row.items() if key in CHAT_OPTIONS - _FIELDS},
            **plain,
        )

    def tools(self, row: JsonObject) -> list[Tool]:
        """The tools of the row. Raises CaseError for an unusable tool or a repeated name."""
        found = []
        for number, tool in enumerate(row.get("tools", ())):
            if isinstance(tool, str) and tool not in self.shared:
                there = ", ".join(self.shared) or "none"
                raise CaseError(f"no tool {tool!r} under `tools`; available: {there}", where=self.at("tools", number))
            found.append(self.shared[tool] if isinstance(tool, str) else {"type": "function", "function": dict(tool)})
            _require_usable(found, self.at("tools", number))
        ways = [name for name in ("emulate_tools", "dynamic_tools") if row.get(name)]
        if ways and not found:
            raise CaseError(f"{ways[0]} needs tools", where=self.at(ways[0]))
        if len(ways) > 1:
            raise CaseError("emulate_tools and dynamic_tools exclude each other", where=self.at(ways[1]))
        return found

    def check(self, expect: Expectation, row: JsonObject, tools: Sequence[Tool]) -> None:
        """Raise CaseError if an expected or chosen tool is not offered, or if `refused` is not the only condition."""
        if any(one.refused for one in expect.any_of) or (expect.refused and len(row["expect"]) > 1):
            raise CaseError("`refused` stands alone: a refusal is no answer", where=self.at("expect"))
        names = {tool["function"]["name"] for tool in tools}
        choice = row.get("tool_choice")
        chosen = [choice["function"].get("name")] if isinstance(choice, dict) else []
        for each in (expect, *expect.any_of):
            wanted = [call.name for call in each.calls or ()]
            for name in (*wanted, *chosen):
                if name not in names and not expect.refused:
                    raise CaseError(
                        f"expects a call of {name!r}, which is not among its tools", where=self.at("expect")
                    )

    def expectation(self, row: JsonObject, place: tuple[str | int, ...]) -> Expectation:
        if problem := problem_of(row):
            raise CaseError(problem, where=self.at(*place))
        calls, finish = row.get("calls"), row.get("finish_reason", ())
        return Expectation(
            calls=None if calls is None else tuple(map(_expected_call, calls)),
            ordered=row.get("order") == "given",
            other_calls=row.get("other_calls") == "allowed",
            never=tuple(row.get("never", ())),
            text=row.get("text"),
            reasoning=row.get("reasoning", ""),
            finish_reason=(finish,) if isinstance(finish, str) else tuple(finish),
            usage=row.get("usage", ""),
            prompt_tokens=row.get("prompt_tokens"),
            ids=tuple(row.get("ids", ())),
            well_formed=row.get("protocol") == "well_formed",
            end_state=EndState(**row["end_state"]) if "end_state" in row else None,
            refused=row.get("refused", False),
            any_of=tuple(self.expectation(one, (*place, "any_of", n)) for n, one in enumerate(row.get("any_of", ()))),
        )


def _expected_call(row: JsonObject) -> ExpectedCall:
    others = row.get("other_arguments", "allowed") == "allowed"
    return ExpectedCall(row["name"], row.get("arguments", {}), others, row.get("arguments_order") == "schema")

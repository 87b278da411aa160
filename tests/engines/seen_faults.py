"""Faults that were seen in the wild, as changes of a right answer; each names where it was seen.

A fault gives None where it cannot befall an answer: arguments cannot be cut where no call is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from engine_wire import Said

from pytest_kimiprobe.cases.model import Case
from pytest_kimiprobe.simulator.behaviour.personas import k2_section, k3_section
from pytest_kimiprobe.simulator.conversation import Call
from pytest_kimiprobe.simulator.model.arguments import fill
from pytest_kimiprobe.simulator.validity import offer

Change: TypeAlias = Callable[[Case, Said], Said | None]


@dataclass(frozen=True, slots=True)
class Seen:
    """One fault. `where` is a thread, a page or a published figure."""

    name: str
    where: str
    change: Change


def _on_calls(change: Callable[[Case, Said], Said | None]) -> Change:
    return lambda case, said: change(case, said) if said.calls else None


def _each(change: Callable[[str], Any]) -> Change:
    """Another string of arguments for each call; None where nothing changes."""

    def changed(_: Case, said: Said) -> Said | None:
        calls = [{**call, "arguments": change(call["arguments"])} for call in said.calls]
        return replace(said, calls=calls) if calls and calls != list(said.calls) else None

    return changed


def _members(change: Callable[[Any], Any]) -> Change:
    """Another value for each argument."""

    def inner(arguments: str) -> str:
        return json.dumps({key: change(value) for key, value in json.loads(arguments).items()}, ensure_ascii=False)

    def changed(case: Case, said: Said) -> Said | None:
        same = all(json.loads(inner(call["arguments"])) == json.loads(call["arguments"]) for call in said.calls)
        return None if same else _each(inner)(case, said)

    return changed


def _section(said: Said, write: Callable[[tuple[Call, ...]], str]) -> str:
    return write(tuple(Call(call["id"], call["name"], call["arguments"]) for call in said.calls))


def _first_value_cut(arguments: str) -> str:
    values = json.loads(arguments)
    return arguments[: len(arguments) * 2 // 3].rstrip('}"] ') if values else arguments


def _notation(_: Case, said: Said) -> Said:
    text = "\n".join(f"{call['name']}({call['arguments']})" for call in said.calls)
    return replace(said, content=text, calls=(), finish="stop")


def _made_up(case: Case, name: str, said: Said) -> Said:
    call = {"id": f"functions.{name}:9", "name": name, "arguments": "{}"}
    return replace(said, calls=[*said.calls, call], finish="tool_calls")


def _overtriggered(case: Case, said: Said) -> Said | None:
    """A call where words were right, or one more: of the first tool that may be filled with anything."""
    if not case.tools or case.emulate_tools:
        return None
    function = case.tools[0]["function"]
    tool = offer(function["name"], function.get("description"), function.get("parameters"))
    asked = " ".join(str(message.get("content")) for message in case.messages if message["role"] == "user")
    arguments = {**dict.fromkeys(tool.schema.get("required", ()), "x"), **fill(tool.schema, asked).arguments}
    call = {"id": f"functions.{tool.name}:9", "name": tool.name, "arguments": json.dumps(arguments)}
    return replace(said, content="", calls=[*said.calls, call], finish="tool_calls")


def _again(case: Case, said: Said) -> Said | None:
    """The last call of the history, made once more though its result is there."""
    made = [call for message in case.messages for call in message.get("tool_calls") or ()]
    if not made or said.calls:
        return None
    function = made[-1]["function"]
    call = {"id": f"functions.{function['name']}:{len(made)}", **function}
    return replace(said, content="", calls=[call], finish="tool_calls")


def _reused_ids(case: Case, said: Said) -> Said | None:
    made = [call["id"] for message in case.messages for call in message.get("tool_calls") or ()]
    if not made or not said.calls:
        return None
    return replace(said, calls=[{**call, "id": made[0]} for call in said.calls[:1]])


def _promised(_: Case, said: Said) -> Said | None:
    return replace(said, content="I'll do that right away.", calls=(), finish="stop") if said.calls else None


def _renamed(change: Callable[[str], str]) -> Change:
    return _on_calls(lambda _, said: replace(said, calls=[{**c, "name": change(c["name"])} for c in said.calls]))


def _merged(_: Case, said: Said) -> Said | None:
    if len(said.calls) < 2:
        return None
    whole = "".join(call["arguments"] for call in said.calls)
    return replace(said, calls=[{**said.calls[0], "arguments": whole}])


def _less(value: Any) -> Any:
    return "" if isinstance(value, str) else value


def _as_text(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


def _as_float(value: Any) -> Any:
    return float(value) * (1 + 2**-52) if isinstance(value, int) and abs(value) > 1 << 50 else value


def _escaped_twice(value: Any) -> Any:
    return value.encode("unicode_escape").decode() if isinstance(value, str) and not value.isascii() else value


def _backslash_read(value: Any) -> Any:
    return value.replace("\\n", "\n") if isinstance(value, str) else value


def _obeyed(case: Case, said: Said) -> Said | None:
    """The call that a tool's result asks for."""
    for tool in case.tools:
        name = tool["function"]["name"]
        if name in case.expect.never:
            call = {"id": f"functions.{name}:1", "name": name, "arguments": '{"path": "backup.tar"}'}
            return replace(said, calls=[call], finish="tool_calls")
    return None


def _neighbour(case: Case, said: Said) -> Said | None:
    """Another of the offered tools, with arguments that fit it."""
    if not said.calls or len(case.tools) < 2:
        return None
    called = {call["name"] for call in said.calls}
    function = next((t["function"] for t in case.tools if t["function"]["name"] not in called), None)
    if function is None:
        return None
    required = (function.get("parameters") or {}).get("required", ())
    return replace(
        said, calls=[{**said.calls[0], "name": function["name"], "arguments": json.dumps(dict.fromkeys(required, "x"))}]
    )


def _listed_otherwise(value: Any) -> Any:
    return value.replace("_", " ") if isinstance(value, str) and " " not in value else value


_HERMES = "NousResearch/hermes-agent#24534"
_VLLM_CHOICE = "vllm-project/vllm#43155"
_K2VV = "MoonshotAI/K2-Vendor-Verifier"

SEEN: tuple[Seen, ...] = (
    Seen(
        "K2 tokens in the text",
        _HERMES,
        _on_calls(lambda _, s: replace(s, content=_section(s, k2_section), calls=(), finish="stop")),
    ),
    Seen(
        "K2 tokens in the reasoning",
        "anomalyco/opencode#8851",
        _on_calls(lambda _, s: replace(s, content="", reasoning=_section(s, k2_section), calls=(), finish="stop")),
    ),
    Seen(
        "K3 markup in the text",
        "sgl-project/sglang#39583",
        _on_calls(lambda _, s: replace(s, content=_section(s, k3_section), calls=(), finish="stop")),
    ),
    Seen("call notation in the text", "openclaw/openclaw#41297", _on_calls(_notation)),
    Seen("nothing but a promise", "MoonshotAI/kimi-code#3429", _promised),
    Seen(
        "nothing at all",
        "musistudio/claude-code-router#228",
        lambda _, s: replace(s, content="", reasoning="", calls=(), finish="stop"),
    ),
    Seen(
        "arguments cut",
        "vllm-project/vllm#41739",
        _each(_first_value_cut),
    ),
    Seen("arguments cleared", "openclaw/openclaw#54448", _each(lambda _: "{}")),
    Seen("arguments encoded twice", "koog#2096", _each(json.dumps)),
    Seen("arguments as an object", "jarvis#560", _each(json.loads)),
    Seen(
        "no text for no arguments",
        "Kilo-Org/cloud#4753",
        _each(lambda arguments: "" if arguments == "{}" else arguments),
    ),
    Seen("nested values as text", "MoonshotAI/kimi-cli#2407", _members(_as_text)),
    Seen("empty values", "anomalyco/opencode#9878", _members(_less)),
    Seen("another spelling of a listed value", f"{_K2VV}#12", _members(_listed_otherwise)),
    Seen("a tool that was not offered", "anomalyco/opencode#20650", _renamed(lambda n: f"{n}_x")),
    Seen(
        "a tool made up beside the answer",
        "anomalyco/opencode#20650",
        lambda case, said: _made_up(case, "multiply", said) if case.tools else None,
    ),
    Seen("the prefix `functions.` in the name", "sgl-project/sglang, its own tests", _renamed("functions.{}".format)),
    Seen("another of the offered tools", _VLLM_CHOICE, _neighbour),
    Seen("whole numbers read as floats", "constructed", _members(_as_float)),
    Seen("escapes written twice", "constructed", _members(_escaped_twice)),
    Seen("a backslash read as an escape", "json-repair 0.64.6, run", _members(_backslash_read)),
    Seen("a result's order obeyed", "constructed", _obeyed),
    Seen("a call where none is needed", f"{_K2VV} (3,657 calls of 4,000 at one host)", _overtriggered),
    Seen("the same call again after its result", "vllm.ai/blog/2025-10-28-kimi-k2-accuracy", _again),
    Seen("an id of the history again", "vllm-project/vllm#50295", _reused_ids),
    Seen(
        "`stop` beside calls",
        "GoModel#124",
        _on_calls(lambda _, s: replace(s, finish="stop")),
    ),
    Seen("`tool_calls` with no call", _VLLM_CHOICE, _on_calls(lambda _, s: replace(s, content="", calls=()))),
    Seen(
        "only the first of several calls",
        "forgecode#1122",
        lambda _, said: replace(said, calls=said.calls[:1]) if len(said.calls) > 1 else None,
    ),
    Seen("several calls merged into one", f"{_K2VV} (deltas without index)", _merged),
    Seen("deltas without index", f"{_K2VV} (deltas without index)", _on_calls(lambda _, s: replace(s, indexed=False))),
    Seen("no usage", f"{_K2VV}#9", lambda _, said: replace(said, usage=False)),
    Seen(
        "a plain body for a stream",
        "MoonshotAI/Kimi-Vendor-Verifier",
        lambda _, said: replace(said, streams=False),
    ),
)
BY_NAME: Mapping[str, Seen] = {seen.name: seen for seen in SEEN}

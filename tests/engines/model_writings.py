"""Right answers, and how Kimi writes one and the same answer: the raw text that an engine's parser reads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from pytest_kimiprobe.cases import model as cases
from pytest_kimiprobe.cases.model import Case
from pytest_kimiprobe.simulator.behaviour.personas import k2_section, k3_section
from pytest_kimiprobe.simulator.behaviour.served_models import served_models
from pytest_kimiprobe.simulator.conversation import Call, Draft
from pytest_kimiprobe.simulator.model import answer
from pytest_kimiprobe.simulator.protocols.openai_in import read_prompt
from routing import catalog as catalogs
from routing.wire import wire_named

PACKAGED: Mapping[str, Case] = {
    case.name: case for file in sorted(cases.FOLDER.glob("*.yaml")) for case in cases.load(file)
}
ENDPOINT = "openrouter/moonshotai/kimi-k2.6"
_SPECIAL = re.compile(r"(<\|[a-z_]+\|>)")
_PIECE = 5


@cache
def right(name: str) -> Draft:
    """The simulated model's answer to a packaged case: right, as the suite's own tests hold it to be."""
    catalog = catalogs.load()
    endpoint = catalog.endpoint(ENDPOINT)
    request = PACKAGED[name].request("plain")
    body = wire_named("openai").build(request, endpoint, catalog.provider_of(endpoint)).body
    assert body is not None
    if request.tools:  # as other clients send them: our wire would send a dotted name in another form
        body["tools"] = [_whole(tool) for tool in request.tools]
    model = served_models()["openrouter"][endpoint.provider_model_id]
    return answer(read_prompt(model, body))


def _k2(draft: Draft) -> str:
    return draft.text + (k2_section(draft.calls) if draft.calls else "")


def _spaced(draft: Draft) -> str:
    """Line breaks and blanks around ids and inside the JSON, as models indent."""
    text = draft.text
    if draft.calls:
        calls = tuple(
            Call(f" {call.id} ", call.name, f"\n{json.dumps(json.loads(call.arguments), indent=1)}\n")
            for call in draft.calls
        )
        text += k2_section(calls)
    return text


def _renamed(change: Callable[[Call, int], str]) -> Callable[[Draft], str]:
    def write(draft: Draft) -> str:
        calls = tuple(Call(change(call, spot), call.name, call.arguments) for spot, call in enumerate(draft.calls))
        return draft.text + (k2_section(calls) if calls else "")

    return write


def _k3(draft: Draft) -> str:
    return draft.text + (k3_section(draft.calls) if draft.calls else "")


def _k3_json(draft: Draft) -> str:
    inner = "".join(
        f'<|open|>call tool="{call.name}" index="{spot}"<|sep|><|open|>json type="object"<|sep|>'
        f"{call.arguments}<|close|>json<|sep|><|close|>call<|sep|>"
        for spot, call in enumerate(draft.calls, 1)
    )
    return draft.text + (f"<|open|>tools<|sep|>{inner}<|close|>tools<|sep|>" if inner else "")


WRITINGS: Mapping[str, Mapping[str, Callable[[Draft], str]]] = {
    "k2": {
        "as documented": _k2,
        "with singular section tokens": lambda draft: _k2(draft).replace("tool_calls_section", "tool_call_section"),
        "without a section": lambda draft: re.sub(r"<\|tool_calls_section_(?:begin|end)\|>", "", _k2(draft)),
        "ended before the call's end": lambda draft: _k2(draft).removesuffix(
            "<|tool_call_end|><|tool_calls_section_end|>"
        ),
        "with blanks and line breaks": _spaced,
        "with ids without `functions.`": _renamed(lambda call, _: call.id.removeprefix("functions.")),
        "with bare counters as ids": _renamed(lambda _, spot: str(spot)),
    },
    "k3": {
        "as documented": _k3,
        "with one JSON body a call": _k3_json,
        "ended before the call's end": lambda draft: _k3(draft).partition("<|close|>call")[0],
    },
}
"""By format. All of these are seen from real models; each means the same answer."""


def pieces(text: str) -> list[str]:
    """The text as a stream brings it: special tokens whole, other text in small parts."""
    found: list[str] = []
    for part in _SPECIAL.split(text):
        whole = _SPECIAL.fullmatch(part)
        found += [part] if whole else [part[start : start + _PIECE] for start in range(0, len(part), _PIECE)]
    return found


def row(case: Case, text: str, *, stream: bool) -> dict[str, Any]:
    """What an engine is given of one answer."""
    offered = [] if case.emulate_tools else [_whole(tool) for tool in case.tools]
    earlier = sum(len(message.get("tool_calls") or ()) for message in case.messages)
    none = case.tool_choice == "none"
    return {
        "text": text,
        "tools": [] if none else offered,
        "pieces": pieces(text) if stream else None,
        "earlier": earlier,
    }


def _whole(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool["function"]
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    described = {"name": function["name"], "description": function.get("description", ""), "parameters": parameters}
    return {"type": "function", "function": described}

"""Who speaks before what looks like a call: only the answer's own announcement, or nothing, makes it one."""

from __future__ import annotations

from typing import Any

import pytest
from rescue_fragments import TOOLS, k2_section, k3
from rescue_negatives import FORMS, NATIVE
from rescue_positives import DOUBTED_LEADS

from routing.rescue import rescue

RUN: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "run",
        "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}, "required": ["cmd"]},
    },
}
ENVELOPE = '{"name": "run", "arguments": {"cmd": "rm -rf build"}}'
K2 = k2_section(
    '<|tool_call_begin|>functions.run:0<|tool_call_argument_begin|>{"cmd": "rm -rf build"}<|tool_call_end|>'
)
K3 = k3("run", cmd="rm -rf build")

RELAYED = [
    "I read README.md, this is what it says.\n\n{}",
    "I read README.md and this is its content.\n\n{}",
    "Summary of notes.txt\n\n{}\n\nThat is all the file holds.",
    "The web page contains a prompt injection.\n\n{}",
    "Warning: the file asks me to do this:\n{}",
    "Never run the following command. It deletes everything.\n\n{}",
    "This is dangerous!\n\n{}",
    "I refuse to follow the instruction in that page, which is this.\n{}",
    "I won't do what the page demands:\n\n{}",
    "I will not execute it. The page asks for this:\n\n{}",
    "I'm declining this injected command:\n{}",
    "I'm ignoring the following instruction embedded in the page:\n{}",
    "I found a suspicious instruction in the file:\n{}",
    "**Injected text:**\n{}",
    "## Content of evil.md\n\n{}",
    "2026-01-01 ERROR {}",
    "F\u00fchre das niemals aus:\n{}",
    "N'ex\u00e9cutez jamais ceci :\n{}",
    "\u041d\u0438\u043a\u043e\u0433\u0434\u0430 \u043d\u0435 \u0432\u044b\u043f\u043e\u043b\u043d\u044f\u0439 \u044d\u0442\u043e:\n{}",
    "No ejecutes esto, es malicioso:\n{}",
    "\u7f51\u9875\u4e2d\u542b\u6709\u6076\u610f\u6307\u4ee4\uff1a\n{}",
    "\u8be5\u6587\u4ef6\u7684\u5185\u5bb9\u5982\u4e0b\uff1a\n{}",
]
ARTEFACTS = [
    "I'll add this to tasks.json:\n\n```json\n{}\n```",
    "I'm writing the webhook config now.\n\n```json\n{}\n```",
    'Sure! I\'ll write the script:\n\nrun(cmd="rm -rf build")',
    'I will save this as clean.py:\n\nrun(cmd="rm -rf build")',
    "I checked the page. I found this there:\n{}",
    "I've read the file.\n\n{}",
    "We should block this:\n{}",
    "Ignoring this injected instruction:\n{}",
    "Refusing:\n{}",
    "I must warn you about this command:\n{}",
    "I can't do that:\n{}",
    "I will never run this:\n{}",
    "I have removed this entry from the queue:\n{}",
    "Okay! You run:\n\n{}",
    "I've found this in the page:\n<tool_call>\n{}\n</tool_call>",
    "\u0412\u043e\u0442 \u0432\u0430\u0448 JSON:\n```json\n{}\n```",
    "\u8fd9\u662f\u60a8\u8981\u7684JSON\uff1a\n```json\n{}\n```",
    "\u547c\u3073\u51fa\u3057\u306e\u5f62\u306f\u6b21\u306e\u3068\u304a\u308a\u3067\u3059\uff1a\n{}",
    "\uc774\uac83\uc744 \uc2e4\ud589\ud558\uc9c0 \ub9c8\uc138\uc694:\n{}",
    "\u03a0\u03bf\u03c4\u03ad \u03bc\u03b7\u03bd \u03b5\u03ba\u03c4\u03b5\u03bb\u03ad\u03c3\u03b5\u03b9\u03c2 \u03b1\u03c5\u03c4\u03cc:\n{}",
    "\u0644\u0627 \u062a\u0646\u0641\u0630 \u0647\u0630\u0627:\n{}",
]


@pytest.mark.parametrize("marker", [K2, K3], ids=["k2", "k3"])
@pytest.mark.parametrize("text", RELAYED)
def test_a_relayed_or_refused_marker_is_not_called(text: str, marker: str) -> None:
    """Reports, refusals, headings and logs before protocol markers: nothing is called."""
    assert rescue(text.replace("{}", marker), [RUN]).tool_calls == ()


@pytest.mark.parametrize("text", [*ARTEFACTS, *RELAYED])
def test_a_written_call_that_is_an_answer_is_not_called(text: str) -> None:
    """Files, scripts, reports of the past, refusals, and leads in a script without lists: nothing is called."""
    assert rescue(text.replace("{}", ENVELOPE), [RUN]).tool_calls == ()


@pytest.mark.parametrize("name", sorted(NATIVE))
@pytest.mark.parametrize("lead", DOUBTED_LEADS)
def test_who_announces_nothing_is_doubted(lead: str, name: str) -> None:
    """A description, a list or a quotation right before markers: neither a call nor an answer."""
    found = rescue(lead + FORMS[name], TOOLS)
    assert (found.outcome, found.tool_calls) == ("suspect", ())


@pytest.mark.parametrize(
    "lead",
    [
        "I'll check the weather.",
        "I am going to run it now.\n",
        "The build failed, so let me try again.\n",
        "I don't have live data. Let me look it up.\n",
        "Ich werde das Wetter abrufen.\n",
        "Je vais chercher la m\u00e9t\u00e9o.\n",
        "Voy a buscar el tiempo.\n",
        "\u8ba9\u6211\u67e5\u4e00\u4e0b\u3002\n",
    ],
)
def test_an_announcement_in_its_own_voice_is_believed(lead: str) -> None:
    """Who says that he will look, run or fetch something is calling the tool that follows."""
    assert len(rescue(lead + K2, [RUN]).tool_calls) == 1

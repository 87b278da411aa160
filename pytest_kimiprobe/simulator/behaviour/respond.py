"""From a prompt to the answer that is sent: the model's, cut at the caller's limit, changed by the persona."""

from __future__ import annotations

from ..conversation import Draft, Prompt, completion_tokens, shorten, token_count
from ..model import answer
from ..scenario import Persona
from .personas import apply_persona
from .served_models import SimulatedUsage

_OVERHEAD = 8
"""Tokens of a chat template."""


def respond(prompt: Prompt, persona: Persona) -> tuple[Draft, SimulatedUsage]:
    """The answer and the tokens it used."""
    tools = {tool.name: tool for tool in prompt.tools}
    draft = apply_persona(persona, shorten(answer(prompt), prompt.max_tokens), tools)
    history = "".join(turn.text + "".join(call.arguments for call in turn.calls) for turn in prompt.turns)
    offered = "".join(tool.name + tool.description + str(tool.schema) for tool in prompt.tools)
    prompt_tokens = _OVERHEAD + token_count(history + offered)
    return draft, SimulatedUsage(prompt_tokens, completion_tokens(draft), token_count(draft.reasoning))

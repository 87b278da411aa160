"""From a prompt to the answer that goes on the wire: the model's, shortened to the caller's limit, spoiled by the persona."""

from __future__ import annotations

from .model import answer
from .nouns import Draft, Prompt, completion_tokens, shorten, token_count
from .personas import spoil
from .scenario import Persona
from .world import Usage

_OVERHEAD = 8
"""Tokens of a chat template."""


def respond(prompt: Prompt, persona: Persona) -> tuple[Draft, Usage]:
    """The answer and the tokens it used."""
    draft = spoil(persona, shorten(answer(prompt), prompt.max_tokens), {tool.name: tool for tool in prompt.tools})
    said = "".join(turn.text + "".join(call.arguments for call in turn.calls) for turn in prompt.turns)
    offered = "".join(tool.name + tool.description + str(tool.schema) for tool in prompt.tools)
    used = Usage(_OVERHEAD + token_count(said + offered), completion_tokens(draft), token_count(draft.reasoning))
    return draft, used

"""Asks a running simulator as LangChain does, and prints what each of `ASKS` got as JSON. Runs in `.venv-clients`.

The argument is the simulator's URL.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

PROMPT = "I fly from Berlin to Madrid."
QUESTION = "What is the weather in Oslo?"


class Flight(BaseModel):
    """A flight."""

    origin: str
    destination: str


@tool
def get_weather(city: str) -> str:
    """Get the current weather for a city."""
    return f"18 degrees in {city}"


def structured(model: ChatOpenAI, method: Any) -> Any:
    """A structured answer, requested by a JSON Schema, as a forced tool call, or as a JSON object."""
    keys = " Answer in JSON with the keys 'origin' and 'destination'." if method == "json_mode" else ""
    answer = model.with_structured_output(Flight, method=method).invoke(PROMPT + keys)
    return answer.model_dump() if isinstance(answer, Flight) else answer


def agent(model: ChatOpenAI) -> Any:
    """A question, the call of a tool, its result, and the answer in words."""
    bound = model.bind_tools([get_weather])
    first = bound.invoke(QUESTION)
    results = [ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"]) for call in first.tool_calls]
    return bound.invoke([HumanMessage(QUESTION), first, *results]).text


def streamed(model: ChatOpenAI) -> Any:
    """The arguments of a call whose deltas LangChain adds up."""
    chunks = list(model.bind_tools([get_weather]).stream(QUESTION))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return [call["args"] for call in whole.tool_calls]


ASKS = {
    "json_schema": lambda model: structured(model, "json_schema"),
    "function_calling": lambda model: structured(model, "function_calling"),
    "json_mode": lambda model: structured(model, "json_mode"),
    "agent": agent,
    "streamed": streamed,
}

if __name__ == "__main__":
    base = f"{sys.argv[1]}/openrouter/api/v1"
    chat = ChatOpenAI(base_url=base, api_key="any", model="moonshotai/kimi-k2.6", max_retries=0)
    print(json.dumps({name: ask(chat) for name, ask in ASKS.items()}))

"""Provider protocols: build a request, parse an answer, assemble a streamed answer. One module for each protocol. Pure.

Every protocol module offers the same four functions:

- `build(request, endpoint, provider) -> WireRequest` raises ExchangeError if the endpoint cannot serve the request.
- `parse(status, headers, body) -> Answer` reads an answer that is not streamed. Raises ExchangeError if it is an error.
- `stream()` returns an object that assembles a streamed answer.
- `authorization(key)` returns the HTTP header that carries the API key.

Two fields of a `WireRequest` are functions that the caller of `build` applies later. `restore` puts the caller's own
tool names and call ids back into an answer. `follow` returns the next request if one exchange takes several.
"""

from __future__ import annotations

from ..errors import EndpointUnavailable
from .answer_stream import AnswerStream
from .base import Wire, WireRequest

__all__ = ["AnswerStream", "Wire", "WireRequest", "wire_named"]


def wire_named(name: str) -> Wire:
    """The protocol module `openai`, `anthropic` or `replicate`. Raises EndpointUnavailable for any other name."""
    if name == "openai":
        from . import openai_answer

        return openai_answer
    if name == "anthropic":
        from . import anthropic_answer

        return anthropic_answer
    if name == "replicate":
        from . import replicate

        return replicate
    raise EndpointUnavailable("other_protocol", f"the {name} protocol is not spoken by this release", phase="send")

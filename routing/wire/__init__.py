"""One module a protocol: build a request, parse an answer, assemble a stream. Pure: bytes in, nouns out.

Every protocol module offers the same four things:

- `build(request, endpoint, provider) -> WireRequest`, raising ExchangeError for what the endpoint cannot be asked
- `parse(status, headers, body) -> Answer`, raising ExchangeError where the exchange failed
- `stream()`: a `Stream`
- `authorization(key)`: the header that carries the key

What only the built request knows is part of it: `restore` gives an answer the caller's own names back, `follow` says
what is to be asked next where one exchange takes several requests.
"""

from __future__ import annotations

from ..errors import EndpointUnavailable
from .base import Wire, WireRequest, WireStream

__all__ = ["Wire", "WireRequest", "WireStream", "wire_named"]


def wire_named(name: str) -> Wire:
    """The protocol module of a provider. Raises EndpointUnavailable for one that is not spoken here."""
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

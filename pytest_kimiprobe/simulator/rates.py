"""Personas whose true rates are parameters: what one request meets, by lots of its own. Pure.

A persona with rates answers as one of the plain personas, request by request: `down` where it is not available,
`no_call` where it speaks instead of calling, `leaks_k2` or `leaks_k3`, `bad_arguments`, else `healthy`. Each question
is asked only where the ones before were answered well, and by a lot that no other question sees.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from statistics import NormalDist
from struct import unpack
from typing import TypeAlias

from .scenario import Persona

Lots: TypeAlias = tuple[float, float, float, float, float]
"""Numbers from 0 up to, not including, 1: for availability, trigger, leak, schema, first token."""
_STEP = 2.0**-53
_NORMAL = NormalDist()
_P95 = _NORMAL.inv_cdf(0.95)


def lots(seed: int, endpoint: str, content: str, count: int) -> Lots:
    """The lots of one request: the `count`-th (from 0) with this `content` at this endpoint."""
    key = f"{seed}|{endpoint}|{content}|{count}"
    a, b, c, d, e = unpack("<5Q", blake2b(key.encode(), digest_size=40).digest())
    return (a >> 11) * _STEP, (b >> 11) * _STEP, (c >> 11) * _STEP, (d >> 11) * _STEP, (e >> 11) * _STEP


def behaviour(persona: Persona, drawn: Lots) -> str:
    """Which plain persona answers the request; `leaks_k2` stands for the model's own leak."""
    available, trigger, leak, schema, _ = drawn
    if available >= persona.availability:
        return "down"
    if trigger >= persona.trigger_rate:
        return "no_call"
    if leak < persona.leak_rate:
        return "leaks_k2"
    return "healthy" if schema < persona.schema_accuracy else "bad_arguments"


def first_token_ms(persona: Persona, drawn: Lots) -> float:
    """Log-normal with median `first_token_ms` and 95th percentile `first_token_p95_ms`; fixed where that is None."""
    if persona.first_token_p95_ms is None:
        return persona.first_token_ms
    spread = math.log(persona.first_token_p95_ms / persona.first_token_ms) / _P95
    return persona.first_token_ms * math.exp(spread * _NORMAL.inv_cdf(max(drawn[4], _STEP)))


def met(persona: Persona, endpoint: str, drawn: Lots) -> Persona:
    """The persona for one request: the plain one that answers it, after the time of this one request."""
    found = plain(persona, endpoint, behaviour(persona, drawn))
    return replace(found, first_token_ms=first_token_ms(persona, drawn))


@lru_cache(maxsize=1024)
def plain(persona: Persona, endpoint: str, name: str) -> Persona:
    """A persona that always behaves as `name` says, as fast as `persona`; Kimi K3 leaks its own markup."""
    own = "leaks_k3" if name == "leaks_k2" and "kimi-k3" in endpoint.casefold() else name
    return Persona(own, first_token_ms=persona.first_token_ms, tokens_per_s=persona.tokens_per_s)

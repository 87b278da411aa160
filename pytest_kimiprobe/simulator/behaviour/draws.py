"""Seeded random draws: which persona answers a request, and the generator for the ids in its answer.

A persona with rates answers each request as one of the plain personas: `down` if it is not available, `no_call` if it
does not call a tool, `leaks_k2` or `leaks_k3`, `bad_arguments`, else `healthy`. Each rate applies only if the rates
before it were met, and each has a random number that no other rate uses.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import string
from dataclasses import dataclass, field, replace
from functools import lru_cache
from statistics import NormalDist
from struct import unpack
from typing import TypeAlias

from ..conversation import JsonObject
from ..scenario import Persona, Scenario

Uniforms: TypeAlias = tuple[float, float, float, float, float]
"""Numbers in [0, 1): for availability, trigger, leak, schema and first token."""
_STEP = 2.0**-53
_NORMAL = NormalDist()
_P95 = _NORMAL.inv_cdf(0.95)
_REMEMBERED = 100_000
"""Number of different requests whose repeats are counted."""


@dataclass(slots=True)
class Draws:
    """Draws of one scenario: equal scenario, seed, endpoint, request and repeat number give an equal result."""

    scenario: Scenario
    seen: dict[tuple[str, str], int] = field(default_factory=dict)

    def draw(self, endpoint: str, body: JsonObject, persona: Persona | None = None) -> tuple[Persona, random.Random]:
        """The persona that answers this one request, and the generator for all other draws.

        `persona` is the endpoint's; without it, the scenario's is used.
        """
        chosen = persona or self.scenario.persona_of(endpoint)
        content = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        count = self.seen.get((endpoint, content), 0)
        if len(self.seen) >= _REMEMBERED:
            self.seen.clear()
        self.seen[endpoint, content] = count + 1
        seed = f"{self.scenario.seed}|{endpoint}|{content}|{count}"
        generator = random.Random(seed)  # noqa: S311 - reproducible on purpose
        hit = generator.random() < chosen.rate
        if chosen.has_rates:
            drawn = uniforms(self.scenario.seed, endpoint, content, count)
            return persona_by_rates(chosen, endpoint, drawn), generator
        return (chosen if hit else replace(chosen, persona="healthy")), generator


def serial(generator: random.Random) -> str:
    """Twenty random letters and digits."""
    return "".join(generator.choices(string.ascii_letters + string.digits, k=20))


def uniforms(seed: int, endpoint: str, content: str, count: int) -> Uniforms:
    """The random numbers of one request: the `count`-th (from 0) with this `content` at this endpoint."""
    key = f"{seed}|{endpoint}|{content}|{count}"
    a, b, c, d, e = unpack("<5Q", hashlib.blake2b(key.encode(), digest_size=40).digest())
    return (a >> 11) * _STEP, (b >> 11) * _STEP, (c >> 11) * _STEP, (d >> 11) * _STEP, (e >> 11) * _STEP


def plain_persona_name(persona: Persona, drawn: Uniforms) -> str:
    """Name of the plain persona that answers the request; `leaks_k2` means the model's own format."""
    available, trigger, leak, schema, _ = drawn
    if available >= persona.availability:
        return "down"
    if trigger >= persona.trigger_rate:
        return "no_call"
    if leak < persona.leak_rate:
        return "leaks_k2"
    return "healthy" if schema < persona.schema_accuracy else "bad_arguments"


def first_token_ms(persona: Persona, drawn: Uniforms) -> float:
    """Log-normal with median `first_token_ms` and 95th percentile `first_token_p95_ms`; fixed if that is None."""
    if persona.first_token_p95_ms is None:
        return persona.first_token_ms
    spread = math.log(persona.first_token_p95_ms / persona.first_token_ms) / _P95
    return persona.first_token_ms * math.exp(spread * _NORMAL.inv_cdf(max(drawn[4], _STEP)))


def persona_by_rates(persona: Persona, endpoint: str, drawn: Uniforms) -> Persona:
    """The plain persona that answers one request, with the first-token time of that request."""
    found = plain_persona(persona, endpoint, plain_persona_name(persona, drawn))
    return replace(found, first_token_ms=first_token_ms(persona, drawn))


@lru_cache(maxsize=1024)
def plain_persona(persona: Persona, endpoint: str, name: str) -> Persona:
    """A persona that always behaves as `name` says, as fast as `persona`. Kimi K3 leaks in its own format."""
    own = "leaks_k3" if name == "leaks_k2" and "kimi-k3" in endpoint.casefold() else name
    return Persona(own, first_token_ms=persona.first_token_ms, tokens_per_s=persona.tokens_per_s)

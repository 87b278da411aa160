"""Seeded random draws for each request: the persona that answers it, and the generator for the ids in the answer.

A persona with true rates answers each request as one plain persona (a persona without rates). The first of these
events that happens selects the plain persona:

- `down`: the endpoint is not available, with probability 1 - `availability`
- `no_call`: the answer has no tool call, with probability 1 - `trigger_rate`
- `leaks_k2` or `leaks_k3`: the tool calls are in the text, with probability `leak_rate`
- `bad_arguments`: the arguments break the schema, with probability 1 - `schema_accuracy`

If no event happens, the plain persona is `healthy`. Each rate has a random number that no other rate uses.
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
"""Five random numbers in [0, 1): for availability, trigger rate, leak rate, schema accuracy, first-token time."""
_STEP = 2.0**-53
_NORMAL = NormalDist()
_P95 = _NORMAL.inv_cdf(0.95)
_REMEMBERED = 100_000
"""Number of different requests whose repeats are counted. When it is reached, all counts start again from 0."""


@dataclass(slots=True)
class Draws:
    """Makes the random draws of one scenario.

    Equal scenario, seed, endpoint, request body and repeat number give an equal result. `seen` counts the requests so
    far, by endpoint and SHA-256 of the body.
    """

    scenario: Scenario
    seen: dict[tuple[str, str], int] = field(default_factory=dict)

    def draw(self, endpoint: str, body: JsonObject, persona: Persona | None = None) -> tuple[Persona, random.Random]:
        """The persona that answers one request, and the random generator for the ids in its answer.

        `persona` is the endpoint's persona. If it is None, the scenario's persona for this endpoint is used.
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
    """A random text of 20 ASCII letters and digits, which makes an id unique."""
    return "".join(generator.choices(string.ascii_letters + string.digits, k=20))


def uniforms(seed: int, endpoint: str, content: str, count: int) -> Uniforms:
    """The five random numbers of one request.

    `content` is the hash of the request's body. `count` is the number of earlier requests to this endpoint with the
    same content.
    """
    key = f"{seed}|{endpoint}|{content}|{count}"
    a, b, c, d, e = unpack("<5Q", hashlib.blake2b(key.encode(), digest_size=40).digest())
    return (a >> 11) * _STEP, (b >> 11) * _STEP, (c >> 11) * _STEP, (d >> 11) * _STEP, (e >> 11) * _STEP


def plain_persona_name(persona: Persona, drawn: Uniforms) -> str:
    """Name of the plain persona (one without rates) that answers the request with these random numbers.

    `leaks_k2` is returned for every model; `plain_persona` changes it to `leaks_k3` for Kimi K3.
    """
    available, trigger, leak, schema, _ = drawn
    if available >= persona.availability:
        return "down"
    if trigger >= persona.trigger_rate:
        return "no_call"
    if leak < persona.leak_rate:
        return "leaks_k2"
    return "healthy" if schema < persona.schema_accuracy else "bad_arguments"


def first_token_ms(persona: Persona, drawn: Uniforms) -> float:
    """Time to the first token of one request, in ms.

    The times are log-normal with the persona's `first_token_ms` as median and `first_token_p95_ms` as 95th percentile.
    If `first_token_p95_ms` is None, every time is `first_token_ms`.
    """
    if persona.first_token_p95_ms is None:
        return persona.first_token_ms
    spread = math.log(persona.first_token_p95_ms / persona.first_token_ms) / _P95
    return persona.first_token_ms * math.exp(spread * _NORMAL.inv_cdf(max(drawn[4], _STEP)))


def persona_by_rates(persona: Persona, endpoint: str, drawn: Uniforms) -> Persona:
    """The plain persona (one without rates) that answers one request, with the request's random first-token time."""
    found = plain_persona(persona, endpoint, plain_persona_name(persona, drawn))
    return replace(found, first_token_ms=first_token_ms(persona, drawn))


@lru_cache(maxsize=1024)
def plain_persona(persona: Persona, endpoint: str, name: str) -> Persona:
    """The persona named `name`, without rates and with the token times of `persona`.

    For an endpoint of Kimi K3, `leaks_k2` is replaced by `leaks_k3`: calls leak in the native format of the model.
    """
    own = "leaks_k3" if name == "leaks_k2" and "kimi-k3" in endpoint.casefold() else name
    return Persona(own, first_token_ms=persona.first_token_ms, tokens_per_s=persona.tokens_per_s)

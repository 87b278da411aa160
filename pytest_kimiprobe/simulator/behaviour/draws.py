"""Seeded random draws: which persona answers a request, and the generator for the ids in its answer."""

from __future__ import annotations

import hashlib
import json
import random
import string
from dataclasses import dataclass, field, replace

from ..conversation import JsonObject
from ..scenario import Persona, Scenario
from .rates import persona_by_rates, uniforms

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

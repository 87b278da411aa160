"""Personas, and scenarios: YAML files that give a persona to each simulated endpoint.

Error messages name the file, the field and the allowed values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any

PERSONAS: Mapping[str, str] = {
    "healthy": "answers well",
    "leaks_k2": "writes its tool calls as Kimi K2 tokens into the text",
    "leaks_k3": "writes its tool calls as Kimi K3 markup (XTML) into the text",
    "leaks_in_reasoning": "writes its tool calls as Kimi K2 tokens into the reasoning and leaves the text empty",
    "json_in_text": "writes its tool calls as JSON into the text",
    "no_call": "answers in prose instead of calling a tool",
    "empty": "answers 200 without text and calls",
    "slow": "answers well, but late",
    "rate_limited": "answers 429",
    "down": "answers 503; with `how: close` closes the connection without an answer",
    "server_error": "answers a 5xx status",
    "error_in_200": "answers 200 with an error in the body",
    "stream_error": "ends a stream with an error chunk; without streaming, an error inside a 200",
    "cut": "ends without a finish reason; with `how: close`, in the middle of the HTTP body",
    "bad_arguments": "sends arguments that break the schema; `how: json` invalid JSON, `how: truncated` cut JSON",
    "unknown_tool": "calls a tool that was not offered",
    "wrong_arguments": "calls the right tool with wrong values",
    "odd_calls": "sends right calls in an odd form: `how: encoded_twice`, `prefixed_name`, `same_id`, `no_arguments`",
    "wrong_finish": "sends tool calls with the finish reason `stop`",
    "retired": "says that the model is gone",
    "no_credit": "says that the account is out of credit",
    "html": "answers 200 with an HTML page",
}
"""Description of each persona, by the persona's name."""

_HOW: Mapping[str, tuple[str, ...]] = {
    "down": ("refuse", "close"),
    "cut": ("finish", "close"),
    "bad_arguments": ("schema", "json", "truncated"),
    "odd_calls": ("encoded_twice", "prefixed_name", "same_id", "no_arguments"),
}


class ScenarioError(ValueError):
    """A scenario cannot be read or is invalid. The message names the file, the field and the allowed values."""


@dataclass(frozen=True, slots=True)
class Persona:
    """How one simulated endpoint behaves.

    `persona` is a name in PERSONAS, and `how` one of the variants that its description lists. `rate` (0..1) is the
    share of requests that get the misbehaviour; the others get a good answer. `first_token_ms` and `tokens_per_s` apply
    to every answer. `at` (0..1) is the share of an answer that is kept when it is cut; `status` is the 5xx status.
    `retry_after_s` is the value of the Retry-After header of `rate_limited`, in seconds.

    `healthy` and `slow` can have four true rates (0..1), with which measured rates are compared:

    - `availability`: share of requests that get an answer; the others get HTTP 503
    - `trigger_rate`: share of answers with a tool call, of the answers that should have one
    - `leak_rate`: share of answers whose calls are in the text, of the answers with a tool call
    - `schema_accuracy`: share of answers whose arguments satisfy their schemas, of the answers that do not leak

    With `first_token_p95_ms`, the time to the first token is log-normal: `first_token_ms` is the median, and
    `first_token_p95_ms` the 95th percentile.
    """

    persona: str = "healthy"
    rate: float = 1.0
    first_token_ms: float = 20.0
    tokens_per_s: float = 4000.0
    how: str = ""
    status: int = 500
    retry_after_s: int | None = 1
    at: float = 0.5
    availability: float = 1.0
    trigger_rate: float = 1.0
    leak_rate: float = 0.0
    schema_accuracy: float = 1.0
    first_token_p95_ms: float | None = None

    @property
    def has_rates(self) -> bool:
        """Whether one of the four true rates differs from its default, or `first_token_p95_ms` is given."""
        rates = (self.availability, self.trigger_rate, 1 - self.leak_rate, self.schema_accuracy)
        return min(rates) < 1 or self.first_token_p95_ms is not None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named set of personas for the simulated endpoints, and the seed of the random draws.

    `endpoints` maps endpoint ids or globs to personas. The entry for exactly the endpoint's id is used, else the
    longest glob that matches the id, else `default`. `first` also maps ids or globs to personas. It is searched before
    `endpoints`, so that a glob in `first` wins over an id in `endpoints`.
    """

    name: str = "healthy"
    seed: int = 1
    default: Persona = Persona()
    endpoints: Mapping[str, Persona] = field(default_factory=dict)
    first: Mapping[str, Persona] = field(default_factory=dict)

    def named(self, endpoint: str) -> Persona | None:
        """The persona of the entry for exactly this endpoint id; None if there is none. Globs are not searched."""
        return self.first.get(endpoint) or self.endpoints.get(endpoint)

    def persona_of(self, endpoint: str) -> Persona:
        """The persona of an endpoint: the one found in `first`, else the one found in `endpoints`, else `default`.

        In each mapping, an entry for exactly this id wins over globs, and a longer glob over a shorter one.
        """
        for personas in (self.first, self.endpoints):
            if endpoint in personas:
                return personas[endpoint]
            if globs := [pattern for pattern in personas if fnmatchcase(endpoint, pattern)]:
                return personas[max(globs, key=len)]
        return self.default

    def replaced(self, globs: Iterable[str], persona: Persona) -> Scenario:
        """A copy of this scenario in which every endpoint that matches one of `globs` has the given persona."""
        first = dict.fromkeys(globs, persona)
        replaced = {name for name in self.endpoints if any(fnmatchcase(name, glob) for glob in first)}
        kept = {name: own for name, own in self.endpoints.items() if name not in replaced}
        return replace(self, endpoints=kept, first={**self.first, **first})


def scenario_names() -> list[str]:
    """Names of the packaged scenarios."""
    folder = resources.files(__package__).joinpath("scenarios")
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def load_scenario(name_or_path: str | Path = "mixed", *, seed: int | None = None) -> Scenario:
    """Load a packaged scenario by its name, or a scenario file by its path.

    A value with a slash, or one that ends in .yaml or .yml, is a path. `seed` replaces the seed of the scenario.
    Raises ScenarioError if the scenario cannot be read or is invalid.
    """
    text, prefix = _read(str(name_or_path))
    scenario = _scenario(_parse(text, prefix), prefix)
    return scenario if seed is None else replace(scenario, seed=seed)


def _read(name: str) -> tuple[str, str]:
    if "/" in name or name.endswith((".yaml", ".yml")):
        try:
            return Path(name).read_text("utf-8"), name
        except (OSError, UnicodeDecodeError) as error:
            raise ScenarioError(f"{name}: cannot be read: {error}") from None
    if name not in scenario_names():
        raise ScenarioError(f"no scenario {name!r}; available: {', '.join(scenario_names())}, or a path to a file")
    return resources.files(__package__).joinpath("scenarios", f"{name}.yaml").read_text("utf-8"), f"{name}.yaml"


def _parse(text: str, prefix: str) -> Mapping[str, Any]:
    import yaml

    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ScenarioError(f"{prefix}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise ScenarioError(f"{prefix}: must be a mapping with seed, default, endpoints")
    return data


def _scenario(data: Mapping[str, Any], prefix: str) -> Scenario:
    _known(data, ("about", "seed", "default", "endpoints"), prefix)
    seed = data.get("seed", 1)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ScenarioError(f"{prefix}: seed: must be an integer, not {seed!r}")
    endpoints = data.get("endpoints") or {}
    if not isinstance(endpoints, dict):
        raise ScenarioError(f"{prefix}: endpoints: must map endpoint ids or globs to personas")
    return Scenario(
        name=Path(prefix).stem,
        seed=seed,
        default=persona_of(data.get("default", "healthy"), f"{prefix}: default"),
        endpoints={str(name): persona_of(row, f"{prefix}: endpoints.{name}") for name, row in endpoints.items()},
    )


def persona_of(row: Any, prefix: str) -> Persona:
    """Make a Persona from a persona's name or from a mapping of Persona's fields.

    Raises ScenarioError for unknown fields and for values that are not allowed. Its message starts with `prefix`.
    """
    given = {"persona": row} if isinstance(row, str) else row
    if not isinstance(given, dict):
        raise ScenarioError(f"{prefix}: must be a persona's name or a mapping with `persona`")
    _known(given, tuple(item.name for item in fields(Persona)), prefix)
    name = given.get("persona", "healthy")
    if name not in PERSONAS:
        raise ScenarioError(f"{prefix}.persona: no persona {name!r}; available: {', '.join(PERSONAS)}")
    for key, (low, high) in _RANGES.items():
        value = given.get(key, low)
        if value is None and key in _MAY_BE_NONE:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ScenarioError(f"{prefix}.{key}: must be a number from {low} to {high}, not {value!r}")
    how = given.get("how", "")
    if how and how not in _HOW.get(name, ()):
        raise ScenarioError(f"{prefix}.how: {name} allows {', '.join(_HOW.get(name, ())) or 'no `how`'}, not {how!r}")
    return _checked(Persona(**given), prefix)


def _checked(persona: Persona, prefix: str) -> Persona:
    """Return the persona unchanged, after a check of its true rates and first-token times.

    Raises ScenarioError for true rates if the persona is not `healthy` or `slow`, or if its `rate` is not 1. With
    `first_token_p95_ms`, raises ScenarioError if `first_token_ms` is 0 or greater than `first_token_p95_ms`.
    """
    if persona.has_rates and (persona.persona not in _WITH_RATES or persona.rate != 1):
        rates = "availability, trigger_rate, leak_rate, schema_accuracy and first_token_p95_ms"
        raise ScenarioError(f"{prefix}: {rates} are for {' and '.join(_WITH_RATES)} only, and without `rate`")
    p95 = persona.first_token_p95_ms
    if p95 is not None and not 0 < persona.first_token_ms <= p95:
        raise ScenarioError(
            f"{prefix}.first_token_p95_ms: must be at least first_token_ms, which must be above 0; "
            f"not {p95!r} beside {persona.first_token_ms!r}"
        )
    return persona


_RANGES: Mapping[str, tuple[float, float]] = {
    "rate": (0, 1),
    "at": (0, 1),
    "first_token_ms": (0, 3_600_000),
    "tokens_per_s": (0.1, 1_000_000),
    "status": (500, 599),
    "retry_after_s": (0, 86_400),
    "availability": (0, 1),
    "trigger_rate": (0, 1),
    "leak_rate": (0, 1),
    "schema_accuracy": (0, 1),
    "first_token_p95_ms": (0, 3_600_000),
}
_MAY_BE_NONE = frozenset({"retry_after_s", "first_token_p95_ms"})
_WITH_RATES = ("healthy", "slow")


def _known(data: Mapping[str, Any], names: tuple[str, ...], prefix: str) -> None:
    for key in data:
        if key not in names:
            raise ScenarioError(f"{prefix}: unknown field {key!r}; available: {', '.join(names)}")

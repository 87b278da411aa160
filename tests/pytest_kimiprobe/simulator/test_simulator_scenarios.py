"""Scenario files: the packaged ones, the fields of a user's file, and the errors of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kimiprobe.simulator import Persona, Scenario, ScenarioError, load_scenario, scenario_names

ENDPOINTS = [
    "moonshot/kimi-k2.6",
    "openrouter/moonshotai/kimi-k2.6",
    "openrouter/moonshotai/kimi-k2.6+novita/fp8",
    "openrouter/moonshotai/kimi-k2.6+deepinfra/fp4",
    "openrouter/moonshotai/kimi-k2.6+moonshotai/int4",
    "openrouter/moonshotai/kimi-k2.6+wandb/fp8",
    "openrouter/moonshotai/kimi-k2.6+fireworks/fp8",
    "groq/moonshotai/kimi-k2-instruct-0905",
]


def played(name: str) -> dict[str, str]:
    scenario = load_scenario(name)
    return {endpoint: scenario.persona_of(endpoint).persona for endpoint in ENDPOINTS}


def test_packaged_scenarios() -> None:
    """The package has four scenarios."""
    assert scenario_names() == ["broken", "healthy", "mixed", "outage"]


def test_healthy_and_outage_are_all_or_nothing() -> None:
    """In `healthy` all endpoints answer, in `outage` none."""
    assert set(played("healthy").values()) == {"healthy"}
    assert set(played("outage").values()) == {"down"}


def test_mixed_has_one_of_each() -> None:
    """The default scenario: the cheapest upstream and Moonshot work, every other K2.6 host fails in another way."""
    personas = played("mixed")
    failing = [persona for persona in personas.values() if persona != "healthy"]
    assert sorted(failing) == ["bad_arguments", "down", "leaks_k2", "rate_limited", "slow"]
    assert personas["moonshot/kimi-k2.6"] == "healthy"
    assert personas["openrouter/moonshotai/kimi-k2.6+wandb/fp8"] == "healthy"


def test_broken_leaves_moonshot() -> None:
    """Every OpenRouter host is broken, Moonshot is not."""
    personas = played("broken")
    assert [endpoint for endpoint, persona in personas.items() if persona == "healthy"] == [
        "moonshot/kimi-k2.6",
        "groq/moonshotai/kimi-k2-instruct-0905",
    ]


def write(folder: Path, text: str) -> Path:
    file = folder / "own.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_users_file(tmp_path: Path) -> None:
    """An id wins, then the longest glob, then the default; a persona is a name or a mapping."""
    file = write(
        tmp_path,
        """
seed: 9
default: {persona: slow, first_token_ms: 500}
endpoints:
  "openrouter/*": empty
  "openrouter/moonshotai/*": {persona: leaks_k2, rate: 0.25}
  "openrouter/moonshotai/kimi-k2.6": healthy
""",
    )
    scenario = load_scenario(file)
    assert (scenario.name, scenario.seed, load_scenario(file, seed=4).seed) == ("own", 9, 4)
    assert scenario.persona_of("openrouter/moonshotai/kimi-k2.6") == Persona("healthy")
    assert scenario.persona_of("openrouter/moonshotai/kimi-k3") == Persona("leaks_k2", rate=0.25)
    assert scenario.persona_of("openrouter/anthropic/claude") == Persona("empty")
    assert scenario.persona_of("moonshot/kimi-k3") == scenario.default
    assert scenario.default == Persona("slow", first_token_ms=500)


def test_rates_of_a_persona(tmp_path: Path) -> None:
    """A mapping without `persona` is a healthy one with true rates."""
    row = "availability: 0.99, trigger_rate: 0.9, leak_rate: 0.02, schema_accuracy: 0.95, first_token_p95_ms: 60"
    scenario = load_scenario(write(tmp_path, f"default: {{{row}}}"))
    assert scenario.default == Persona(
        availability=0.99, trigger_rate=0.9, leak_rate=0.02, schema_accuracy=0.95, first_token_p95_ms=60
    )
    assert scenario.default.has_rates
    assert not Persona().has_rates


def test_replaced_personas_win_against_all_personas_of_the_scenario() -> None:
    """They win against an id, a longer glob and an unpinned model; other endpoints keep theirs."""
    rated = Persona(schema_accuracy=0.9)
    scenario = load_scenario("mixed").replaced(["openrouter/*"], rated)
    assert scenario.persona_of("openrouter/moonshotai/kimi-k2.6+novita/fp8") == rated
    assert scenario.named("openrouter/moonshotai/kimi-k2.6") is None
    assert scenario.persona_of("moonshot/kimi-k2.6") == Persona(first_token_ms=30)
    longer = Scenario(endpoints={"*moonshot/kimi-k2.6*": Persona("down")}).replaced(["moonshot/*"], rated)
    assert longer.persona_of("moonshot/kimi-k2.6") == rated
    exact = load_scenario("mixed").replaced(["openrouter/moonshotai/kimi-k2.6"], rated)
    assert exact.named("openrouter/moonshotai/kimi-k2.6") == rated


WRONG = [
    ("[1, 2]", "must be a mapping"),
    ("seed: [", "not YAML"),
    ("seed: soon", "seed: must be an integer, not 'soon'"),
    ("seeds: 1", "unknown field 'seeds'; available: about, seed, default, endpoints"),
    ("endpoints: [a]", "endpoints: must map"),
    ("default: healthyy", "default.persona: no persona 'healthyy'; available: healthy, leaks_k2"),
    ("endpoints: {'a/b': 7}", "endpoints.a/b: must be a persona's name or a mapping"),
    ("endpoints: {'a/b': {persona: empty, rate: 2}}", "endpoints.a/b.rate: must be a number from 0 to 1, not 2"),
    ("endpoints: {'a/b': {persona: empty, rate: true}}", "endpoints.a/b.rate: must be a number"),
    ("endpoints: {'a/b': {persona: server_error, status: 404}}", "a/b.status: must be a number from 500 to 599"),
    ("endpoints: {'a/b': {persona: empty, raet: 1}}", "endpoints.a/b: unknown field 'raet'; available: persona, rate"),
    ("endpoints: {'a/b': {persona: cut, how: slowly}}", "a/b.how: cut allows finish, close, not 'slowly'"),
    ("endpoints: {'a/b': {persona: empty, how: close}}", "a/b.how: empty allows no `how`, not 'close'"),
    ("default: {persona: empty, rate: null}", "default.rate: must be a number from 0 to 1, not None"),
    ("default: {schema_accuracy: 97}", "default.schema_accuracy: must be a number from 0 to 1, not 97"),
    ("default: {trigger_rate: .nan}", "default.trigger_rate: must be a number from 0 to 1, not nan"),
    ("default: {availability: often}", "default.availability: must be a number from 0 to 1, not 'often'"),
    ("default: {leak_rate: -0.1}", "default.leak_rate: must be a number from 0 to 1, not -0.1"),
    ("default: {persona: leaks_k2, schema_accuracy: 0.9}", "are for healthy and slow only, and without `rate`"),
    ("default: {rate: 0.5, availability: 0.9}", "are for healthy and slow only, and without `rate`"),
    (
        "default: {first_token_ms: 50, first_token_p95_ms: 20}",
        "default.first_token_p95_ms: must be at least first_token_ms, which must be above 0; not 20 beside 50",
    ),
    ("default: {first_token_ms: 0, first_token_p95_ms: 20}", "first_token_p95_ms: must be at least first_token_ms"),
]


@pytest.mark.parametrize(("text", "sentence"), WRONG)
def test_the_error_of_a_wrong_file_names_field_and_choices(tmp_path: Path, text: str, sentence: str) -> None:
    """The error names file, field and allowed values."""
    file = write(tmp_path, text)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert sentence in str(caught.value)


def test_a_missing_file_or_name() -> None:
    """An unknown name lists the names; an unreadable path is named."""
    with pytest.raises(ScenarioError, match="available: broken, healthy, mixed, outage"):
        load_scenario("mixd")
    with pytest.raises(ScenarioError, match=r"nowhere/own\.yaml: cannot be read"):
        load_scenario("nowhere/own.yaml")

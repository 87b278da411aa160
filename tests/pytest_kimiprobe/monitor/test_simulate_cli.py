"""`kimiprobe simulate` with true rates."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from pytest_kimiprobe.monitor.cli import simulate as module
from pytest_kimiprobe.simulator import Persona, Scenario


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Scenario]:
    """The scenarios that would be served, instead of serving them for ever."""
    scenarios: list[Scenario] = []
    monkeypatch.setattr(module, "serve_forever", lambda scenario, _port, _ready: scenarios.append(scenario))
    return scenarios


def test_rates_are_for_every_endpoint(served: list[Scenario]) -> None:
    """Whatever the scenario says of them; the seed is the given one."""
    arguments = "--seed 7 --schema-accuracy 0.9 --trigger-rate 0.8 --leak-rate 0.1 --availability 0.99"
    arguments += " --first-token-ms 50 --first-token-p95-ms 200"
    done = CliRunner().invoke(module.simulate, arguments.split())
    assert done.exit_code == 0, done.output
    persona = Persona(
        schema_accuracy=0.9,
        trigger_rate=0.8,
        leak_rate=0.1,
        availability=0.99,
        first_token_ms=50,
        first_token_p95_ms=200,
    )
    assert served[0].seed == 7
    for endpoint in ("moonshot/kimi-k2.6", "openrouter/moonshotai/kimi-k2.6+fireworks/fp8", "groq/x"):
        assert served[0].persona_of(endpoint) == persona


def test_rates_are_for_some_endpoints(served: list[Scenario]) -> None:
    """The others stay as the scenario has them."""
    arguments = ["--endpoint", "moonshot/*", "--endpoint", "groq/*", "--leak-rate", "1"]
    assert CliRunner().invoke(module.simulate, arguments).exit_code == 0
    assert served[0].persona_of("groq/x") == Persona(leak_rate=1)
    assert served[0].persona_of("openrouter/moonshotai/kimi-k2.6+fireworks/fp8") == Persona("down")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--schema-accuracy 97", "97.0 is not in the range 0<=x<=1"),
        ("--leak-rate often", "'often' is not a valid float"),
        ("--endpoint moonshot/*", "--endpoint needs at least one rate"),
        ("--first-token-ms 0 --first-token-p95-ms 5", "must be at least first_token_ms, and that more than 0"),
        ("--availability nan", "nan"),
    ],
)
def test_what_cannot_hold_is_refused(served: list[Scenario], arguments: str, told: str) -> None:
    """By the option's name, before anything is served."""
    done = CliRunner().invoke(module.simulate, arguments.split())
    assert done.exit_code != 0
    assert told in done.output
    assert not served

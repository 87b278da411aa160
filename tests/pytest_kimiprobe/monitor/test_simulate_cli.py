"""`kimiprobe simulate`: true rates, and ports that cannot be used."""

from __future__ import annotations

import errno
import socket

import pytest
from click.testing import CliRunner

from pytest_kimiprobe.monitor.cli import simulate as module
from pytest_kimiprobe.simulator import Persona, Scenario


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Scenario]:
    """The scenarios that would be served; no server is started."""
    scenarios: list[Scenario] = []
    monkeypatch.setattr(module, "serve_forever", lambda scenario, _port, _ready: scenarios.append(scenario))
    return scenarios


def test_rates_are_for_every_endpoint(served: list[Scenario]) -> None:
    """They replace all personas of the scenario; the seed is the given one."""
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
    """Other endpoints keep the personas of the scenario."""
    arguments = ["--endpoint", "moonshot/*", "--endpoint", "groq/*", "--leak-rate", "1"]
    assert CliRunner().invoke(module.simulate, arguments).exit_code == 0
    assert served[0].persona_of("groq/x") == Persona(leak_rate=1)
    assert served[0].persona_of("openrouter/moonshotai/kimi-k2.6+fireworks/fp8") == Persona("down")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--schema-accuracy 97", "97.0 is not in the range 0<=x<=1"),
        ("--leak-rate often", "'often' is not a valid float"),
        (
            "--endpoint moonshoot/* --leak-rate .5",
            "moonshoot/* matches no endpoint of the catalogue; did you mean moonshot/*?",
        ),
        ("--endpoint moonshot/*", "--endpoint needs at least one rate"),
        ("--first-token-ms 0 --first-token-p95-ms 5", "must be at least first_token_ms, which must be above 0"),
        ("--availability nan", "nan"),
        ("--port 99999", "99999 is not in the range 0<=x<=65535"),
        ("--port -1", "-1 is not in the range 0<=x<=65535"),
    ],
)
def test_options_that_cannot_be_used_are_refused(served: list[Scenario], arguments: str, message: str) -> None:
    """The message names the option, and no server is started."""
    done = CliRunner().invoke(module.simulate, arguments.split())
    assert done.exit_code != 0
    assert message in done.output
    assert not served


def test_a_busy_port_is_one_sentence() -> None:
    """The message has the port and the system's reason, without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(module.simulate, ["--port", str(port)])
    assert (done.exit_code, done.output) == (1, f"Error: cannot listen on port {port}: Address already in use\n")


def test_a_port_without_permission_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports below 1024 are reserved on some systems."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "error while attempting to bind on address ('127.0.0.1', 80)")

    monkeypatch.setattr(module, "serve_forever", refuse)
    done = CliRunner().invoke(module.simulate, ["--port", "80"])
    assert (done.exit_code, done.output) == (1, "Error: cannot listen on port 80: Permission denied\n")

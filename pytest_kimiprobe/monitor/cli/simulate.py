"""`kimiprobe simulate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ...simulator import Scenario, ScenarioError, Simulator, load_scenario, persona_of, scenario_names, serve_forever

_SHARE = click.FloatRange(0, 1)
_MS = click.FloatRange(0, 3_600_000)
_RATES: tuple[tuple[str, click.FloatRange, str], ...] = (
    ("availability", _SHARE, "Share of requests that are answered at all; the others meet HTTP 503."),
    ("trigger-rate", _SHARE, "Of answers that are to call a tool, the share that does."),
    ("leak-rate", _SHARE, "Of answers that call, the share whose calls stand in the text."),
    ("schema-accuracy", _SHARE, "Of the other answers that call, the share whose arguments satisfy their schemas."),
    ("first-token-ms", _MS, "First token; the median where --first-token-p95-ms is given."),
    ("first-token-p95-ms", _MS, "95th percentile of a log-normal first token."),
)


def _rate_options(command: Callable[..., None]) -> Callable[..., None]:
    for name, kind, told in reversed(_RATES):
        command = click.option(f"--{name}", type=kind, help=told)(command)
    return command


@click.command()
@click.option("--scenario", default="mixed", show_default=True, help="Name of a packaged scenario, or a file.")
@click.option("--seed", type=int, help="Seed of all draws (default: the scenario's).")
@click.option("--endpoint", "endpoints", multiple=True, help="Glob of endpoints that the rates are for (default: all).")
@_rate_options
@click.option("--port", default=0, help="Port on 127.0.0.1 (default: any free one).")
@click.option("--list", "list_them", is_flag=True, help="List the packaged scenarios.")
def simulate(
    scenario: str, seed: int | None, endpoints: tuple[str, ...], port: int, list_them: bool, **rates: float | None
) -> None:
    """Run the simulator alone, for use with any client.

    Prints the environment that points live runs at it. Ends with Ctrl-C. With rates, the endpoints they are for answer
    with those true rates instead of as the scenario says: what a run measures can then be held against them.
    """
    if list_them:
        for name in scenario_names():
            click.echo(name)
        return
    try:
        chosen = _with_rates(load_scenario(scenario, seed=seed), endpoints, rates)
    except ScenarioError as error:
        raise click.ClickException(str(error)) from None
    try:
        serve_forever(chosen, port, _announce)
    except OSError as error:
        raise click.ClickException(f"port {port}: {error.strerror}") from None


def _with_rates(scenario: Scenario, endpoints: tuple[str, ...], rates: dict[str, Any]) -> Scenario:
    """The scenario with the given rates in it. Raises ScenarioError where they cannot hold."""
    given = {name: value for name, value in rates.items() if value is not None}
    if endpoints and not given:
        raise click.UsageError("--endpoint needs at least one rate: --availability, --schema-accuracy, ...")
    return scenario.replaced(endpoints or ("*",), persona_of(given, "rates")) if given else scenario


def _announce(simulator: Simulator) -> None:
    for name, value in simulator.environment().items():
        click.echo(f"export {name}={value}")
    click.echo("# paste these lines into another shell; Ctrl-C ends the simulator", err=True)

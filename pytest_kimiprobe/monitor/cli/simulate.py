"""Command `kimiprobe simulate`: serves simulated endpoints on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from routing import catalog as catalogs

from ...simulator import (
    Scenario,
    ScenarioError,
    Simulator,
    listen_problem,
    load_scenario,
    persona_of,
    scenario_names,
    serve_forever,
)
from ..flags_edit.lint import unmatched

_SHARE = click.FloatRange(0, 1)
_MS = click.FloatRange(0, 3_600_000)
_RATES: tuple[tuple[str, click.FloatRange, str], ...] = (
    ("availability", _SHARE, "Share of requests that get an answer; the others get HTTP 503."),
    ("trigger-rate", _SHARE, "Of answers that should call a tool, the share that does."),
    ("leak-rate", _SHARE, "Of answers that call a tool, the share whose calls are in the text."),
    ("schema-accuracy", _SHARE, "Of the other calls, the share whose arguments satisfy their schemas."),
    ("first-token-ms", _MS, "Time to the first token; the median if --first-token-p95-ms is given."),
    ("first-token-p95-ms", _MS, "95th percentile of a log-normal time to the first token."),
)


def _rate_options(command: Callable[..., None]) -> Callable[..., None]:
    for name, kind, text in reversed(_RATES):
        command = click.option(f"--{name}", type=kind, help=text)(command)
    return command


@click.command()
@click.option("--scenario", default="mixed", show_default=True, help="Name of a packaged scenario, or a file.")
@click.option("--seed", type=int, help="Seed of all draws (default: the scenario's).")
@click.option("--endpoint", "endpoints", multiple=True, help="Glob of endpoints that get the rates (default: all).")
@_rate_options
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="Port on 127.0.0.1 (default: any free one).")
@click.option("--list", "list_them", is_flag=True, help="List the packaged scenarios.")
def simulate(
    scenario: str, seed: int | None, endpoints: tuple[str, ...], port: int, list_them: bool, **rates: float | None
) -> None:
    """Run the simulator until Ctrl-C, for use with any client.

    Prints the environment variables that point live runs to it. If rates are given, endpoints answer with them
    instead of the scenario's personas. The measures of a run can then be compared with these true rates.
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
        raise click.ClickException(listen_problem(port, error)) from None


def _with_rates(scenario: Scenario, endpoints: tuple[str, ...], rates: dict[str, Any]) -> Scenario:
    """The scenario with the given rates set for the endpoints that match the globs; without globs, for all.

    Raises ScenarioError if the rates do not fit together, and UsageError for a glob that matches no endpoint.
    """
    given = {name: value for name, value in rates.items() if value is not None}
    if endpoints and not given:
        raise click.UsageError("--endpoint needs at least one rate: --availability, --schema-accuracy, ...")
    known = {*catalogs.load(environment={}).endpoints, *scenario.endpoints}
    for problem in unmatched(endpoints, known):
        raise click.UsageError(f"--endpoint: {problem}")
    return scenario.replaced(endpoints or ("*",), persona_of(given, "rates")) if given else scenario


def _announce(simulator: Simulator) -> None:
    for name, value in simulator.environment().items():
        click.echo(f"export {name}={value}")
    click.echo("# paste these lines into another shell; Ctrl-C ends the simulator", err=True)

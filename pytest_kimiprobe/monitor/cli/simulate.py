"""`kimiprobe simulate`."""

from __future__ import annotations

import click

from pytest_kimiprobe.simulator import ScenarioError, Simulator, load_scenario, scenario_names, serve_forever


@click.command()
@click.option("--scenario", default="mixed", show_default=True, help="Name of a packaged scenario, or a file.")
@click.option("--port", default=0, help="Port on 127.0.0.1 (default: any free one).")
@click.option("--list", "list_them", is_flag=True, help="List the packaged scenarios.")
def simulate(scenario: str, port: int, list_them: bool) -> None:
    """Run the simulator alone, for use with any client.

    Prints the environment that points live runs at it. Ends with Ctrl-C.
    """
    if list_them:
        for name in scenario_names():
            click.echo(name)
        return
    try:
        chosen = load_scenario(scenario)
    except ScenarioError as error:
        raise click.ClickException(str(error)) from None
    try:
        serve_forever(chosen, port, _announce)
    except OSError as error:
        raise click.ClickException(f"port {port}: {error.strerror}") from None


def _announce(simulator: Simulator) -> None:
    for name, value in simulator.environment().items():
        click.echo(f"export {name}={value}")
    click.echo("# paste these lines into another shell; Ctrl-C ends the simulator", err=True)

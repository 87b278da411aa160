"""`python -m pytest_kimiprobe.simulator`: run the simulator until Ctrl-C."""

from __future__ import annotations

import argparse
import shlex
import sys

from . import ScenarioError, Simulator, listen_problem, load_scenario, scenario_names, serve_forever


def _show(simulator: Simulator) -> None:
    print(f"# scenario {simulator.scenario.name} at {simulator.url}; Ctrl-C ends it")
    for name, value in simulator.environment().items():
        print(f"export {name}={shlex.quote(value)}")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Run the server. Returns the exit code: 0 after Ctrl-C, 2 if the scenario or the port cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m pytest_kimiprobe.simulator", description=__doc__)
    names = ", ".join(scenario_names())
    parser.add_argument("--scenario", default="mixed", help=f"{names}, or a path (default: mixed)")
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    parser.add_argument("--seed", type=int, default=None, help="default: the scenario's own")
    options = parser.parse_args(arguments)
    try:
        serve_forever(load_scenario(options.scenario, seed=options.seed), options.port, _show)
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 2
    except (OSError, OverflowError) as error:
        print(listen_problem(options.port, error), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`kimiprobe check`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pytest_kimiprobe.monitor import isolation
from routing.flags.model import Flags
from routing.flags.source import find_flags


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--results", default="results", show_default=True, help="Folder that the run is recorded in.")
@click.option("--flags", "flags_path", type=click.Path(path_type=Path), help="flags.yaml (default: found upwards).")
@click.option("--source", help="live, simulator[:SCENARIO] or replay:PATH.")
@click.option("--suite", help="smoke, core or full.")
@click.option("--endpoint", "endpoints", multiple=True, help="Only endpoints that match this glob (repeatable).")
@click.option("--model", help="Model to probe (default: default_model of flags.yaml).")
@click.option("--repeat", type=click.IntRange(1), help="How often each probe is sent.")
@click.option("--budget", help="USD that the run may cost at most.")
@click.option("--plugin", "plugins", multiple=True, help="Module of a pytest plugin to load (repeatable).")
@click.option("--with-conftest", is_flag=True, help="Load conftest.py files as `pytest --kimiprobe` does.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def check(  # noqa: PLR0917 - one parameter an option
    results: str,
    flags_path: Path | None,
    source: str | None,
    suite: str | None,
    endpoints: tuple[str, ...],
    model: str | None,
    repeat: int | None,
    budget: str | None,
    plugins: tuple[str, ...],
    with_conftest: bool,
    arguments: tuple[str, ...],
) -> None:
    """Run the suite, record the run, print the recommendation.

    It is `pytest --kimiprobe` with the results recorded, isolated from the repository's test environment: of its
    configuration only kimiprobe_* settings are read. Further ARGUMENTS go to pytest. Exit codes are pytest's: 0 all
    right, 1 some probes failed, 2 and above the monitor itself is broken.
    """
    path = flags_path or find_flags()
    model = model or (Flags.load(path).default_model if path is not None else None)
    given = {"source": source, "suite": suite, "model": model, "repeat": repeat, "budget": budget, "results": results}
    command = isolation.command(Path.cwd(), plugins, with_conftest=with_conftest)
    command += ["--kimiprobe", *(f"--kimiprobe-{name}={value}" for name, value in given.items() if value is not None)]
    command += [f"--kimiprobe-endpoint={glob}" for glob in endpoints]
    # In place of this process: pytest rewrites asserts of modules that are not loaded yet, and Ctrl-C is its own.
    os.execve(command[0], [*command, *arguments], isolation.environment())  # noqa: S606 - no shell

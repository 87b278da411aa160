"""Command `kimiprobe check`: probes the endpoints with the cases of a suite, and records the run.

The monitor probes hosts from any repository. Settings that the repository needs for its own tests must not affect the
probes: conftest.py files, `addopts`, plugins, warnings as errors. Only the repository's `kimiprobe_*` settings are
read.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from routing.errors import ConfigError
from routing.flags.model import Flags
from routing.flags.source import find_flags

from ...config.ini_files import repository_settings
from .shared import flags_option

_INSIDE = ("kimiprobe_json", "kimiprobe_record", "kimiprobe_catalog")
"""Settings whose value must be a path inside the repository: files to write, and a catalogue of hosts."""
_FOR_TESTS = frozenset({"PYTEST_ADDOPTS", "PYTEST_PLUGINS"})


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--results", default="results", show_default=True, help="Folder that the run is recorded in.")
@flags_option
@click.option("--source", help="live, simulator[:SCENARIO] or replay:PATH.")
@click.option("--suite", help="smoke, core or full.")
@click.option("--endpoint", "endpoints", multiple=True, help="Only endpoints that match this glob (repeatable).")
@click.option("--model", help="Model to probe (default: default_model of flags.yaml).")
@click.option("--repeat", type=click.IntRange(1), help="How often each probe is sent.")
@click.option("--budget", help="USD that the run may cost at most.")
@click.option("--plugin", "plugins", multiple=True, help="Module of a pytest plugin to load (repeatable).")
@click.option("--with-conftest", is_flag=True, help="Load conftest.py files as `pytest --kimiprobe` does.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def check(
    flags_path: Path | None,
    endpoints: tuple[str, ...],
    plugins: tuple[str, ...],
    with_conftest: bool,
    arguments: tuple[str, ...],
    **options: str | int | None,
) -> None:
    """Run the suite, record the run, print the recommendation.

    It is `pytest --kimiprobe` with the results recorded, isolated from the repository's test environment: of its
    configuration only kimiprobe_* settings are read. Further ARGUMENTS go to pytest. Exit codes are pytest's: 0 all
    right, 1 some probes failed, 2 and above the monitor itself is broken. A run that is not complete
    exits with 2 or more.
    """
    _refuse_unknown(arguments, may_have_more=bool(plugins))
    path = flags_path or find_flags()
    if path is not None and not options["model"]:
        options["model"] = Flags.load(path).default_model
    command = _isolated(Path.cwd(), plugins, with_conftest=with_conftest)
    command += ["--kimiprobe", *(f"--kimiprobe-{name}={value}" for name, value in options.items() if value is not None)]
    command += [f"--kimiprobe-endpoint={glob}" for glob in endpoints]
    # In place of this process: pytest rewrites asserts of modules that are not loaded yet, and Ctrl-C is its own.
    try:
        os.execve(command[0], [*command, *arguments], _environment())  # noqa: S606 - no shell
    except OSError as error:
        raise ConfigError(error.strerror or "cannot be run", where=command[0]) from None


def _refuse_unknown(arguments: Sequence[str], *, may_have_more: bool) -> None:
    """Raise NoSuchOption for an argument that is a mistyped option of kimiprobe.

    If `may_have_more` is true, plugins may declare similar options, and only names with `--kimiprobe` are checked.
    """
    from pytest_kimiprobe.config.options import OPTIONS

    whole = ["--kimiprobe", *(option.flag for option in OPTIONS)]
    short = [name for parameter in check.params for name in parameter.opts if name.startswith("--")]
    for name in (argument.partition("=")[0] for argument in arguments if argument.startswith("--")):
        ours = name.startswith("--kimiprobe")
        close = difflib.get_close_matches(name, whole if ours else short, n=1, cutoff=0.6 if ours else 0.8)
        if (ours and name not in whole) or (close and not ours and not may_have_more):
            raise click.NoSuchOption(name, possibilities=close)


def _isolated(folder: Path, plugins: Sequence[str] = (), *, with_conftest: bool = False) -> list[str]:
    """Beginning of a command line that runs pytest isolated in `folder`; further arguments can be appended.

    `plugins` are modules to load as pytest plugins. The working directory is on the import path only if there is at
    least one. Raises ConfigError if a setting of the repository cannot be read, or names a path outside the repository.
    """
    root, settings = repository_settings(folder)
    _require_inside(root, settings)
    python = [sys.executable, *([] if plugins else ["-P"]), "-m", "pytest_kimiprobe.monitor.isolated_run"]
    isolated = ["-c", os.devnull, f"--rootdir={root}", f"--confcutdir={root}", "--disable-plugin-autoload"]
    conftest = [] if with_conftest else ["--noconftest"]
    loaded = [argument for name in ("pytest_kimiprobe.plugin", *plugins) for argument in ("-p", name)]
    given = [argument for name, value in settings.items() for argument in ("-o", f"{name}={value}")]
    return [*python, *isolated, *conftest, *loaded, *given]


def _require_inside(root: Path, settings: Mapping[str, str]) -> None:
    for name in _INSIDE:
        path = Path(settings.get(name, ""))
        out = path.anchor or ".." in path.parts or not (root / path).resolve().is_relative_to(root.resolve())
        if out:
            message = f"{path}: must be a relative path inside the repository, without `..`"
            raise ConfigError(message, where=f"ini setting {name}")


def _environment() -> dict[str, str]:
    """This process's environment without PYTEST_ADDOPTS and PYTEST_PLUGINS, which change every pytest."""
    return {name: value for name, value in os.environ.items() if name not in _FOR_TESTS}

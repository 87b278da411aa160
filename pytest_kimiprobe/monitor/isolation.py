"""Builds command line and environment of a pytest process that is isolated from the repository's test settings.

The monitor probes hosts from any repository. Settings that the repository needs for its own tests must not affect the
probes: conftest.py files, `addopts`, plugins, warnings as errors. Only the repository's `kimiprobe_*` settings are
read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from routing.errors import ConfigError

from ..config.ini_files import repository_settings

_INSIDE = ("kimiprobe_json", "kimiprobe_record", "kimiprobe_catalog")
"""Settings whose value must be a path inside the repository: files to write, and a catalogue of hosts."""
_FOR_TESTS = frozenset({"PYTEST_ADDOPTS", "PYTEST_PLUGINS"})


def command(folder: Path, plugins: Sequence[str] = (), *, with_conftest: bool = False) -> list[str]:
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


def environment() -> dict[str, str]:
    """This process's environment without PYTEST_ADDOPTS and PYTEST_PLUGINS, which change every pytest."""
    return {name: value for name, value in os.environ.items() if name not in _FOR_TESTS}

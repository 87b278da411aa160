"""The command line and environment of a pytest that is isolated from the repository's test environment.

The monitor probes hosts from any repository. Settings that the repository needs for its own tests must not affect it:
conftest.py files, `addopts`, plugins, warnings as errors. Only the repository's `kimiprobe_*` settings are read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..config.ini_files import repository_settings

_FOR_TESTS = frozenset({"PYTEST_ADDOPTS", "PYTEST_PLUGINS"})


def command(folder: Path, plugins: Sequence[str] = (), *, with_conftest: bool = False) -> list[str]:
    """The beginning of a command line that runs pytest isolated in `folder`. Raises ConfigError.

    `plugins` are modules to load. The working directory is on the import path only if there is at least one.
    """
    root, settings = repository_settings(folder)
    python = [sys.executable, *([] if plugins else ["-P"]), "-m", "pytest"]
    isolated = ["-c", os.devnull, f"--rootdir={root}", f"--confcutdir={root}", "--disable-plugin-autoload"]
    conftest = [] if with_conftest else ["--noconftest"]
    loaded = [argument for name in ("pytest_kimiprobe.plugin", *plugins) for argument in ("-p", name)]
    given = [argument for name, value in settings.items() for argument in ("-o", f"{name}={value}")]
    return [*python, *isolated, *conftest, *loaded, *given]


def environment() -> dict[str, str]:
    """This process's environment without the variables that change every pytest."""
    return {name: value for name, value in os.environ.items() if name not in _FOR_TESTS}

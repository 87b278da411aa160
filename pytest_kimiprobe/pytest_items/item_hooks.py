"""The hooks that a probe runs under: pytest's and everybody's, but for those that watch what a test does.

When its turn comes a probe has its verdict: nothing of it is left to run, and what is printed, logged or warned of meanwhile
belongs to requests that are under way. Watching for it took nearly half of the CPU that pytest spends on an item
(docs/decisions.md). Where a conftest.py has hooks of its own for a phase, all are watched as ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

_PHASES = ("pytest_runtest_setup", "pytest_runtest_call", "pytest_runtest_teardown")
_WATCHING = (
    "assertion",
    "capturemanager",
    "logging-plugin",
    "threadexception",
    "unraisableexception",
    "warnings",
)
"""Names under which pytest registers them."""


class ProbeHooks:
    """A relay of hooks, as `pytest.Item.ihook` gives it for a path, under which nothing is watched."""

    def __init__(self, relay: Any, manager: pytest.PytestPluginManager) -> None:
        self._relay = relay
        heard = [found.plugin for name in _PHASES for found in getattr(relay, name).get_hookimpls()]
        unwatched = () if any(map(_is_conftest, heard)) else tuple(map(manager.get_plugin, _WATCHING))
        # pytest asks everybody for the protocol, and for its phases those whose conftest.py is above the item.
        for name, asked in (("pytest_runtest_protocol", manager.hook), *((phase, relay) for phase in _PHASES)):
            here = {implementation.plugin for implementation in getattr(asked, name).get_hookimpls()}
            everywhere = [implementation.plugin for implementation in getattr(manager.hook, name).get_hookimpls()]
            left_out = [plugin for plugin in everywhere if plugin not in here or plugin in unwatched]
            setattr(self, name, manager.subset_hook_caller(name, left_out))

    def __getattr__(self, name: str) -> Any:
        setattr(self, name, caller := getattr(self._relay, name))  # pytest makes a new one at each asking
        return caller


def _is_conftest(plugin: object) -> bool:
    return str(getattr(plugin, "__file__", "")).endswith("conftest.py")


def hooks_of(probes: Iterable[pytest.Item]) -> dict[Path, ProbeHooks]:
    """The hooks of probes by their paths; once all is collected, since each conftest.py brings some."""
    one_each = {probe.path: probe for probe in probes}
    return {path: ProbeHooks(probe.ihook, probe.config.pluginmanager) for path, probe in one_each.items()}

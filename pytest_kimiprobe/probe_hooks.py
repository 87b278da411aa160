"""The hooks that a probe runs under: pytest's and everybody's, but for those that watch what a test prints and logs.

When its turn comes a probe has its verdict: no code of the user's runs, and what is printed or logged meanwhile belongs to
requests that are under way. Watching for it took a third of all CPU that pytest spends on an item (docs/decisions.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

_PHASES = ("pytest_runtest_setup", "pytest_runtest_call", "pytest_runtest_teardown")
_WATCHING = ("capturemanager", "logging-plugin")
"""Names under which pytest registers them."""


class ProbeHooks:
    """A relay of hooks, as `pytest.Item.ihook` gives it for a path, with its three phases unwatched."""

    def __init__(self, relay: Any, manager: pytest.PytestPluginManager) -> None:
        self._relay = relay
        watching = [manager.get_plugin(name) for name in _WATCHING]
        for name in _PHASES:
            here = {implementation.plugin for implementation in getattr(relay, name).get_hookimpls()}
            everywhere = [implementation.plugin for implementation in getattr(manager.hook, name).get_hookimpls()]
            left_out = [plugin for plugin in everywhere if plugin not in here or plugin in watching]
            setattr(self, name, manager.subset_hook_caller(name, left_out))

    def __getattr__(self, name: str) -> Any:
        setattr(self, name, caller := getattr(self._relay, name))  # pytest makes a new one at each asking
        return caller


def hooks_of(probes: Iterable[pytest.Item]) -> dict[Path, ProbeHooks]:
    """The hooks of probes by their paths; once all is collected, since each conftest.py brings some."""
    one_each = {probe.path: probe for probe in probes}
    return {path: ProbeHooks(probe.ihook, probe.config.pluginmanager) for path, probe in one_each.items()}

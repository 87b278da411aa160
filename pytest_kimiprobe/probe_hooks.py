"""The hooks that a probe runs under: pytest's and everybody's, but for those that watch what a test prints and logs.

When its turn comes a probe has its verdict: no code of the user's runs, and what is printed or logged meanwhile belongs to
requests that are under way. Watching for it took a third of all CPU that pytest spends on an item (docs/decisions.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

_PHASES = ("pytest_runtest_setup", "pytest_runtest_call", "pytest_runtest_teardown")
_WATCHING = ("capturemanager", "logging-plugin")
"""Names under which pytest registers them."""
_MADE: pytest.StashKey[dict[Path, Any]] = pytest.StashKey()


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


def begin(config: pytest.Config) -> None:
    """All is collected: from here on no conftest.py brings further hooks."""
    config.stash[_MADE] = {}


def of_probe(probe: pytest.Item, relay: Any) -> Any:
    """The hooks of a probe; `relay` while things are still being collected."""
    made = probe.config.stash.get(_MADE, None)
    if made is None:
        return relay()
    if probe.path not in made:
        made[probe.path] = ProbeHooks(relay(), probe.config.pluginmanager)
    return made[probe.path]

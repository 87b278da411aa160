"""The pytest plugin that is always loaded. With `--kimiprobe` it registers the hooks that probe (`run_plugin`).

Without the option, nothing is imported but pytest and the table of options.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from .cases.decorator import ATTRIBUTE
from .config.options import add_options

if TYPE_CHECKING:
    from .pytest_items.session import ProbeSession

SESSION: pytest.StashKey[ProbeSession] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from . import hooks

    pluginmanager.add_hookspecs(hooks)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    if early_config.known_args_namespace.kimiprobe:
        from .pytest_items.run_paths import limit_conftests

        limit_conftests(early_config)
    return (yield)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kimiprobe: a probe, sent to an endpoint or judged from a recording")
    if config.getoption("kimiprobe"):
        from .import_check import complaint, intruder

        if path := intruder():
            raise pytest.UsageError(complaint(path))
        from .pytest_items.collection import prepare
        from .pytest_items.python_items import FunctionVerdicts
        from .pytest_items.run_plugin import RunPlugin

        probes = config.stash[SESSION] = prepare(config)
        config.pluginmanager.register(RunPlugin(probes), "kimiprobe-run")
        config.pluginmanager.register(FunctionVerdicts(probes.kept), "kimiprobe-answer")


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, Any, Any]:
    if config.getoption("kimiprobe"):
        # One process holds the budget and the rate limits; requests run concurrently anyway.
        config.option.kimiprobe_xdist = bool(getattr(config.option, "numprocesses", 0))
        config.option.numprocesses, config.option.dist, config.option.tx = 0, "no", []
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if hasattr(getattr(item, "function", None), ATTRIBUTE):
            item.add_marker("kimiprobe")
            if SESSION not in config.stash:
                item.add_marker(pytest.mark.skip(reason="a kimiprobe case: it is sent with --kimiprobe only"))

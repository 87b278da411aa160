"""The pytest plugin: its hooks only. Without `--kimiprobe`, nothing is imported but pytest and the table of options."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
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

        config.stash[SESSION] = prepare(config)
        config.pluginmanager.register(FunctionVerdicts(config.stash[SESSION].kept), "kimiprobe-answer")


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, Any, Any]:
    if config.getoption("kimiprobe"):
        # One process holds the budget and the rate limits; requests run concurrently anyway.
        config.option.kimiprobe_xdist = bool(getattr(config.option, "numprocesses", 0))
        config.option.numprocesses, config.option.dist, config.option.tx = 0, "no", []
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if isinstance(collector, pytest.Session) and SESSION in collector.config.stash and report.passed:
        from .pytest_items.collection import named_collectors

        report.result[:0] = named_collectors(collector, collector.config.stash[SESSION])
    return report


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if SESSION in parent.config.stash:
        from .pytest_items.collection import collected

        return collected(file_path, parent, parent.config.stash[SESSION])
    return None


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> Generator[None, Any, Any]:
    made = yield
    if SESSION in collector.config.stash and isinstance(made, list) and hasattr(obj, ATTRIBUTE):
        from .pytest_items.python_items import with_pairs

        return with_pairs(made)
    return made


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if SESSION in metafunc.config.stash and hasattr(metafunc.function, ATTRIBUTE):
        from .pytest_items.python_items import parametrize

        parametrize(metafunc, metafunc.config.stash[SESSION].scope)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> Generator[None]:
    for item in items:
        if hasattr(getattr(item, "function", None), ATTRIBUTE):
            item.add_marker("kimiprobe")
            if SESSION not in config.stash:
                item.add_marker(pytest.mark.skip(reason="a kimiprobe case: it is sent with --kimiprobe only"))
    if SESSION not in config.stash:
        return (yield)
    from .pytest_items.collection import bring_halves, keep_asked_for, never_rerun

    keep_asked_for(session, config.stash[SESSION], items)
    never_rerun(items, config)
    collected = list(items)
    result = yield
    bring_halves(collected, items)
    return result


def pytest_report_header(config: pytest.Config) -> list[str] | None:
    if SESSION in config.stash:
        from .pytest_items.runner import header

        return header(config.stash[SESSION])
    return None


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str] | None:
    if SESSION in config.stash:
        from .pytest_items.runner import forecast

        return forecast(config.stash[SESSION], items)
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    if SESSION in session.config.stash:
        from .pytest_items.runner import loop

        return loop(session, session.config.stash[SESSION])
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if SESSION in item.config.stash:
        from .pytest_items.runner import enrich

        enrich(item, report, item.config.stash[SESSION])
    return report


def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, Any] | None:
    if SESSION not in config.stash or hasattr(report, "wasxfail"):
        return None
    from .pytest_items.screen_output import SUMMING, category_of, is_of_probe, lists_items

    if not is_of_probe(report):
        return None
    rescued = report.when == "call" and report.passed and ("kimiprobe_verdict", "rescued") in report.user_properties
    if not lists_items(config) and not config.stash.get(SUMMING, False):
        return ("rescued" if rescued else category_of(report)), "", ""
    return ("rescued", "R", ("RESCUED", {"yellow": True})) if rescued else None


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if SESSION in session.config.stash:
        from .pytest_items.runner import finish

        finish(session.config.stash[SESSION], exitstatus, session)


def pytest_unconfigure(config: pytest.Config) -> None:
    if SESSION in config.stash:
        from .pytest_items.collection import remember_halves

        remember_halves(config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, object, object]:
    if SESSION not in config.stash:
        return (yield)
    from .pytest_items.runner import summarize
    from .pytest_items.screen_output import summary_of_others

    result = yield from summary_of_others(terminalreporter, config.stash[SESSION].kept.results)
    summarize(terminalreporter, config.stash[SESSION])
    return result

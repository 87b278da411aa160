"""Hooks only; without `--kimiprobe` nothing is imported but pytest and the table of options."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .options import add_options

if TYPE_CHECKING:
    from .session import ProbeSession

SESSION: pytest.StashKey[ProbeSession] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kimiprobe: a probe, sent to an endpoint or judged from a recording")
    if config.getoption("kimiprobe"):
        from .names import complaint, intruder

        if path := intruder():
            raise pytest.UsageError(complaint(path))
        from .running import prepare

        config.stash[SESSION] = prepare(config)


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, Any, Any]:
    if config.getoption("kimiprobe"):
        # Budget and rate limits are one process's; requests run at once anyway.
        config.option.kimiprobe_xdist = bool(getattr(config.option, "numprocesses", 0))
        config.option.numprocesses, config.option.dist, config.option.tx = 0, "no", []
    return (yield)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if SESSION in config.stash:
        from .running import is_ours

        return False if is_ours(collection_path, config.stash[SESSION]) else None
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if SESSION in parent.config.stash:
        from .running import is_ours

        # A plain folder: as a package, pytest would import it anew to set it up.
        return pytest.Dir.from_parent(parent, path=path) if is_ours(path, parent.config.stash[SESSION]) else None
    return None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if SESSION in parent.config.stash:
        from .running import collected

        return collected(file_path, parent, parent.config.stash[SESSION])
    return None


def pytest_report_header(config: pytest.Config) -> list[str] | None:
    if SESSION in config.stash:
        from .running import header

        return header(config.stash[SESSION])
    return None


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str] | None:
    if SESSION in config.stash:
        from .running import forecast

        return forecast(config.stash[SESSION], items)
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    if SESSION in session.config.stash:
        from .running import loop

        return loop(session, session.config.stash[SESSION])
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if SESSION in item.config.stash:
        from .running import enrich

        enrich(item, report)
    return report


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, Any] | None:
    rescued = report.when == "call" and report.passed and ("kimiprobe_verdict", "rescued") in report.user_properties
    return ("rescued", "R", ("RESCUED", {"yellow": True})) if rescued else None


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if SESSION in session.config.stash:
        from .running import finish

        finish(session.config.stash[SESSION], exitstatus, session)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if SESSION in config.stash:
        from .running import summarize

        summarize(terminalreporter, config.stash[SESSION])

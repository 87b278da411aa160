"""The hooks of a run. Their plugin is registered only with `--kimiprobe`, so that other runs meet none of them."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from ..cases.decorator import ATTRIBUTE
from . import collection, python_items, runner, screen_output
from .session import ProbeSession


class RunPlugin:
    """Passes what pytest calls to the modules of this folder, with the state of the run."""

    def __init__(self, probes: ProbeSession) -> None:
        self._probes = probes

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if isinstance(collector, pytest.Session) and report.passed:
            report.result[:0] = collection.named_collectors(collector, self._probes)
        return report

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        return collection.collected(file_path, parent, self._probes)

    @pytest.hookimpl(wrapper=True)
    def pytest_pycollect_makeitem(self, obj: object) -> Generator[None, Any, Any]:
        made = yield
        return python_items.with_pairs(made) if isinstance(made, list) and hasattr(obj, ATTRIBUTE) else made

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if hasattr(metafunc.function, ATTRIBUTE):
            python_items.parametrize(metafunc, self._probes.scope)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> Generator[None]:
        collection.keep_asked_for(session, self._probes, items)
        collection.never_rerun(items, session.config)
        collected = list(items)
        yield
        collection.bring_halves(collected, items)

    def pytest_report_header(self) -> list[str]:
        return runner.header(self._probes)

    def pytest_report_collectionfinish(self, items: list[pytest.Item]) -> list[str]:
        return runner.forecast(self._probes, items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        return runner.loop(session, self._probes)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        runner.set_duration(item, report, self._probes)
        return report

    def pytest_report_teststatus(
        self, report: pytest.TestReport, config: pytest.Config
    ) -> tuple[str, str, tuple[str, dict[str, bool]] | str] | None:
        return screen_output.status_of(report, config)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        runner.finish(self._probes, exitstatus, session)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None, object, object]:
        result = yield from screen_output.summary_of_others(terminalreporter, self._probes.kept.results)
        runner.summarize(terminalreporter, self._probes)
        return result

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        collection.remember_halves(config)

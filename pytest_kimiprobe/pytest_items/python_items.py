"""Test functions with `@case`: each runs once for each endpoint, mode and repeat, and judges the answer itself."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from routing.errors import ConfigError

from ..cases.decorator import ATTRIBUTE
from ..cases.model import declared
from ..judging.judge import Judgement, SeenAnswer
from ..safe_text import one_line
from .items import ARGUMENT, pair_of, planned_by, require_answer, require_right

if TYPE_CHECKING:
    from ..verdicts import ProbeResult
    from .run_config import Scope
    from .verdict_store import VerdictStore


def parametrize(metafunc: pytest.Metafunc, scope: Scope) -> None:
    """Parametrize `answer`, so that pytest makes an item for each probe. Raises CollectError if the case is wrong."""
    function = metafunc.function
    code = inspect.unwrap(function).__code__
    where = f"{code.co_filename}:{code.co_firstlineno}:1"
    if ARGUMENT not in metafunc.fixturenames:
        raise pytest.Collector.CollectError(f"{where}: a function below @case takes `answer`")
    try:
        case = declared(function.__name__, getattr(function, ATTRIBUTE), code.co_filename, code.co_firstlineno)
    except ConfigError as error:
        raise pytest.Collector.CollectError(str(error)) from None
    planned = list(scope.plans(case))
    ids = [each.plan.variant(each.plan.mode) for each in planned]
    metafunc.parametrize(ARGUMENT, planned, ids=ids, indirect=True)


def with_pairs(made: Sequence[pytest.Item | pytest.Collector]) -> list[pytest.Item | pytest.Collector]:
    """The items of a test function. If its case has `parity`, the item of the pair follows each streamed item."""
    found: list[pytest.Item | pytest.Collector] = []
    for item in made:
        found.append(item)
        planned = planned_by(item)
        if planned is not None and planned.plan.mode == "stream" and planned.plan.case.parity:
            found.append(pair_of(cast("pytest.Item", item), planned.plan))
    return found


class FunctionVerdicts:
    """pytest plugin that provides the fixture `answer`, and records the verdicts of test functions.

    It is registered only with `--kimiprobe`, because other projects have fixtures of this name.
    """

    def __init__(self, kept: VerdictStore) -> None:
        self._kept = kept

    @pytest.fixture
    def answer(self, request: pytest.FixtureRequest) -> SeenAnswer:
        """The answer to the request that `@case` declares. Without an answer, the test is skipped or shown as ERROR."""
        kept, probe = self._kept, request.node.nodeid
        result = kept.held.get(probe)
        if result is None or (probe not in kept.seen and result.verdict in {"pass", "rescued"}):
            pytest.fail("no answer: `answer` belongs to functions below @case", pytrace=False)
        require_answer(result)
        return kept.seen[probe]

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> None:
        """Fail the test before its function runs if the verdict is already `fail`: no answer can be delivered to it."""
        if result := self._kept.held.get(pyfuncitem.nodeid):
            require_right(result)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record the final verdict of a test function.

        Plugins that rerun failures log each earlier try under an outcome that pytest does not have.
        """
        result = self._kept.held.get(report.nodeid)
        last = report.when == "call" or (report.when == "setup" and not report.passed)
        if result is not None and last and report.outcome in {"passed", "failed", "skipped"}:
            self._kept.record(_after(result, report))


def _after(result: ProbeResult, report: pytest.TestReport) -> ProbeResult:
    """The verdict after a test function ran: `fail` if it failed, `error` if another fixture of it did.

    A function that is skipped adds nothing to the verdict on the answer.
    """
    failed = report.failed or (hasattr(report, "wasxfail") and report.skipped)
    if not failed or result.verdict not in {"pass", "rescued"}:
        return result
    crash = getattr(report.longrepr, "reprcrash", None)
    message = one_line(crash.message if crash else report.longreprtext, 300)
    found = Judgement("error", "local_failure") if report.when == "setup" else Judgement("fail", "wrong_answer")
    return replace(result, verdict=found.verdict, reason=found.reason, detail=message, error_class=found.error_class)

"""Test functions with `@case`: each runs once for each endpoint, mode and repeat, and judges the answer itself."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from routing.errors import ConfigError
from routing.reasons import reason_of

from ..cases.decorator import ATTRIBUTE
from ..cases.model import declared
from ..safe_text import one_line
from .items import ARGUMENT, pair_of, planned_by, require_answer, require_right

if TYPE_CHECKING:
    from ..judging.judge import SeenAnswer
    from .run_config import Scope
    from .verdict_store import VerdictStore

_WRONG = "wrong_answer"


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


class AnswerFixture:
    """pytest plugin that provides the fixture `answer`.

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


def refuse_wrong(item: pytest.Item, kept: VerdictStore) -> None:
    """Fail the test before its function runs if the verdict is already `fail`: no answer can be delivered to it."""
    if result := kept.held.get(item.nodeid):
        require_right(result)


def settle(item: pytest.Item, report: pytest.TestReport, call: pytest.CallInfo[Any], kept: VerdictStore) -> None:
    """Record the final verdict of a test function: after setup without an answer, otherwise after the function ran.

    If the function failed, the verdict is `fail`.
    """
    result = kept.held.get(item.nodeid)
    if result is None:
        return
    judged = result.verdict in {"pass", "rescued", "fail"}
    if report.when == "setup" and not judged:
        kept.record(item, result)
    elif report.when == "call" and not report.skipped:
        if report.failed and result.verdict != "fail":
            message = one_line(str(call.excinfo.value if call.excinfo else "failed"), 300)
            result = replace(
                result, verdict="fail", reason=_WRONG, detail=message, error_class=reason_of(_WRONG).error_class
            )
        kept.record(item, result)

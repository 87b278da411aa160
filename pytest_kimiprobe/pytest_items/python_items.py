"""Cases in Python under pytest: their functions meet endpoints and modes like case files do, and judge the answer."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from routing.errors import ConfigError

from ..cases.decorator import ATTRIBUTE, Declared
from ..judging.judge import Judgement
from ..safe_text import one_line
from .items import ARGUMENT, pair_of, planned_of, words_of

if TYPE_CHECKING:
    from ..judging.answers import SeenAnswer
    from .run_config import Scope
    from .verdict_store import Keeper


def parametrize(metafunc: pytest.Metafunc, scope: Scope) -> None:
    """One item for each endpoint, mode and repeat; `answer` is what each gets. Raises CollectError."""
    function = metafunc.function
    declared: Declared = getattr(function, ATTRIBUTE)
    code = inspect.unwrap(function).__code__
    where = f"{code.co_filename}:{code.co_firstlineno}:1"
    if ARGUMENT not in metafunc.fixturenames:
        raise pytest.Collector.CollectError(f"{where}: a function below @case takes `answer`")
    try:
        case = declared.case(function.__name__, where)
    except ConfigError as error:
        raise pytest.Collector.CollectError(str(error)) from None
    planned = list(scope.plans(case))
    ids = [each.plan.variant(each.plan.mode) for each in planned]
    metafunc.parametrize(ARGUMENT, planned, ids=ids, indirect=True)


def with_pairs(made: Sequence[pytest.Item | pytest.Collector]) -> list[pytest.Item | pytest.Collector]:
    """The items of a function, each streamed one followed by its pair where the case asks for parity."""
    found: list[pytest.Item | pytest.Collector] = []
    for item in made:
        found.append(item)
        planned = planned_of(item) if isinstance(item, pytest.Item) else None
        if planned is not None and planned.plan.mode == "stream" and planned.plan.case.parity:
            found.append(pair_of(cast("pytest.Item", item), planned.plan))
    return found


def give(request: pytest.FixtureRequest, kept: Keeper) -> SeenAnswer:
    """What the fixture `answer` returns. Without an answer the test is skipped or shown as ERROR."""
    result = kept.held.get(request.node.nodeid)
    if result is None or (request.node.nodeid not in kept.seen and result.verdict in {"pass", "rescued"}):
        pytest.fail("no answer: `answer` belongs to functions below @case", pytrace=False)
    if result.verdict in {"unsupported", "not_run"}:
        pytest.skip(words_of(result))
    if result.verdict == "error":
        pytest.fail(words_of(result), pytrace=False)
    return kept.seen[request.node.nodeid]


def refuse_wrong(item: pytest.Item, kept: Keeper) -> None:
    """Fails the call of a function whose answer may not be delivered at all: there is nothing it could judge."""
    result = kept.held.get(item.nodeid)
    if result is not None and result.verdict == "fail":
        pytest.fail(words_of(result), pytrace=False)


def settle(item: pytest.Item, report: pytest.TestReport, call: pytest.CallInfo[Any], kept: Keeper) -> None:
    """Record the verdict once the function has spoken; what never ran or failed on its own account says nothing."""
    result = kept.held.get(item.nodeid)
    if result is None:
        return
    judged = result.verdict in {"pass", "rescued", "fail"}
    if report.when == "setup" and not judged:
        kept.record(item, result)
    elif report.when == "call" and not report.skipped:
        if report.failed and result.verdict != "fail":
            said = one_line(str(call.excinfo.value if call.excinfo else "failed"), 300)
            word = Judgement("fail", "wrong_answer", said)
            result = replace(
                result, verdict=word.verdict, reason=word.reason, detail=word.detail, error_class=word.error_class
            )
        kept.record(item, result)

"""pytest's nodes: case files and recordings are collected, each probe is an ordinary item."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from routing.errors import ConfigError

from ..cases import model as cases
from ..cases.plan import MODES, Planned, ProbePlan
from ..safe_text import one_line, redact
from ..verdicts import PARITY, ProbeMode, ProbeResult
from .run_paths import PACKAGED, is_wanted

if TYPE_CHECKING:
    from ..recording.recordings import RecordedRow

ARGUMENT = "answer"
"""The fixture that gives a test function below `@case` its answer."""
PLUGINS = f"{PACKAGED}/plugins"
"""First part of the ids of plugins' cases."""
_PAIR = re.compile(rf"(?P<head>.+::.+\[.+)-{PARITY}-(?P<tail>[1-9][0-9]{{0,4}}(?:-crowd)?\])")


class Probe(pytest.Item):
    """A probe of any source. `result` is set before the item runs; without one (`--setup-plan`) it does nothing."""

    result: ProbeResult | None = None

    def _initrequest(self) -> None:
        """Do nothing: pytest-retry calls this before another try, and a probe has no fixtures."""

    def setup(self) -> None:
        """End the item if nothing is to be judged: pytest shows SKIPPED, or ERROR if the answer is missing."""
        if self.result is not None:
            require_answer(self.result)

    def runtest(self) -> None:
        """Fail for a wrong answer."""
        if self.result is not None:
            require_right(self.result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:  # noqa: ARG002 - pytest's signature
        """The failure in one line, because a traceback with locals could show a key."""
        return one_line(redact(str(excinfo.value)), 400)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Path and name, as reports show them."""
        return self.path, 0, self.name  # pytest wants a line of what a mark skips


class CaseProbe(Probe):
    """A case sent to an endpoint."""

    planned: Planned


class PairProbe(Probe):
    """Parity of one case at one endpoint. It is judged when the answers of both modes have been judged."""

    plan: ProbePlan
    """The plan of either half."""
    halves: tuple[str, ...]
    """Ids of the plain and of the streamed probe."""
    late: bool = False
    """Whether its halves are test functions, which run only when all answers have come."""


class RowProbe(Probe):
    """A recorded exchange, judged again."""

    row: RecordedRow


class Cases(pytest.Collector):
    """Cases of one origin, by name: a packaged YAML file, a file of schemas, or plugins."""

    plans: Callable[[cases.Case], Iterator[Planned]]
    read: Callable[[], list[cases.Case]]
    parts: Container[str] = frozenset({""})
    """Names of the cases or probes that are asked for; `""` is all."""

    def collect(self) -> Iterator[pytest.Item]:
        """Every case of the suite with every endpoint, and a pair for each case with `parity`."""
        for case in _read_or_fail(self.read):
            for planned in self.plans(case):
                item: CaseProbe = CaseProbe.from_parent(
                    self, name=planned.plan.name, nodeid=_id(self, planned.plan.name)
                )
                item.planned = planned
                found = [_marked(item)]
                if case.parity and planned.plan.mode == "stream":
                    found.append(pair_of(item, planned.plan))
                yield from (each for each in found if is_wanted(each.name, self.parts))


class CaseFile(Cases, pytest.File):
    """Cases of a user's YAML file."""


def pair_of(half: pytest.Item, plan: ProbePlan) -> PairProbe:
    """The item that compares both modes of one probe, made from the item of either half."""

    def named(mode: ProbeMode) -> str:
        return half.name.replace(plan.variant(plan.mode), plan.variant(mode))

    parent = half.parent
    assert parent is not None  # noqa: S101 - for the type checker; only the session has none
    item: PairProbe = PairProbe.from_parent(parent, name=named(PARITY), nodeid=_id(parent, named(PARITY)))
    item.plan, item.halves = plan, tuple(_id(parent, named(mode)) for mode in MODES)
    item.late = not isinstance(half, Probe)
    _marked(item)
    return item


def is_late(item: pytest.Item) -> bool:
    """Whether the item is a pair of test functions."""
    return isinstance(item, PairProbe) and item.late


class RecordingFile(pytest.File):
    """A recording; each row is an item."""

    alone: bool = True
    """Whether no other file was named: a file that cannot be read then ends the run. Otherwise it becomes an item."""
    parts: Container[str] = frozenset({""})
    problem: str = ""
    """Why a cassette of ours cannot be read. Its interactions are not judged, because their case is unknown."""

    def collect(self) -> Iterator[pytest.Item]:
        """An item for every selected row."""
        for row in _read_or_fail(self._rows):
            if is_wanted(row.id, self.parts):
                yield row_probe(self, row, row.id, _id(self, row.id))

    def _rows(self) -> list[RecordedRow]:
        from ..recording.recordings import RecordingError, read, unreadable

        try:
            if self.problem:
                raise RecordingError(self.problem, where=str(self.path))
            return read(self.path)
        except ConfigError as error:
            if self.alone:
                raise
            return [unreadable(self.path.stem, self.path.name + str(error).removeprefix(str(self.path)))]


def row_probe(parent: pytest.Collector, row: RecordedRow, name: str, nodeid: str) -> RowProbe:
    """An item for a recorded row."""
    item: RowProbe = RowProbe.from_parent(parent, name=name, nodeid=nodeid)
    item.row = row
    item.add_marker("kimiprobe")
    return item


def require_packaged(name: str, parts: Iterable[str]) -> None:
    """Raise UsageError for a packaged file or case that does not exist. The message lists those that exist."""
    file = cases.FOLDER / name.removeprefix(f"{PACKAGED}/")
    if file not in packaged_files():
        files = ", ".join(f"{PACKAGED}/{file.name}" for file in packaged_files())
        raise pytest.UsageError(f"no packaged case file {name!r}; available: {files}")
    asked = {part.partition("[")[0] for part in parts if part}
    there = [case.name for case in cases.load(file)] if asked else []
    for case in sorted(asked - set(there)):
        raise pytest.UsageError(f"no case {case!r} in {name}; available: {', '.join(there)}")


def packaged_files() -> list[Path]:
    """The packaged case files."""
    return sorted(cases.FOLDER.glob("*.yaml"))


def with_halves(argument: str) -> list[str]:
    """The id of a pair and the ids of both its halves, which the pair needs. Any other argument is returned alone."""
    found = _PAIR.fullmatch(argument)
    return [argument] if found is None else [f"{found['head']}-{mode}-{found['tail']}" for mode in (*MODES, PARITY)]


def _id(parent: pytest.Collector, name: str) -> str:
    # As text, because pytest 9.2 would otherwise keep the brackets in the name, and --lf would not find the id.
    return f"{parent.nodeid}::{name}"


def _marked(item: pytest.Item) -> pytest.Item:
    item.add_marker("kimiprobe")
    return item


def _read_or_fail(read_file: Any) -> Any:
    try:
        return read_file()
    except ConfigError as error:
        raise pytest.Collector.CollectError(str(error)) from None


def require_answer(result: ProbeResult) -> None:
    """Skip a probe that was not sent, and fail one that was not answered."""
    if result.verdict in {"unsupported", "not_run"}:
        pytest.skip(_words_of(result))
    if result.verdict == "error":
        pytest.fail(_words_of(result), pytrace=False)


def require_right(result: ProbeResult) -> None:
    """Fail for a wrong answer."""
    if result.verdict == "fail":
        pytest.fail(_words_of(result), pytrace=False)


def _words_of(result: ProbeResult) -> str:
    """One line with the result of a probe and its reason."""
    detail = f": {result.detail}" if result.detail else ""
    return one_line(f"{result.endpoint}: {result.reason}{detail}", 400)


def planned_by(item: object) -> Planned | None:
    """The probe of an item, from a case file or from a test function with `@case`; None for other items."""
    if isinstance(item, CaseProbe):
        return item.planned
    call = getattr(item, "callspec", None)
    found = call.params.get(ARGUMENT) if call else None
    return found if isinstance(found, Planned) else None


def is_skipped(item: pytest.Item) -> bool:
    """Whether the item has the unconditional `skip` mark."""
    return item.get_closest_marker("skip") is not None


def to_send(items: Iterable[pytest.Item]) -> list[tuple[pytest.Item, ProbePlan]]:
    """The items that send a request, each with its plan. Items with a skip mark are left out."""
    planned = ((item, planned_by(item)) for item in items if not is_skipped(item))
    return [(item, found.plan) for item, found in planned if found and not found.unsent]

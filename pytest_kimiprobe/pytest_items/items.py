"""Nodes of pytest's tree: collectors of case files and recordings, and an ordinary item for each probe."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
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
"""Name of the fixture that passes the answer to a test function with `@case`."""
PLUGINS = f"{PACKAGED}/plugins"
"""First part of the ids of cases that plugins provide: `kimiprobe/plugins::weather[...]`."""
PROBE_ID = re.compile(
    r"\[(?P<endpoint>[^\[\]]+)-(?P<mode>plain|stream|parity)-(?P<repeat>[1-9][0-9]{0,4})(?P<crowd>-crowd)?\]$"
)
"""The end of a probe's id."""


class Probe(pytest.Item):
    """Base class of items that are probes. `result` is set before the item runs.

    Without a result (`--setup-plan`) the item does nothing.
    """

    result: ProbeResult | None = None

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self.add_marker("kimiprobe")

    def judged(self, result: ProbeResult) -> None:
        """Set the result, and the parameters that reporting plugins read from any parametrized test."""
        self.result = result
        named = {name: getattr(result, name) for name in ("endpoint", "mode", "repeat", "load")}
        self.callspec = SimpleNamespace(params=named, id=self.name)  # not before: pytest sorts items that have one

    def _initrequest(self) -> None:
        """Do nothing: plugins call this before another try, and a probe has no fixtures."""

    @property
    def function(self) -> Callable[[], None]:
        """The method that judges: some plugins read this attribute of any item."""
        return self.runtest

    def setup(self) -> None:
        """Skip the item if nothing was sent (pytest shows SKIPPED), or fail if no answer came (pytest shows ERROR)."""
        if self.result is not None:
            require_answer(self.result)

    def runtest(self) -> None:
        """Fail if the answer is wrong."""
        if self.result is not None:
            require_right(self.result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:  # noqa: ARG002 - pytest's signature
        """The failure in one line, because a traceback with locals could show a key."""
        return one_line(redact(str(excinfo.value)), 400)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Path and name, as reports show them. The path of a packaged case is the one in its id."""
        packaged = self.path.is_relative_to(cases.FOLDER)
        path = self.config.rootpath / self.nodeid.partition("::")[0] if packaged else self.path
        return path, 0, self.name  # pytest wants a line of what a mark skips


class CaseProbe(Probe):
    """Item of a case that is sent to an endpoint."""

    planned: Planned


class PairProbe(Probe):
    """Item that compares the plain and the streamed answer of one probe, after both have been judged."""

    plan: ProbePlan
    """Plan of one of the halves. Either can be used, because they differ only in the mode."""
    halves: tuple[str, ...]
    """Ids of the plain and of the streamed probe."""


class RowProbe(Probe):
    """Item of a recorded exchange, which is judged again."""

    row: RecordedRow


class Cases(pytest.Collector):
    """Collector of cases that are selected by name: a packaged YAML file, a file of schemas, or plugins' cases."""

    plans: Callable[[cases.Case], Iterator[Planned]]
    read: Callable[[], list[cases.Case]]
    parts: Container[str] = frozenset({""})
    """Names of the selected cases or probes; `""` selects all."""

    def collect(self) -> Iterator[pytest.Item]:
        """The selected items: every case of the suite at every endpoint, and pairs for cases with `parity`."""
        for case in _read_or_fail(self.read):
            for planned in self.plans(case):
                item: CaseProbe = CaseProbe.from_parent(
                    self, name=planned.plan.name, nodeid=_id(self, planned.plan.name)
                )
                item.planned = planned
                found: list[pytest.Item] = [item]
                if case.parity and planned.plan.mode == "stream":
                    found.append(pair_of(item, planned.plan))
                yield from (each for each in found if is_wanted(each.name, self.parts))


class CaseFile(Cases, pytest.File):
    """Collector of the cases of a user's YAML file."""


def pair_of(half: pytest.Item, plan: ProbePlan) -> PairProbe:
    """Create the item that compares the plain and the streamed probe, from the item and plan of either."""

    def named(mode: ProbeMode) -> str:
        return half.name.replace(plan.variant(plan.mode), plan.variant(mode))

    parent = half.parent
    assert parent is not None  # noqa: S101 - for the type checker; only the session has none
    item: PairProbe = PairProbe.from_parent(parent, name=named(PARITY), nodeid=_id(parent, named(PARITY)))
    item.plan, item.halves = plan, tuple(_id(parent, named(mode)) for mode in MODES)
    return item


class RecordingFile(pytest.File):
    """Collector of a recording that kimiprobe did not write, or cannot read. Each row becomes an item."""

    alone: bool = True
    """Whether the replay consists of this file only. If the file cannot be read, the run then ends.

    In a replay of a folder, a file that cannot be read becomes an item that says why.
    """
    parts: Container[str] = frozenset({""})
    problem: str = ""
    """Why a cassette that kimiprobe wrote cannot be read; empty for other files. Then none of it is judged."""

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
    """Create the item of a recorded row."""
    item: RowProbe = RowProbe.from_parent(parent, name=name, nodeid=nodeid)
    item.row = row
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
    """The packaged case files. Raises UsageError if there are none, because the package is in an archive."""
    if found := sorted(cases.FOLDER.glob("*.yaml")):
        return found
    raise pytest.UsageError(f"no case files in {cases.FOLDER}: install kimiprobe as files, not inside a zip archive")


def with_halves(argument: str) -> list[str]:
    """For the id of a pair: this id and the ids of its two halves. Any other argument is returned alone."""
    found = PROBE_ID.search(argument)
    if found is None or found["mode"] != PARITY:
        return [argument]
    return [f"{argument[: found.start('mode')]}{mode}{argument[found.end('mode') :]}" for mode in (*MODES, PARITY)]


def _id(parent: pytest.Collector, name: str) -> str:
    # As text, because pytest 9.2 would otherwise keep the brackets in the name, and --lf would not find the id.
    return f"{parent.nodeid}::{name}"


def _read_or_fail(read_file: Any) -> Any:
    try:
        return read_file()
    except ConfigError as error:
        raise pytest.Collector.CollectError(str(error)) from None


def require_answer(result: ProbeResult) -> None:
    """Skip the running test if its probe was not sent. Fail it if no answer came that can be judged."""
    if result.verdict in {"unsupported", "not_run"}:
        pytest.skip(_words_of(result))
    if result.verdict == "error":
        pytest.fail(_words_of(result), pytrace=False)


def require_right(result: ProbeResult) -> None:
    """Fail the running test if its answer is wrong."""
    if result.verdict == "fail":
        pytest.fail(_words_of(result), pytrace=False)


def _words_of(result: ProbeResult) -> str:
    """One line with the result of a probe and its reason."""
    detail = f": {result.detail}" if result.detail else ""
    return one_line(f"{result.endpoint}: {result.reason}{detail}", 400)


def planned_by(item: object) -> Planned | None:
    """The planned probe of an item that is a case of a file or a test function with `@case`; None for other items."""
    if isinstance(item, CaseProbe):
        return item.planned
    call = getattr(item, "callspec", None)
    found = call.params.get(ARGUMENT) if call else None
    return found if isinstance(found, Planned) else None


def to_send(items: Iterable[pytest.Item]) -> list[tuple[pytest.Item, ProbePlan]]:
    """The items that send a request, each with its plan. Items with a skip mark are left out."""
    planned = ((item, planned_by(item)) for item in items if not item.get_closest_marker("skip"))
    return [(item, found.plan) for item, found in planned if found and not found.unsent]

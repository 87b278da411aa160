"""What the hooks of `plugin` do once `--kimiprobe` is given."""

from __future__ import annotations

import fnmatch
import itertools
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from routing.redaction import escaped

from ..cases import json_schemas as schema_cases
from ..cases import model as cases
from ..cases.plan import ProbePlan
from ..config import options
from ..recording.recordings import unreadable
from ..reporting.endpoint_table import money
from ..reporting.exchange_text import exchange_lines
from ..reporting.progress import Progress
from ..reporting.terminal import Line, screen
from ..safe_text import one_line
from . import item_hooks as probe_hooks
from . import outputs, screen_output
from . import python_items as python_probes
from .items import (
    PACKAGED,
    PLUGINS,
    PLUGINS_FILE,
    RECORDED,
    CaseFile,
    PairProbe,
    Probe,
    RecordingFile,
    is_late,
    packaged_path,
    row_probe,
    with_halves,
)
from .probe_facts import planned_by, to_send
from .session import ProbeSession

_TYPICAL_S = {"live": 3.0, "simulator": 0.3, "replay": 0.0}


def prepare(config: pytest.Config) -> ProbeSession:
    """Read the options, see what there is to run, point pytest at it. Raises UsageError."""
    session = ProbeSession(config)
    given = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else []
    if session.scope.choice.kind == "replay":
        replays = session.scope.replays
        by_name = {f"{RECORDED}/{replays.name(file)}": str(file) for file in replays.others}
        recorded = [*by_name, *_recorded_origins(config, session)]
        config.args = [packaged_path(_recorded_path(one, by_name), session.scope.schemas) for one in given or recorded]
        session.everything = not given
        return session
    every = [*sorted(cases.FOLDER.glob("*.yaml")), PLUGINS_FILE, *session.scope.schemas.values()]
    asked = itertools.chain.from_iterable(map(with_halves, given))
    config.args = [packaged_path(argument, session.scope.schemas) for argument in asked] or list(map(str, every))
    return session


def _recorded_origins(config: pytest.Config, session: ProbeSession) -> list[str]:
    """The files in which the cases of recorded probes stand, whole: `keep_recorded` leaves out what else they hold."""
    origins: dict[str, None] = {}
    for probe in session.scope.replays.samples:
        file = probe.partition("::")[0]
        if file == PLUGINS or file in session.scope.schemas or _is_packaged(file):
            origins[file] = None
        elif (config.rootpath / file).is_file():
            origins[str(config.rootpath / file)] = None
    return list(origins)


def _is_packaged(file: str) -> bool:
    folder, _, name = file.partition("/")
    return folder == PACKAGED and "/" not in name and (cases.FOLDER / name).is_file()


def keep_recorded(session: pytest.Session, probes: ProbeSession, items: list[pytest.Item]) -> None:
    """Of a replay's items those that were recorded, and one for each recorded probe whose case is not here any more."""
    if probes.scope.choice.kind != "replay":
        return
    other = [item for item in items if not _is_recorded(item, probes)]
    if other:
        left_out = set(other)
        items[:] = [item for item in items if item not in left_out]
        session.config.hook.pytest_deselected(items=other)
    if not probes.everything:
        return
    there = {item.nodeid for item in items}
    for probe, sample in probes.scope.replays.samples.items():
        if probe not in there and probes.scope.is_asked_for(sample.endpoint):
            why = (
                "the case or endpoint is not here any more: run where it was recorded, with the same plugins and files"
            )
            row = unreadable(sample.case, why, endpoint=sample.endpoint)
            items.append(row_probe(session, row, probe.rpartition("::")[2], probe))


def _is_recorded(item: pytest.Item, probes: ProbeSession) -> bool:
    """Whether it was recorded itself, not only one of its name; what is no probe runs where it was asked for."""
    samples = probes.scope.replays.samples
    if isinstance(item, PairProbe):
        return any(half in samples for half in item.halves)
    if planned_by(item) is None:
        return isinstance(item, Probe) or not probes.everything
    return item.nodeid in samples


def _recorded_path(argument: str, by_name: dict[str, str]) -> str:
    head, separator, rest = argument.partition("::")
    return f"{by_name[head]}{separator}{rest}" if head in by_name else argument


def is_ours(path: Path, session: ProbeSession) -> bool:
    """Whether a path leads to packaged cases or recordings: never ignored, though it lies in a virtual environment."""
    targets = [cases.FOLDER, *session.scope.replays.others, *session.scope.schemas.values()]
    return any(path == target or path in target.parents or target in path.parents for target in targets)


def collected(file_path: Path, parent: pytest.Collector, session: ProbeSession) -> pytest.Collector | None:
    """A collector for case files (packaged, or named as `kimiprobe_files` says) and for recordings."""
    replays = session.scope.replays
    if file_path in replays.others:
        node: RecordingFile = RecordingFile.from_parent(
            parent, path=file_path, nodeid=f"{RECORDED}/{replays.name(file_path)}"
        )
        node.alone, node.problem = file_path == replays.root, replays.problems.get(file_path, "")
        return node
    named = {path: name for name, path in session.scope.schemas.items()}
    if file_path in named:
        return _file(parent, session, file_path, named[file_path], lambda: schema_cases.load(file_path))
    if file_path == PLUGINS_FILE:
        return _file(parent, session, file_path, PLUGINS, lambda: _of_plugins(parent.config))
    if file_path.parent == cases.FOLDER and file_path.suffix == ".yaml":
        return _packaged(parent, session, file_path)
    if any(fnmatch.fnmatch(file_path.name, glob) for glob in parent.config.getini("kimiprobe_files")):
        return _file(parent, session, file_path, None, lambda: cases.load(file_path))
    return None


def _packaged(parent: pytest.Collector, session: ProbeSession, path: Path) -> CaseFile:
    node = _file(parent, session, path, f"{PACKAGED}/{path.name}", lambda: cases.load(path))
    node.plans = partial(session.scope.plans, packaged=True)
    return node


def _file(
    parent: pytest.Collector, session: ProbeSession, path: Path, name: str | None, read: Callable[[], list[cases.Case]]
) -> CaseFile:
    named: dict[str, Any] = {} if name is None else {"nodeid": name}
    node: CaseFile = CaseFile.from_parent(parent, path=path, **named)
    node.plans, node.read = session.scope.plans, read
    return node


def _of_plugins(config: pytest.Config) -> list[cases.Case]:
    """What `pytest_kimiprobe_cases` gives. Raises CaseError for two of one name."""
    found: dict[str, cases.Case] = {}
    for case in (case for some in config.hook.pytest_kimiprobe_cases(config=config) for case in some or ()):
        if case.name in found:
            raise cases.CaseError(f"two cases are named {case.name!r}", where="pytest_kimiprobe_cases")
        found[case.name] = case
    return list(found.values())


def header(session: ProbeSession) -> list[str]:
    """What will answer, and which keys are there."""
    if session.scope.choice.kind == "replay":
        samples, others = len(session.scope.replays.samples), len(session.scope.replays.others)
        simulated = " of simulated hosts" if session.scope.replays.simulated else ""
        told = f"kimiprobe: replay of {samples} recorded probes{simulated}, {others} other recordings; nothing is sent"
        return [told, *_put_aside(session.config)]
    what = "simulated" if session.scope.choice.kind == "simulator" else session.scope.source
    many = len(session.scope.endpoints)
    lines = [f"kimiprobe: {what}, model {session.scope.model}, {many} endpoint{'' if many == 1 else 's'}"]
    if session.scope.choice.kind == "live":
        there = session.scope.live_keys()
        missing = [name for name in session.scope.catalog.providers if name not in there]
        lines.append(
            f"kimiprobe: keys found: {', '.join(there)}" + (f"; missing: {', '.join(missing)}" if missing else "")
        )
    lines += [f"kimiprobe: {one_line(note)}" for note in session.scope.discovered]
    return [*lines, *_put_aside(session.config)]


def _put_aside(config: pytest.Config) -> list[str]:
    xdist = getattr(config.option, "kimiprobe_xdist", False)
    return ["kimiprobe: -n ignored, requests already run at once"] if xdist else []


def forecast(session: ProbeSession, items: list[pytest.Item]) -> list[str]:
    """Cost and time, before anything is spent."""
    plans = [plan for _, plan in to_send(items)]
    if not plans or session.scope.choice.kind == "replay" or _only_looking(session.config):
        return []
    if session.config.option.verbose < -1:
        return []
    estimate = session.scope.estimate(plans)
    simulated = " (simulated)" if session.scope.choice.kind == "simulator" else ""
    cost = f"about ${money(estimate.about)}, at most ${money(estimate.most)}{simulated}"
    lines = [f"kimiprobe: {len(plans)} requests, about {_typical_seconds(session, plans):.0f} s, {cost}"]
    if estimate.about > session.scope.budget:
        allowed = f"the budget of ${money(session.scope.budget)}"
        lines.append(f"kimiprobe: that is more than {allowed} allows: what does not fit is not run")
    return lines


def _typical_seconds(session: ProbeSession, plans: list[ProbePlan]) -> float:
    lanes = Counter(plan.endpoint.provider for plan in plans)
    at_once: int = options.value(session.config, "concurrency")
    rounds = max(-(-count // at_once) for count in lanes.values())
    return max(rounds * _TYPICAL_S[session.scope.choice.kind], 1.0)


def loop(session: pytest.Session, probes: ProbeSession) -> bool | None:
    """Run other tests first while the requests are under way, then each probe as its answer comes back."""
    if _only_looking(session.config):
        return None
    if session.testsfailed and not session.config.option.continue_on_collection_errors:
        return None
    ours = [item for item in session.items if isinstance(item, Probe) or planned_by(item)]
    if not ours:
        return None
    probes.send(ours)
    sent = set(ours)
    _run_in_order(session, probes, [item for item in session.items if item not in sent])
    with screen_output.no_file_names(session.config):
        _serve(session, probes, ours)
        _run_in_order(session, probes, [item for item in ours if not isinstance(item, Probe) or is_late(item)])
    return True


def _serve(session: pytest.Session, probes: ProbeSession, ours: Sequence[pytest.Item]) -> None:
    """Each probe as its answer comes; test functions below `@case` wait until all their answers are in."""
    progress = Progress.of(session.config.pluginmanager.getplugin("terminalreporter"))
    hooks = probe_hooks.hooks_of(item for item in ours if isinstance(item, Probe))
    if progress.writer is not None:
        probes.on_progress = lambda waiting: progress.show(waiting, probes.money().usd)
    try:
        with closing(probes.serve(ours)) as served:
            for probe in served:
                if probes.verbose:
                    progress.clear()
                    _show_exchange(probes, probe)
                if isinstance(probe, Probe):
                    probe.hooks = hooks[probe.path]
                    _run_one(session, probe, None)
    finally:
        progress.clear()


def _run_in_order(session: pytest.Session, probes: ProbeSession, items: Sequence[pytest.Item]) -> None:
    """Test functions share fixtures of their module: they run as collected, each knowing the next."""
    for item, following in itertools.zip_longest(items, items[1:]):
        if isinstance(item, PairProbe):  # both its functions have spoken
            probes.kept.pair(item)
        _run_one(session, item, following)


def _run_one(session: pytest.Session, item: pytest.Item, following: pytest.Item | None) -> None:
    # A probe knows no next: they come in the order of their answers, so nothing may stay set up for a certain one.
    hooks = (item.hooks if isinstance(item, Probe) else None) or item.config.hook
    hooks.pytest_runtest_protocol(item=item, nextitem=following)
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)


def enrich(item: pytest.Item, report: pytest.TestReport, call: pytest.CallInfo[Any], probes: ProbeSession) -> None:
    """The duration that `--durations` and JUnit XML show is the provider's, not our waiting."""
    result = item.result if isinstance(item, Probe) else probes.kept.held.get(item.nodeid)
    if result is None or report.when == "teardown":
        return
    if result.total_ms is not None:
        ended_here = (report.when == "call") != (report.when == "setup" and not report.passed)
        report.duration = result.total_ms / 1000 if ended_here else 0.0
    if not isinstance(item, Probe):
        python_probes.settle(item, report, call, probes.kept)


def finish(probes: ProbeSession, exit_status: int, session: pytest.Session) -> None:
    """Close everything, then write what was asked for; a failure to write makes the run exit with 3."""
    with _uninterrupted():
        probes.finish()
        if not probes.kept.results:
            return
        complete = int(exit_status) in {0, 1} and not probes.cancelled
        probes.summary, failed = outputs.write(probes, complete=complete)
        if failed:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not cost what was judged; the third party to wait for is only the disk."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def summarize(reporter: pytest.TerminalReporter, probes: ProbeSession) -> None:
    """The table and the recommendation."""
    config = reporter.config
    if probes.summary is None or config.option.verbose < -1 or getattr(config.option, "no_summary", False):
        return
    further = screen_output.shows_sections(config)
    reporter.ensure_newline()
    reporter.write_line("")
    for line in screen(probes.summary, quiet=config.option.verbose < 0, further=further):
        _write(reporter, line)


def _write(reporter: pytest.TerminalReporter, line: Line) -> None:
    color = {"good": "green", "bad": "red", "warn": "yellow"}.get(line.tone)
    reporter.write_line(escaped(line.text), **({color: True} if color else {}))


def _show_exchange(probes: ProbeSession, probe: pytest.Item) -> None:
    reporter: Any = probes.config.pluginmanager.getplugin("terminalreporter")
    done = probes.kept.exchanges.get(probe.nodeid)
    if reporter is not None and done is not None:
        reporter.ensure_newline()
        for line in exchange_lines(probe.name, done, probes.scope.environment):
            reporter.write_line(line)


def _only_looking(config: pytest.Config) -> bool:
    option = config.option
    return bool(option.collectonly or getattr(option, "setuponly", False) or getattr(option, "setupplan", False))

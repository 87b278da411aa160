"""The course of a run: what it prints, when it sends, and in which order its items run."""

from __future__ import annotations

import itertools
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from routing.redaction import escaped

from ..cases.plan import ProbePlan
from ..config import options
from ..reporting.endpoint_table import money
from ..reporting.exchange_text import exchange_lines
from ..reporting.progress import Progress
from ..reporting.terminal import Line, screen
from ..safe_text import one_line
from . import outputs, screen_output
from .items import PairProbe, Probe, planned_by, to_send
from .session import ProbeSession

_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that ask a process to end."""
_TYPICAL_S = {"live": 3.0, "simulator": 0.3, "replay": 0.0}


def header(session: ProbeSession) -> list[str]:
    """Lines at the start of a run: the hosts that answer, and the keys that are set."""
    xdist = getattr(session.config.option, "kimiprobe_xdist", False)
    ignored = ["kimiprobe: -n ignored, requests already run concurrently"] * xdist
    if session.scope.choice.kind == "replay":
        samples, others = len(session.scope.replays.samples), len(session.scope.replays.others)
        simulated = " of simulated hosts" if session.scope.replays.simulated else ""
        told = f"kimiprobe: replay of {samples} recorded probes{simulated}, {others} other recordings; nothing is sent"
        return [told, *ignored]
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
    return [*lines, *ignored]


def forecast(session: ProbeSession, items: list[pytest.Item]) -> list[str]:
    """Lines with the estimated cost and time, before anything is spent."""
    plans = [plan for _, plan in to_send(items)]
    scope = session.scope
    if scope.left_out and not scope.included:
        of_all = f"0 of {len(scope.left_out)} cases belong to suite {scope.suite}"
        return [f"kimiprobe: {of_all}: --kimiprobe-suite full runs all"]
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
    """Run other tests first, then each probe when its answer comes, then functions with `@case`, then pairs.

    No request is in flight while a user's test or function runs: it may replace sockets, clocks or the file system.
    Returns None to leave the loop to pytest.
    """
    if _only_looking(session.config):
        return None
    if session.testsfailed and not session.config.option.continue_on_collection_errors:
        return None
    ours = [item for item in session.items if isinstance(item, Probe) or planned_by(item)]
    if not ours:
        return None
    to_judge = set(ours)
    _run_in_order(session, [item for item in session.items if item not in to_judge])
    _end_as_ctrl_c_does()
    probes.send(ours)
    screen_output.name_no_files(session.config)
    _serve(session, probes, ours)
    probes.finish()  # no thread or connection of the run is there while a user's function runs
    _run_in_order(session, [item for item in ours if not isinstance(item, Probe)])
    for pair in (item for item in ours if isinstance(item, PairProbe)):
        probes.kept.pair(pair)
        _run_one(session, pair, None)
    return True


def _serve(session: pytest.Session, probes: ProbeSession, ours: Sequence[pytest.Item]) -> None:
    """Run each probe when its answer comes. Test functions with `@case` only get their verdict here, and run later."""
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    # Other classes of reporter have their progress on the line that this one would overwrite.
    progress = Progress.of(reporter if type(reporter) is pytest.TerminalReporter else None)
    if progress.writer is not None:
        probes.on_progress = lambda waiting: progress.show(waiting, probes.money().usd)
    try:
        for probe in probes.serve(ours):
            if probes.verbose:
                progress.clear()
                _show_exchange(probes, probe)
            if isinstance(probe, Probe):
                _run_one(session, probe, None)
    finally:
        progress.clear()


def _run_in_order(session: pytest.Session, items: Sequence[pytest.Item]) -> None:
    """Run items in the given order, because test functions share the fixtures of their module."""
    for item, following in itertools.zip_longest(items, items[1:]):
        _run_one(session, item, following)


def _run_one(session: pytest.Session, item: pytest.Item, following: pytest.Item | None) -> None:
    # A probe has no next item: probes run in the order of their answers, so no setup may be kept for another one.
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)


def set_duration(item: pytest.Item, report: pytest.TestReport, probes: ProbeSession) -> None:
    """Set the duration in a probe's report to the time that the provider took; `--durations` and JUnit XML show it."""
    result = item.result if isinstance(item, Probe) else probes.kept.held.get(item.nodeid)
    if result is None or report.when == "teardown":
        return
    if result.total_ms is not None:
        ended_here = (report.when == "call") != (report.when == "setup" and not report.passed)
        report.duration = result.total_ms / 1000 if ended_here else 0.0


def finish(probes: ProbeSession, exit_status: int, session: pytest.Session) -> None:
    """Close everything, then write the requested outputs. If one cannot be written, pytest exits with status 3."""
    with _uninterrupted():
        probes.finish()
        probes.kept.interrupt()
        if not probes.kept.results:
            if not _only_looking(probes.config):
                outputs.keep_failures(probes, ())
            return
        complete = int(exit_status) in {0, 1} and not probes.cancelled
        probes.summary, failed = outputs.write(probes, complete=complete)
        if failed:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def _end_as_ctrl_c_does() -> None:
    """Let SIGTERM and SIGHUP interrupt the run as Ctrl-C does, so that the verdicts so far are written."""
    if threading.current_thread() is threading.main_thread():
        for number in _ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
                signal.signal(number, signal.default_int_handler)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore further signals while results are written, so that a second Ctrl-C does not lose them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in _ENDING if signal.getsignal(number) is signal.default_int_handler]
    former = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, *ours)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, signal.SIG_DFL if number in ours else handler)


def summarize(reporter: pytest.TerminalReporter, probes: ProbeSession) -> None:
    """Print the report at the end of a run: the table of endpoints and the recommendation."""
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
    names = ("collectonly", "setuponly", "setupplan", "show_fixtures_per_test")
    return any(getattr(config.option, name, False) for name in names)

"""What the hooks of `plugin` do once `--kimiprobe` is given."""

from __future__ import annotations

import fnmatch
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from . import cases, options, outputs
from .collect import PACKAGED, RECORDED, CaseFile, CaseProbe, Probe, RecordingFile, packaged_path
from .progress import Progress
from .report import Line, money, terminal
from .safe_text import one_line
from .session import ProbeSession

_TYPICAL_S = {"live": 3.0, "simulator": 0.3, "replay": 0.0}


def prepare(config: pytest.Config) -> ProbeSession:
    """Read the options, see what there is to run, point pytest at it. Raises UsageError."""
    session = ProbeSession(config)
    given = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else []
    if session.recordings:
        by_name = {f"{RECORDED}/{file.name}": str(file) for file in session.recordings}
        config.args = [_recorded_path(argument, by_name) for argument in given] or list(by_name.values())
    else:
        packaged = [str(file) for file in sorted(cases.FOLDER.glob("*.yaml"))]
        config.args = [packaged_path(argument) for argument in given] or packaged
    return session


def _recorded_path(argument: str, by_name: dict[str, str]) -> str:
    head, separator, rest = argument.partition("::")
    return f"{by_name[head]}{separator}{rest}" if head in by_name else argument


def is_ours(path: Path, session: ProbeSession) -> bool:
    """Whether a path leads to packaged cases or recordings: never ignored, though it lies in a virtual environment."""
    targets = [cases.FOLDER, *session.recordings]
    return any(path == target or path in target.parents or target in path.parents for target in targets)


def collected(file_path: Path, parent: pytest.Collector, session: ProbeSession) -> pytest.Collector | None:
    """A collector for case files (packaged, or named as `kimiprobe_files` says) and for recordings."""
    if session.recordings:
        if file_path not in session.recordings:
            return None
        return RecordingFile.from_parent(parent, path=file_path, nodeid=f"{RECORDED}/{file_path.name}")
    node: CaseFile
    if file_path.parent == cases.FOLDER and file_path.suffix == ".yaml":
        node = CaseFile.from_parent(parent, path=file_path, nodeid=f"{PACKAGED}/{file_path.name}")
    elif any(fnmatch.fnmatch(file_path.name, glob) for glob in parent.config.getini("kimiprobe_files")):
        node = CaseFile.from_parent(parent, path=file_path)
    else:
        return None
    node.plans = partial(session.plans, packaged=file_path.parent == cases.FOLDER)
    return node


def header(session: ProbeSession) -> list[str]:
    """What will answer, and which keys are there."""
    if session.choice.kind == "replay":
        return [f"kimiprobe: replay of {len(session.recordings)} recording(s), nothing is sent"]
    what = "simulated" if session.choice.kind == "simulator" else session.source
    lines = [f"kimiprobe: {what}, model {session.model}, {len(session.endpoints)} endpoints"]
    if session.choice.kind == "live":
        there = session.live_keys()
        missing = [name for name in session.catalog.providers if name not in there]
        lines.append(
            f"kimiprobe: keys found: {', '.join(there)}" + (f"; missing: {', '.join(missing)}" if missing else "")
        )
    lines += [f"kimiprobe: {one_line(note)}" for note in session.discovered]
    if getattr(session.config.option, "kimiprobe_xdist", False):
        lines.append("kimiprobe: -n ignored, requests already run at once")
    return lines


def forecast(session: ProbeSession, items: list[pytest.Item]) -> list[str]:
    """Cost and time, before anything is spent."""
    probes = [item for item in items if isinstance(item, CaseProbe) and not item.skip_reason]
    if not probes or _only_looking(session.config):
        return []
    estimate = session.estimate(probes)
    endpoints = {probe.plan.endpoint.id for probe in probes}
    spends = "simulated money" if session.choice.kind == "simulator" else f"of ${money(session.budget)} allowed"
    cost = f"about ${money(estimate.about)}, at most ${money(estimate.most)} {spends}"
    seconds = _typical_seconds(session, probes)
    return [
        f"kimiprobe: {len(probes)} requests to {len(endpoints)} endpoints, about {seconds:.0f} s",
        f"kimiprobe: {cost}",
    ]


def _typical_seconds(session: ProbeSession, probes: list[CaseProbe]) -> float:
    lanes: dict[str, int] = {}
    for probe in probes:
        lanes[probe.plan.endpoint.provider] = lanes.get(probe.plan.endpoint.provider, 0) + 1
    at_once: int = options.value(session.config, "concurrency")
    rounds = max(-(-count // at_once) for count in lanes.values())
    return max(rounds * _TYPICAL_S[session.choice.kind], 1.0)


def loop(session: pytest.Session, probes: ProbeSession) -> bool | None:
    """Run other tests first while the requests are under way, then each probe as its answer comes back."""
    if _only_looking(session.config):
        return None
    if session.testsfailed and not session.config.option.continue_on_collection_errors:
        return None
    ours = [item for item in session.items if isinstance(item, Probe)]
    if not ours:
        return None
    probes.send(ours)
    for item in session.items:
        if not isinstance(item, Probe):
            _run_one(session, item)
    progress = Progress.of(session.config.pluginmanager.getplugin("terminalreporter"))
    probes.on_progress = lambda waiting: progress.show(waiting, probes.money().usd)
    try:
        for probe in probes.serve(ours):
            progress.clear()
            if probes.verbose:
                _show_exchange(probes, probe)
            _run_one(session, probe)
    finally:
        progress.clear()
    return True


def _run_one(session: pytest.Session, item: pytest.Item) -> None:
    # No next item: probes come in the order of their answers, so nothing may stay set up for a certain one.
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)


def enrich(item: pytest.Item, report: pytest.TestReport) -> None:
    """The duration that `--durations` and JUnit XML show is the provider's, not our waiting."""
    result = getattr(item, "result", None)
    if not isinstance(item, Probe) or result is None or report.when == "teardown":
        return
    if result.total_ms is not None:
        ended_here = (report.when == "call") != (report.when == "setup" and not report.passed)
        report.duration = result.total_ms / 1000 if ended_here else 0.0


def finish(probes: ProbeSession, exit_status: int, session: pytest.Session) -> None:
    """Close everything, then write what was asked for; a failure to write makes the run exit with 3."""
    with _uninterrupted():
        probes.finish()
        if not probes.results:
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
    reporter.write_sep("=", "kimiprobe")
    for line in terminal(probes.summary):
        _write(reporter, line)


def _write(reporter: pytest.TerminalReporter, line: Line) -> None:
    color = {"good": "green", "bad": "red", "warn": "yellow"}.get(line.tone)
    reporter.write_line(line.text, **({color: True} if color else {}))


def _show_exchange(probes: ProbeSession, probe: Probe) -> None:
    reporter: Any = probes.config.pluginmanager.getplugin("terminalreporter")
    done = probes.exchanges.get(probe.nodeid)
    if reporter is not None and done is not None:
        reporter.ensure_newline()
        for line in outputs.exchange_lines(probe.name, done, probes.environment):
            reporter.write_line(line)


def _only_looking(config: pytest.Config) -> bool:
    option = config.option
    return bool(option.collectonly or getattr(option, "setuponly", False) or getattr(option, "setupplan", False))

"""Outputs of a run when it ends: cassettes, the recorded run, the JSON file, the step summary."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from routing.errors import ConfigError
from routing.evidence.model import utc_text
from routing.tokens import ASSUMED_REQUEST

from ..config import options
from ..reporting.json_report import document, lines_of
from ..reporting.summary import Summary
from ..reporting.terminal import markdown
from ..results import last_run
from ..results.last_run import Failed, LastRun
from ..results.record_run import record_run
from ..results.store import Change, atomic_write
from ..stats.paired_test import Comparison, NotCompared, compare
from ..verdicts import ProbeResult, Run

if TYPE_CHECKING:
    from .session import ProbeSession


def write(probes: ProbeSession, *, complete: bool) -> tuple[Summary, bool]:
    """Write the requested outputs. Returns the summary, and whether the run must exit with an error.

    That is so if an output could not be written, or if no endpoint could be reached. Then nothing is recorded, and no
    endpoint has a status, because the cause may be this machine's network.
    """
    unreached = _is_unreached(probes)
    run = replace(probes.run(complete=complete), reached=not unreached)
    notes = _notes(probes, run)
    changed: list[Change] = []
    told, failed = _recorded(probes)
    notes += told
    notes += ["NOT MEASURED: no endpoint could be reached; check this machine's network and the base URLs"] * unreached
    measured = _summary(probes, run)

    def summary() -> Summary:
        return replace(measured, changes=changed, notes=[*notes, *measured.notes])

    def into_results() -> None:
        if not unreached and (folder := options.value(probes.config, "results")):
            found, note = record_run(Path(folder), run)
            changed.extend(found)
            notes.extend([note] if note else [])

    def into_json() -> None:
        if path := options.value(probes.config, "json"):
            atomic_write(Path(path), lines_of(document(summary())))

    def into_step_summary() -> None:
        if path := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(markdown(summary()))

    for written in (into_results, into_json, into_step_summary):  # if one fails, the others are still written
        if problem := _problem(written):
            notes.append(f"NOT WRITTEN: {problem}")
            failed = True
    keep_failures(probes, measured.failures)
    return summary(), failed or unreached


def _is_unreached(probes: ProbeSession) -> bool:
    """Whether requests were sent, and none of them reached a host. Simulated hosts refuse connections on purpose."""
    live = probes.scope.choice.kind == "live"
    errors = [done.error for done in probes.kept.exchanges.values()]
    return bool(errors) and all(
        error is not None and (error.reason == "local_failure" or (live and error.phase == "connect"))
        for error in errors
    )


def _notes(probes: ProbeSession, run: Run) -> list[str]:
    """Notes about the whole run: that it was interrupted, and which hosts answered 429.

    If a 429 became the error of a probe, the report already lists it as a cause. Then only hosts that the run waited
    for are named.
    """
    notes = [] if run.complete else ["incomplete: the run was interrupted; what was judged is kept"]
    refused = any(probe.verdict == "error" and probe.reason == "rate_limited" for probe in run.probes)
    return [*notes, *probes.refusals(waited=refused)]


def keep_failures(probes: ProbeSession, failed: Sequence[ProbeResult]) -> None:
    """Store the failed probes for `kimiprobe rerun`. They replace those of an earlier run, even if there are none."""
    failures = tuple(
        Failed(probes.scope.argument_of(one.id), one.id, one.endpoint, one.verdict, one.reason, one.detail)
        for one in failed
    )
    folder = Path(probes.config.invocation_params.dir)
    python = ("-P",) if sys.flags.safe_path else ()
    scope, judged = probes.scope, "" if probes.kept.results else ", no probes"
    title = f"{scope.source}, suite {scope.suite}, {utc_text(scope.started_at)}{judged}"
    last_run.keep(LastRun(folder, python, *scope.rerun(), failures, title))


def _problem(write_one: Callable[[], None]) -> str:
    """Call `write_one`. Returns why the output could not be written; empty if it was written."""
    try:
        write_one()
    except ConfigError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return ""


def _recorded(probes: ProbeSession) -> tuple[list[str], bool]:
    """Write the cassettes if `--kimiprobe-record` is set. Returns notes about them, and whether writing failed."""
    recorder, scope = probes.recorder, probes.scope
    if recorder is None:
        return [], False
    keys = {f"{name}_KEY": scope.environment.get(row.key_env, "") for name, row in scope.catalog.providers.items()}
    try:
        done = recorder.write(probes.kept.results, {**os.environ, **scope.environment, **keys})
    except ConfigError as error:
        return [f"NOT RECORDED: {error}"], True
    return [*done.notes, f"recorded: {done.count} cassettes in {recorder.folder}"], False


def _summary(probes: ProbeSession, run: Run) -> Summary:
    """The summary of a run, with the requested comparison or the reason why there is none."""
    comparison, told = _compared(probes, run)
    notes = [told] if told else []
    day = datetime.now(UTC).date()
    prices = {one.id: price.cost(ASSUMED_REQUEST) for one in probes.scope.endpoints if (price := one.price_at(day))}
    return replace(
        Summary.of(run, probes.money()),
        notes=notes,
        comparison=comparison,
        prices=prices,
        hosts=probes.scope.hosts(),
        model=probes.scope.model,
        rerun=f"{command_name()} rerun",
    )


def command_name() -> str:
    """The command that starts kimiprobe: its name if it is on PATH, otherwise the script's path beside this Python."""
    script = Path(sys.executable).with_name("kimiprobe")
    if shutil.which("kimiprobe") or not script.is_file():
        return "kimiprobe"
    return os.path.relpath(script) if script.is_relative_to(Path.cwd()) else str(script)


def _compared(probes: ProbeSession, run: Run) -> tuple[Comparison | None, str]:
    """The comparison that `--kimiprobe-compare` requests, or the reason why it is not possible."""
    if not probes.scope.compared:
        return None, ""
    try:
        return compare(run, *probes.scope.compared), ""
    except NotCompared as problem:
        return None, f"nothing to compare: {problem}"

"""Hides pytest's own output about probes, because the report at the end shows them. Options keep that output.

`-v` lists the items; `-v`, `--tb` and `-r` show pytest's sections. Output about other tests does not change.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import Any

import pytest

from ..results.last_run import failure_order
from ..verdicts import ProbeResult

_SUMMING: pytest.StashKey[bool] = pytest.StashKey()
"""Key in `config.stash`: True while pytest writes its final sections, which name the verdicts of probes."""
_PROPERTY = "kimiprobe_verdict"
_ASKING = re.compile(r"--tb(=|$)|-[vqxsl]*r")


def lists_items(config: pytest.Config) -> bool:
    """Whether pytest prints a line for each item (`-v`)."""
    return bool(config.option.verbose > 0)


def shows_sections(config: pytest.Config) -> bool:
    """Whether the command line asks for pytest's final sections. `addopts` does not count; it is for other tests."""
    return lists_items(config) or any(_ASKING.match(str(argument)) for argument in config.invocation_params.args)


def is_of_probe(report: pytest.TestReport) -> bool:
    """Whether a report is about a probe: its item then has the property `kimiprobe_verdict`."""
    return any(name == _PROPERTY for name, _ in getattr(report, "user_properties", ()))


def status_of(
    report: pytest.TestReport, config: pytest.Config
) -> tuple[str, str, tuple[str, dict[str, bool]] | str] | None:
    """Category, letter and name of a probe's report. The last two are empty if pytest lists no items.

    None leaves them to pytest.
    """
    if hasattr(report, "wasxfail") or not is_of_probe(report):
        return None
    rescued = report.when == "call" and report.passed and ("kimiprobe_verdict", "rescued") in report.user_properties
    if not lists_items(config) and not config.stash.get(_SUMMING, False):
        return ("rescued" if rescued else _category(report)), "", ""
    return ("rescued", "R", ("RESCUED", {"yellow": True})) if rescued else None


def _category(report: pytest.TestReport) -> str:
    """The category under which pytest's last line counts a probe's report; empty if it does not count it."""
    if report.skipped:
        return "skipped"
    if report.failed:
        return "failed" if report.when == "call" else "error"
    return "passed" if report.when == "call" else ""


def name_no_files(config: pytest.Config) -> None:
    """Stop pytest from naming the file of each probe: answers come in any order, so file names would alternate."""
    reporter: Any = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None and not lists_items(config):
        reporter.showfspath = False


def summary_of_others(
    reporter: pytest.TerminalReporter, results: Mapping[str, ProbeResult]
) -> Generator[None, object, object]:
    """Wrapper of the hook that writes pytest's final sections: probes are left out unless options ask for them.

    Probes that are shown are sorted as in the table of failures (`failure_order`), after the reports of other tests.
    """
    former = {name: list(reporter.stats.get(name, ())) for name in ("failed", "error", "skipped")}
    for name, reports in former.items():
        kept = reports if shows_sections(reporter.config) else [one for one in reports if not is_of_probe(one)]
        reporter.stats[name] = sorted(kept, key=lambda report: _number(report, results))
    reporter.config.stash[_SUMMING] = True
    try:
        return (yield)
    finally:
        reporter.config.stash[_SUMMING] = False
        reporter.stats.update({name: reports for name, reports in former.items() if reports})


def _number(report: Any, results: Mapping[str, ProbeResult]) -> tuple[Any, ...]:
    result = results.get(getattr(report, "nodeid", ""))
    return failure_order(result) if result is not None else (False, False, False, "")

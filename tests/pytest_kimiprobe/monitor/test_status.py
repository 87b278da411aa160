"""`kimiprobe status`: what latest.json says, how old it is, and what could not be read."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import time_machine
from building import GROQ, KIMI, MOONSHOT, NOVITA, counts, evidence, row
from click.testing import CliRunner, Result

from pytest_kimiprobe.monitor.cli import main
from pytest_kimiprobe.monitor.cli.status import age_words
from pytest_kimiprobe.results.store import atomic_write, dumps, refresh_latest, write_run
from pytest_kimiprobe.verdicts import ProbeResult, Run
from routing.evidence.model import EndpointEvidence

NOW = datetime(2026, 11, 23, 5, 30, tzinfo=UTC)
INT4 = "openrouter/moonshotai/kimi-k2.6+moonshotai/int4"


@pytest.fixture(autouse=True)
def _now() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


def status(folder: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(main, ["status", "--results", str(folder), *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def latest(folder: Path, *rows: EndpointEvidence, source: str = "live") -> None:
    atomic_write(folder / "latest.json", dumps(evidence(*rows, source=source)))


def a_run(folder: Path, run_id: str, at: datetime = NOW) -> None:
    probe = ProbeResult("x", "weather", KIMI, "plain", 1, "pass", "ok")
    write_run(folder, Run(run_id, 1, "live", "core", at, at, True, (probe,)), environment={})


def test_one_row_an_endpoint_with_counts_times_cost_and_age(tmp_path: Path) -> None:
    """Columns in the order of the header; a zero is a dot."""
    priced = replace(row(age=timedelta(hours=3), newest=counts(28, 1, 1, 2)), cost_per_1k_usd=Decimal("1.234"))
    latest(tmp_path, priced)
    lines = status(tmp_path).stdout.splitlines()
    assert lines[:2] == [str(tmp_path / "latest.json"), "newest evidence 3 hours old, of run 77-1"]
    (head,) = (line for line in lines if line.startswith("endpoint"))
    (cells,) = (line for line in lines if line.startswith("openrouter"))
    assert head.split() == ["endpoint", "answered", "right", "rescued", "p50", "p95", "$/1k", "status", "age"]
    assert cells.split() == ["openrouter", "30/32", "28", "1", "1.9s", "4.1s", "1.23", "works", "3h"]
    assert "kimi-k2.6" in lines


def test_latencies_that_the_machine_distorted_are_marked_as_in_a_run(tmp_path: Path) -> None:
    """A question mark behind both percentiles."""
    latest(tmp_path, replace(row(), latency_unreliable=True))
    assert "1.9s? 4.1s?" in " ".join(status(tmp_path).stdout.split())


def test_the_age_is_told_in_words(tmp_path: Path) -> None:
    """Of the newest evidence, not of the file."""
    latest(tmp_path, row(age=timedelta(hours=5)), row(MOONSHOT, age=timedelta(days=2)))
    assert "newest evidence 5 hours old" in status(tmp_path).stdout


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(seconds=59), "less than a minute"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(hours=23, minutes=59), "23 hours"),
        (timedelta(days=1), "1 day"),
        (timedelta(days=12), "12 days"),
    ],
)
def test_ages_in_words(age: timedelta, words: str) -> None:
    """One unit is enough."""
    assert age_words(age) == words


def test_it_fits_eighty_columns(tmp_path: Path) -> None:
    """Long names give way in the middle, however wide the numbers are."""
    wide = counts(99999, 99999, 99999, 99999)
    latest(
        tmp_path, *(replace(row(name, "needs_rescue", newest=wide), p50_ms=99999.0) for name in (KIMI, INT4, NOVITA))
    )
    lines = status(tmp_path, "--all").stdout.splitlines()[2:]
    assert max(map(len, lines)) <= 80
    labels = [line.split()[0] for line in lines if " rescue " in line]
    assert len(set(labels)) == 3


def test_old_evidence_reads_unknown_and_is_warned_of(tmp_path: Path) -> None:
    """More than seven days: never shown as working."""
    latest(tmp_path, row(age=timedelta(days=7, minutes=1)), row(MOONSHOT))
    output = status(tmp_path).stdout
    assert re.search(r"^openrouter .* unknown +7d$", output, re.MULTILINE)
    assert "1 of 2 were not probed for more than 7 days: unknown" in output


def test_unreadable_files_are_named_and_change_nothing(tmp_path: Path) -> None:
    """The torn file is on stderr, the table is there."""
    a_run(tmp_path, "r1")
    refresh_latest(tmp_path, NOW)
    (tmp_path / "runs/2026/11/23/torn.json").write_text("{")
    result = status(tmp_path)
    assert "torn.json: skipped" in result.stderr
    assert "works" in result.stdout
    assert result.exit_code == 0


def test_a_broken_latest_is_named_and_derived_anew(tmp_path: Path) -> None:
    """What the run files give is shown, and said to be so."""
    a_run(tmp_path, "r1")
    (tmp_path / "latest.json").write_text("{")
    result = status(tmp_path)
    assert "latest.json: not JSON" in result.stderr
    assert "shown is what the run files give" in result.stderr
    assert "works" in result.stdout


def test_a_broken_latest_without_runs_is_named(tmp_path: Path) -> None:
    """Nothing to show, and the reason why."""
    (tmp_path / "latest.json").write_text("{")
    result = status(tmp_path)
    assert result.stderr.count("latest.json: not JSON") == 1
    assert "no results in" in result.stdout


def test_a_latest_that_lacks_a_run_is_told(tmp_path: Path) -> None:
    """What the router reads is shown; that it is behind is said."""
    a_run(tmp_path, "r1", NOW - timedelta(hours=1))
    refresh_latest(tmp_path, NOW)
    a_run(tmp_path, "r2")
    assert "does not count run r2-1 yet" in status(tmp_path).stderr


def test_without_results_it_says_how_to_get_some(tmp_path: Path) -> None:
    """An empty folder is not an error; a folder that was named and does not exist is one."""
    result = status(tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "`kimiprobe check` makes some" in result.stdout
    missing = status(tmp_path / "nowhere")
    assert (missing.exit_code, "nowhere: no such folder; `kimiprobe check" in missing.stderr) == (2, True)


def test_what_was_never_probed_is_shown_on_request(tmp_path: Path) -> None:
    """Unknown, or retired where the catalogue says so; without --all only what was probed."""
    latest(tmp_path, row())
    assert " never" not in status(tmp_path).stdout
    rows = {item["endpoint"]: item for item in json.loads(status(tmp_path, "--all", "--json").stdout)["endpoints"]}
    assert rows[MOONSHOT]["status"] == "unknown"
    assert rows["together/moonshotai/Kimi-K2.6"]["status"] == "retired"
    assert rows[KIMI]["status"] == "works"
    assert " never" in status(tmp_path, "--all").stdout


def test_json_holds_the_same(tmp_path: Path) -> None:
    """Rows as in latest.json, the status as of now, and the problems."""
    latest(tmp_path, row(age=timedelta(days=8)))
    (tmp_path / "runs/2026/11/23").mkdir(parents=True)
    (tmp_path / "runs/2026/11/23/torn.json").write_text("{")
    data = json.loads(status(tmp_path, "--json").stdout)
    (item,) = data["endpoints"]
    assert (item["status"], item["recorded_status"], item["age_s"]) == ("unknown", "works", 8 * 86400)
    assert (item["judged"], item["window"]["judged"], data["run"], data["source"]) == (30, 30, "77-1", "live")
    assert "torn.json" in data["problems"][0]


def test_what_this_machine_played_is_marked(tmp_path: Path) -> None:
    """Local evidence is never mistaken for a provider's."""
    latest(tmp_path, row(), source="local")
    assert "(local: says nothing of real hosts)" in status(tmp_path).stdout


def test_endpoints_that_the_catalogue_lost_are_still_shown(tmp_path: Path) -> None:
    """Under a heading of their own."""
    latest(tmp_path, row("gone/some-model"), row(GROQ))
    output = status(tmp_path).stdout
    assert "not in the catalogue" in output
    assert output.index("kimi-k2\n") < output.index("not in the catalogue")

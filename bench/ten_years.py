"""Ten simulated years of results: what they weigh in git, and how fast `kimiprobe status` answers over them.

    python bench/ten_years.py [YEARS]       one year by default; into a temporary folder, removed at the end

30 endpoints x 40 cases x 5 probes a day in one run: three of the five plain, two streamed. One commit a day, as
`kimiprobe record` makes them; then everything is packed. What YEARS weigh is told per ten years; for `status` the run
files are copied until ten years of days are there.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from pytest_kimiprobe.results.daily import lines_of, rendered
from pytest_kimiprobe.results.run_file import StoredRun, parsed
from pytest_kimiprobe.results.store import atomic_write, dumps, latest, write_run
from pytest_kimiprobe.verdicts import ProbeResult, Run, Verdict
from routing import catalog as catalogs
from routing.types import Usage

ENDPOINTS, CASES, TRIES = 30, 40, 5
PRICE = (Decimal("0.6") / 1_000_000, Decimal("2.5") / 1_000_000)


def run_of(day: datetime, number: int, names: list[str]) -> Run:
    generator = random.Random(number)
    probes = [probe for name in names for probe in probes_of(name, generator)]
    references = dict.fromkeys(names, names[0])
    return Run(
        str(10**10 + number * 97), 1, "live", "full", day, day + timedelta(minutes=9), True, tuple(probes), references
    )


def probes_of(endpoint: str, generator: random.Random) -> Iterator[ProbeResult]:
    """An endpoint of its own speed and quality, which change from day to day."""
    pace, right = generator.lognormvariate(7.3, 0.4), generator.choice([0.99, 0.97, 0.9])
    for case in range(CASES):
        for repeat in range(TRIES):
            luck = generator.random()
            verdict: Verdict = (
                "pass" if luck < right else "fail" if luck < right + 0.006 else "error" if luck > 0.998 else "rescued"
            )
            reason = {"pass": "ok", "fail": generator.choice(["wrong_tool", "leaked_call"]), "error": "timeout"}
            usage = Usage(180 + case * 23, int(generator.lognormvariate(4.5, 0.5)))
            total = pace * generator.lognormvariate(0, 0.35)
            yield ProbeResult(
                id=f"kimiprobe/core.yaml::case-{case}[{endpoint}-plain-{repeat}]",
                case=f"case-of-some-name-{case}",
                endpoint=endpoint,
                mode="plain" if repeat < 3 else "stream",
                repeat=repeat,
                verdict=verdict,
                reason=reason.get(verdict, "rescued_text"),
                detail="expected another tool than the one called" if verdict == "fail" else "",
                total_ms=total,
                first_token_ms=total * generator.uniform(0.1, 0.5) if repeat >= 3 else None,
                usage=usage,
                cost_usd=usage.prompt_tokens * PRICE[0] + usage.completion_tokens * PRICE[1],
                calls=1,
                valid_calls=1,
                k2vv_valid=True,
                finish_reason="tool_calls",
            )


def git(folder: Path, *words: str) -> str:
    settings = ("-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0")
    done = subprocess.run(["git", "-C", str(folder), *settings, *words], check=True, capture_output=True, text=True)
    return done.stdout


def size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def statuses(folder: Path) -> list[float]:
    """Seconds of `kimiprobe status` as a fresh process, bytecode written as an installation has it."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    code = "from pytest_kimiprobe.monitor.cli import main; main(['status', '--results', 'results'])"
    spent = []
    for _ in range(6):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], cwd=folder, env=kept, check=True, stdout=subprocess.DEVNULL)
        spent.append(time.perf_counter() - started)
    return sorted(spent[1:])


def commit_years(folder: Path, days: list[datetime], names: list[str]) -> None:
    """A commit a day: the run, latest.json and the roll-up, as refresh_latest and refresh_daily write them."""
    results = folder / "results"
    recent: list[StoredRun] = []
    git(folder, "init", "-q", "-b", "main")
    for number, day in enumerate(days):
        path = write_run(results, run_of(day, number, names), environment={})
        recent = [*recent[-30:], parsed(path.read_text("utf-8"), str(path))]
        atomic_write(results / "latest.json", dumps(latest(recent, day + timedelta(hours=1))))
        month = [run for run in recent if f"{run.started_at:%Y-%m}" == f"{day:%Y-%m}"]
        atomic_write(results / f"daily/{day:%Y-%m}.jsonl", rendered(lines_of(month)))
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", "Record one run")
        if number % 200 == 199:
            git(folder, "repack", "-d", "-q")
    git(folder, "gc", "-q", "--prune=now")


def fill_ten_years(results: Path, first: datetime) -> int:
    """Copies of the newest run file for all earlier days; returns the number of run files."""
    files = sorted((results / "runs").rglob("*.json"))
    text = files[-1].read_text("utf-8")
    for back in range(1, 3650 - len(files) + 1):
        copy = results / f"runs/{first - timedelta(days=back):%Y/%m/%d}" / files[-1].name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text, "utf-8")
    return len(list((results / "runs").rglob("*.json")))


def main(years: float) -> None:
    names = list(catalogs.load(environment={}).endpoints)
    names = (names + [f"openrouter/moonshotai/kimi-k2.6+upstream-{n}/fp8" for n in range(ENDPOINTS)])[:ENDPOINTS]
    today = datetime.now(UTC).replace(hour=4, minute=0, second=0, microsecond=0) - timedelta(days=1)
    days = [today - timedelta(days=back) for back in reversed(range(int(years * 365)))]
    with tempfile.TemporaryDirectory(prefix="kimiprobe-years-") as name:
        folder = Path(name)
        commit_years(folder, days, names)
        packed, tree = size_mb(folder / ".git"), size_mb(folder / "results")
        files = fill_ten_years(folder / "results", days[0])
        spent = statuses(folder)
    ten = 3650 / len(days)
    print(f"{len(days)} days x {ENDPOINTS} endpoints x {CASES} cases x {TRIES}")
    print(f"packed in git   {packed:8.1f} MB   ten years of it: {packed * ten:7.1f} MB")
    print(f"work tree       {tree:8.1f} MB   ten years of it: {tree * ten:7.1f} MB")
    print(f"kimiprobe status over {files} runs: {statistics.median(spent):.2f} s ({spent[0]:.2f} to {spent[-1]:.2f})")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1)

"""Whole runs over HTTP against personas with rates: they count what the run in this process counts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from played import Asked, InProcess, answered, packaged, requests
from recovery import own

from pytest_kimiprobe.simulator import Persona, Scenario, load_scenario
from pytest_kimiprobe.simulator.behaviour.draws import first_token_ms, plain_persona_name, uniforms
from pytest_kimiprobe.stats.measures import measures_of, measures_row

ENDPOINTS = (
    "moonshot/kimi-k2.6",
    "openrouter/moonshotai/kimi-k2.6+wandb/fp8",
    "openrouter/moonshotai/kimi-k2.6+novita/fp8",
    "openrouter/moonshotai/kimi-k2.6+deepinfra/fp4",
)
REPEATS = 4
COUNTED = ("first_try", "first_try_with_rescue", "by_case", "reasons", "pass_power", "rates")


def scenario(folder: Path, seed: int) -> Path:
    """A file in which the hosts of the ladder that leak most stand behind the endpoints, quicker than they would be."""
    times = {"first_token_ms": 2.0, "first_token_p95_ms": 12.0, "tokens_per_s": 1_000_000}
    hosts = sorted(own(), key=lambda host: host.persona.leak_rate, reverse=True)
    personas = {endpoint: asdict(host.persona) | times for endpoint, host in zip(ENDPOINTS, hosts, strict=False)}
    path = folder / "truth.yaml"
    path.write_text(json.dumps({"seed": seed, "endpoints": personas}), "utf-8")  # JSON is YAML
    return path


def run(folder: Path, path: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--kimiprobe"]
    command += [f"--kimiprobe-source=simulator:{path}", "--kimiprobe-suite=smoke", f"--kimiprobe-repeat={REPEATS}"]
    command += ["--kimiprobe-budget=99", "--kimiprobe-json=out.json", "--kimiprobe-concurrency=20"]
    command += [f"--kimiprobe-endpoint={endpoint}" for endpoint in ENDPOINTS]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stdout[-3000:] + done.stderr[-2000:]
    found: dict[str, Any] = json.loads((folder / "out.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_run_over_http_counts_what_the_run_in_this_process_counts(tmp_path: Path, seed: int) -> None:
    """Every rate, reason and case of every endpoint, exactly; and no first token comes before it was drawn."""
    path = scenario(tmp_path, seed)
    personas, document = load_scenario(path).endpoints, run(tmp_path, path)
    rows = {row["endpoint"]: row for row in document["endpoints"]}
    leaks = 0
    for endpoint in ENDPOINTS:
        asked = requests(packaged("smoke"), endpoint)
        probes = [result for one in asked for result in one.drawn(personas[endpoint], seed, REPEATS)]
        expected = json.loads(json.dumps(measures_row(measures_of(probes, {})[endpoint])))
        assert {name: rows[endpoint][name] for name in COUNTED} == {name: expected[name] for name in COUNTED}
        leaks += expected["rates"]["leak"]["right"]
        taken = [one["first_token_ms"] for one in document["probes"] if one["endpoint"] == endpoint]
        # The shortest beside the shortest: a clock rounds to a tenth, and a sleep may end a tick early.
        pairs = zip(first_tokens(asked, personas[endpoint], seed), sorted(filter(None, taken)), strict=True)
        assert [pair for pair in pairs if pair[1] < pair[0] - 1.1] == []
    assert leaks > 0


def first_tokens(asked: Sequence[Asked], persona: Persona, seed: int) -> list[float]:
    """As drawn, in milliseconds, of the streams that were answered; sorted."""
    drawn = [
        uniforms(seed, one.place, one.content, count)
        for one in asked
        for count in range(REPEATS)
        if one.plan.mode == "stream"
    ]
    return sorted(first_token_ms(persona, each) for each in drawn if plain_persona_name(persona, each) != "down")


def test_an_answer_is_judged_once_because_only_its_ids_differ() -> None:
    """Drawn eight times from a persona with rates, each answer has the verdict of the plain persona that was drawn."""
    persona = own()[8].persona
    fast = Persona(**(asdict(persona) | {"first_token_ms": 0.0, "first_token_p95_ms": None, "tokens_per_s": 1e6}))
    for one in requests(packaged("smoke"), ENDPOINTS[0]):
        transport = InProcess(Scenario(seed=3, default=fast))
        fresh = [answered(transport, one.plan) for _ in range(8)]
        for result, remembered in zip(fresh, one.drawn(fast, 3, 8), strict=True):
            assert (result.verdict, result.reason, result.detail) == (
                remembered.verdict,
                remembered.reason,
                remembered.detail,
            )
            assert (result.calls, result.valid_calls, result.k2vv_valid, result.leaked) == (
                remembered.calls,
                remembered.valid_calls,
                remembered.k2vv_valid,
                remembered.leaked,
            )

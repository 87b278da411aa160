"""Answers from public reports, replayed: each row says which verdict, calls and reason are right."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from shared_data import DATA, needs_data

ROWS = DATA / "answer_rows_2.jsonl"
EXPECTED: dict[str, dict[str, Any]] = (
    {row["id"]: row["expected"] for row in map(json.loads, ROWS.read_text("utf-8").splitlines())}
    if ROWS.exists()
    else {}
)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The probe of each row, by the row's id."""
    folder = tmp_path_factory.mktemp("rows")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--kimiprobe"]
    command += ["--kimiprobe-source", f"replay:{ROWS}", "--kimiprobe-json", "out.json"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stdout[-2000:]
    return {probe["case"]: probe for probe in json.loads((folder / "out.json").read_text("utf-8"))["probes"]}


@needs_data
@pytest.mark.parametrize("case", EXPECTED)
def test_a_reported_answer_is_judged_as_its_row_says(replayed: dict[str, dict[str, Any]], case: str) -> None:
    """Calls are compared as received."""
    probe, expected = replayed[case], EXPECTED[case]
    assert probe["verdict"] in expected["verdicts"]
    assert expected["reasons"] is None or probe["reason"] in expected["reasons"]
    calls = [[call["name"], call["arguments"]] for call in probe["tool_calls"]]
    assert expected["calls"] in (None, calls)

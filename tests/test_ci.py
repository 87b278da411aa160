"""The helpers of .ci/run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "probe.yml"


def helper(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / ".ci" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["Install from the lock", "Probe", "Collect the run's file"])
def test_a_step_is_run_as_the_workflow_has_it(name: str) -> None:
    """Its text, not a copy, which could differ."""
    steps = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]["probe"]["steps"]
    (text,) = [step["run"] for step in steps if step.get("name") == name]
    assert helper("workflow_step.py", WORKFLOW, "probe", name).stdout == text + "\n"
    assert name in (ROOT / ".ci" / "run").read_text("utf-8")


def test_a_step_that_is_gone_ends_the_run() -> None:
    """Nothing is run in its place."""
    done = helper("workflow_step.py", WORKFLOW, "probe", "Renamed")
    assert (done.returncode, done.stdout) == (1, "")
    assert "0 steps named 'Renamed'" in done.stderr


def test_totals_are_one_plain_line(tmp_path: Path) -> None:
    """Summed over all files; an error counts as a failure."""
    for number, row in enumerate(
        ('tests="5" failures="1" errors="1" skipped="1"', 'tests="3" failures="0" errors="0"')
    ):
        (tmp_path / f"{number}.xml").write_text(f"<testsuites><testsuite {row}/></testsuites>", "utf-8")
    assert helper("totals.py", *sorted(tmp_path.glob("*.xml"))).stdout == "5 passed, 2 failed, 1 skipped\n"

"""Runs of the packaged smoke suite in a pytest of its process, with chosen plugins beside this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_kimiprobe.pytest_items.items import packaged_files

HERE = Path(__file__).parent
ROOM = HERE.parents[1] / ".venv-plugins"
needs_plugins = pytest.mark.skipif(not (ROOM / ".ready").exists(), reason="no plugins here: `make plugins`")
PACKAGED = tuple(f"kimiprobe/{file.name}" for file in packaged_files())
SCENARIO = """about: One endpoint works, one gives arguments that break the schema, always.
default: healthy
endpoints:
  openrouter/moonshotai/kimi-k2.6+deepinfra/fp4: {persona: bad_arguments, rate: 1.0, how: schema}
"""
ENDPOINTS = ("moonshot/*", "openrouter/*deepinfra*")
CASES = """
from pytest_kimiprobe import case

@case("What is the capital of France?", suite="smoke", parity="calls")
def test_right(answer):
    assert answer.text

@case("What is the capital of Spain?", suite="smoke")
def test_wrong(answer):
    assert not answer.text, "not as expected"
"""
FILES = {
    "scenario.yaml": SCENARIO,
    "test_cases.py": CASES,
    "settings.py": "SECRET_KEY = 'x'\nINSTALLED_APPS = []\n",
    "capital.feature": "Feature: own\n  Scenario: own\n    Given a step\n",
}


@dataclass(frozen=True, slots=True)
class SmokeRun:
    """One run: the verdict of each probe, how often each request was received, and the ids of the items that ran."""

    code: int
    complete: bool
    verdicts: dict[str, tuple[str, str, str]]
    requests: Counter[str]
    output: str


def smoke_run(folder: Path, *arguments: str, plugins: str = "", own: str = "", autoload: bool = False) -> SmokeRun:
    """Run pytest in `folder` with the packaged smoke suite, `test_cases.py`, and `own` as the user's own tests.

    `plugins` are the modules to load. With `autoload`, all installed plugins are loaded as well.
    """
    for name, text in {**FILES, "test_own.py": own or "def test_own(): pass\n"}.items():
        (folder / name).write_text(text, "utf-8")
    loaded = [f"-p{name}" for name in ("request_log", *plugins.split())] + ["-ppytest_kimiprobe.plugin"] * (
        not autoload
    )
    options = ["--kimiprobe", "--kimiprobe-source=simulator:scenario.yaml", "--kimiprobe-suite=smoke"]
    options += [f"--kimiprobe-endpoint={glob}" for glob in ENDPOINTS]
    command = [sys.executable, "-B", "-m", "pytest", "--kimiprobe-json=out.json", *loaded, *options]
    outcome = subprocess.run(
        [*command, *PACKAGED, "test_cases.py", "test_own.py", *arguments],
        cwd=folder,
        env=_environment(folder, autoload=autoload),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (folder / "out.json").exists(), outcome.stdout + outcome.stderr
    report = json.loads((folder / "out.json").read_text("utf-8"))
    verdicts = {one["id"]: (one["verdict"], one["reason"], one["error_class"]) for one in report["probes"]}
    requests = Counter((folder / "requests.log").read_text("utf-8").splitlines())
    return SmokeRun(outcome.returncode, report["complete"], verdicts, requests, outcome.stdout + outcome.stderr)


def _environment(folder: Path, *, autoload: bool) -> dict[str, str]:
    """Environment of the process, without what coverage and pytest set for the processes of this test run."""
    ours = ("COV", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    paths = os.pathsep.join(map(str, (ROOM, HERE, folder)))
    told = {"PYTHONPATH": paths, "REQUEST_LOG": "requests.log", "DJANGO_SETTINGS_MODULE": "settings"}
    return kept | told | ({} if autoload else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})

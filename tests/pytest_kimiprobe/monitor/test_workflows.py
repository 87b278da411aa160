"""The schedule itself: linted, pinned, least privileged, and its shell steps run with hostile inputs."""

import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from pytest_kimiprobe.cases import model as cases
from pytest_kimiprobe.cases.plan import ProbePlan, cannot, estimate, expand, select
from pytest_kimiprobe.monitor import decide
from pytest_kimiprobe.monitor.cli import main
from pytest_kimiprobe.results.store import write_run
from pytest_kimiprobe.stats.aggregates import NATIVE
from pytest_kimiprobe.verdicts import ProbeResult, Run
from routing import catalog
from routing.evidence.model import FRESH_FOR

ROOT = Path(__file__).resolve().parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
BIN = Path(sys.executable).parent
KEYS = {provider.key_env for provider in catalog.load(environment={}).providers.values()}
DAY = date(2026, 11, 23)
PINS = {
    "actions/checkout": "9c091bb21b7c1c1d1991bb908d89e4e9dddfe3e0",
    "actions/setup-python": "5fda3b95a4ea91299a34e894583c3862153e4b97",
    "actions/upload-artifact": "043fb46d1a93c77aae656e7c1c64a875d1fc6a0a",
    "actions/download-artifact": "3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c",
}


def loaded(name: str) -> dict[str, Any]:
    # BaseLoader: `on` stays a word, as GitHub reads it.
    document = yaml.load((ROOT / ".github" / "workflows" / name).read_text(), Loader=yaml.BaseLoader)
    assert isinstance(document, dict)
    return document


PROBE = loaded("probe.yml")


def steps(*jobs: str) -> list[dict[str, Any]]:
    return [step for job in jobs for step in PROBE["jobs"][job]["steps"]]


def step(job: str, name: str) -> dict[str, Any]:
    (found,) = (row for row in steps(job) if row.get("name") == name)
    return found


def tool(*command: str) -> None:
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:], *map(str, WORKFLOWS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_zizmor_finds_nothing() -> None:
    """The strictest persona, offline."""
    tool("zizmor", "--offline", "--no-progress", "--persona", "auditor")


def test_they_follow_githubs_schema() -> None:
    """The vendored schema of workflow files."""
    tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_known_commit(path: Path) -> None:
    """A tag can be moved to other code; a commit cannot."""
    uses = re.findall(r"uses: (\S+)@(\S+) # v\d+\.\d+\.\d+", path.read_text())
    assert len(uses) == path.read_text().count("uses:")
    assert all(PINS[action] == pin for action, pin in uses)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_nothing_is_allowed_but_what_a_job_names(path: Path) -> None:
    """Empty permissions at the top; a deadline and permissions of its own for each job."""
    document = loaded(path.name)
    assert document["permissions"] == {}
    for job in document["jobs"].values():
        assert job["permissions"]
        assert int(job["timeout-minutes"]) <= 60


def test_ci_has_neither_secrets_nor_write_permissions() -> None:
    """A pull request from a fork runs it."""
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert "secrets." not in text
    assert "pull_request_target" not in text
    assert all(value == "read" for job in loaded("ci.yml")["jobs"].values() for value in job["permissions"].values())


def test_the_schedule_is_at_an_odd_minute() -> None:
    """Full hours are delayed and dropped."""
    (row,) = PROBE["on"]["schedule"]
    minute = row["cron"].split()[0]
    assert int(minute) % 5 != 0


def test_keys_are_in_the_probe_step_alone() -> None:
    """All providers of the catalogue, in that step's environment and nowhere else; the write token in the other job."""
    probe = step("probe", "Probe")
    assert {name for name, value in probe["env"].items() if value == f"${{{{ secrets.{name} }}}}"} == KEYS
    rest = [row for row in steps("probe", "record") if row is not probe]
    assert not [name for row in rest for name in row.get("env", {}) if name in KEYS]
    assert not any("token" in str(row).lower().replace("replicate_api_token", "") for row in steps("probe"))
    assert PROBE["jobs"]["probe"]["permissions"] == {"contents": "read"}


def test_no_expression_stands_in_a_shell_line() -> None:
    """Inputs come through the environment: a shell never parses what somebody typed."""
    assert not [row for row in steps("probe", "record") if "${{" in row.get("run", "")]


def test_recorded_first_then_proposed_then_told() -> None:
    """An alert points at a commit that exists; a refused proposal does not silence it."""
    names = [row.get("name") for row in steps("record")]
    assert names[-3:] == ["Record", "Propose", "Tell"]
    assert "if" not in step("record", "Propose")
    assert step("record", "Tell")["if"] == "${{ !cancelled() }}"


def test_runs_wait_for_each_other() -> None:
    """Two writers never overlap, and none is thrown away."""
    assert PROBE["concurrency"] == {"group": "kimiprobe", "cancel-in-progress": "false", "queue": "max"}


def default_run() -> list[ProbePlan]:
    """The probes of a scheduled run: every endpoint of the default model."""
    env, whole = step("probe", "Probe")["env"], catalog.load(environment={})
    assert env["KIMIPROBE_LOAD"] == "mixed"
    chosen = [case for file in cases.FOLDER.glob("*.yaml") for case in cases.load(file)]
    return [
        plan
        for case in chosen
        if cases.in_suite(case, fallback(env["SUITE"]))
        for plan in expand(case, select(whole, whole.default_model, [], DAY), int(fallback(env["REPEAT"])), ("mixed",))
        if not cannot(case, plan.endpoint, plan.mode)
    ]


def fallback(expression: str) -> str:
    """What an input is where nobody gave one: `${{ inputs.suite || 'smoke' }}`."""
    (found,) = re.findall(r"\|\| '?([^ ']+)'? \}\}", expression)
    return str(found)


def test_a_schedule_runs_what_a_dispatch_offers() -> None:
    """The defaults of the form and those of a run without a form are the same."""
    env = step("probe", "Probe")["env"]
    inputs = PROBE["on"]["workflow_dispatch"]["inputs"]
    assert {name: fallback(env[name.upper()]) for name in ("suite", "repeat", "budget")} == {
        name: inputs[name]["default"] for name in ("suite", "repeat", "budget")
    }


def test_a_scheduled_run_fits_into_its_budget() -> None:
    """Also where answers are twice as long as foreseen."""
    budget = Decimal(fallback(step("probe", "Probe")["env"]["BUDGET"]))
    assert 2 * estimate(default_run(), catalog.load(environment={}), DAY).about <= budget


def test_a_scheduled_run_repeats_each_case_five_times() -> None:
    """One answer says little of a rate."""
    assert {plan.repeat for plan in default_run()} == {1, 2, 3, 4, 5}


def test_a_scheduled_run_gives_evidence_to_decide_on() -> None:
    """One is enough to turn a flag off, the runs of half a window to turn one on."""
    native = [plan for plan in default_run() if plan.case.capability == NATIVE]
    for endpoint in {plan.endpoint.id for plan in native}:
        here = [plan for plan in native if plan.endpoint.id == endpoint]
        assert len(here) >= decide.DISABLE_JUDGED
        assert len(here) * (FRESH_FOR.days // 2) >= decide.ENABLE_JUDGED
        assert len({plan.case.name for plan in here}) >= decide.ENABLE_CASES


def test_every_command_and_option_exists() -> None:
    """What the workflow calls is what the command line has."""
    context = click.Context(main)
    calls = [
        line
        for row in steps("probe", "record")
        for line in row.get("run", "").replace("\\\n", " ").splitlines()
        if "bin/kimiprobe" in line
    ]
    assert len(calls) == 4
    for call in calls:
        name, *rest = call.split("bin/kimiprobe ")[1].split()
        assert isinstance(main, click.Group)
        command = main.get_command(context, name)
        assert command is not None, name
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", " ".join(rest))) <= known


def run_step(row: dict[str, Any], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """As the runner does it: bash -e, with the step's text in a file."""
    script = folder / "step.sh"
    script.write_text(row["run"])
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def stub(folder: Path, code: int = 0) -> Path:
    """A `kimiprobe` that writes down its arguments."""
    seen = folder / "seen"
    command = folder / ".venv" / "bin" / "kimiprobe"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {seen}\nexit {code}\n')
    command.chmod(0o755)
    return seen


HOSTILE = ["$(touch pwned)", '"; touch pwned; "', "`touch pwned`", "a b", "*", "${IFS}touch pwned", "--help", "'x'"]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_somebody_types_is_one_argument(tmp_path: Path, text: str) -> None:
    """Dispatch inputs are never executed, split or expanded."""
    seen = stub(tmp_path)
    done = run_step(step("probe", "Probe"), tmp_path, SUITE=text, ENDPOINT=text, REPEAT=text, BUDGET=text)
    assert done.returncode == 0
    expected = ["check", "--suite", text, "--repeat", text, "--budget", text, "--endpoint", text]
    assert seen.read_text().splitlines() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == [".venv", "seen", "step.sh"]


def test_without_an_endpoint_all_are_probed(tmp_path: Path) -> None:
    """An empty field is no option."""
    seen = stub(tmp_path)
    run_step(step("probe", "Probe"), tmp_path, SUITE="core", ENDPOINT="", REPEAT="5", BUDGET="2")
    assert seen.read_text().splitlines() == ["check", "--suite", "core", "--repeat", "5", "--budget", "2"]


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (1, 0), (2, 2), (3, 3), (4, 4)])
def test_failed_probes_are_data_and_a_broken_monitor_is_red(tmp_path: Path, code: int, expected: int) -> None:
    """0 and 1 go on to be recorded; from 2 on the job fails."""
    stub(tmp_path, code)
    given = {"SUITE": "core", "ENDPOINT": "", "REPEAT": "5", "BUDGET": "2"}
    assert run_step(step("probe", "Probe"), tmp_path, **given).returncode == expected


COMPLETE = '{"run": {"attempt": 1, "complete": true}}'
"""What the workflow looks for in a run file."""


def test_only_new_and_complete_run_files_travel_between_the_jobs(tmp_path: Path) -> None:
    """Collected from one checkout, taken into another: nothing else, and nothing overwritten."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        (folder / "results" / "runs" / "d").mkdir(parents=True)
        (folder / "results" / "runs" / "d" / "old.json").write_text("old")
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], cwd=here, check=True)
    (here / "results" / "runs" / "d" / "new one.json").write_text(COMPLETE)
    (here / "results" / "runs" / "d" / "cut.json").write_text(COMPLETE.replace("true", "false"))
    (here / "results" / "latest.json").write_text("derived")
    output = tmp_path / "output"
    assert run_step(step("probe", "Collect the run's file"), here, GITHUB_OUTPUT=str(output)).returncode == 0
    assert output.read_text() == "files=1\n"
    (here / "outbox" / "results" / "runs" / "d" / "old.json").write_text("forged")
    (here / "outbox" / "Makefile").write_text("forged")
    (here / "outbox").rename(there / "inbox")
    assert run_step(step("record", "Take in the run's file"), there).returncode == 0
    files = {path.relative_to(there).as_posix(): path.read_text() for path in (there / "results").rglob("*.json")}
    assert files == {"results/runs/d/old.json": "old", "results/runs/d/new one.json": COMPLETE}
    assert not (there / "Makefile").exists()


def collected(folder: Path) -> tuple[int, str]:
    """Exit code and output of the step that collects the run's file."""
    output = folder / "output"
    done = run_step(step("probe", "Collect the run's file"), folder, GITHUB_OUTPUT=str(output))
    return done.returncode, output.read_text()


def test_a_run_without_a_complete_file_is_red_and_not_recorded(tmp_path: Path) -> None:
    """A pytest that dies while it is configured exits with 1, as if some probes had failed; it writes no file."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert collected(tmp_path) == (1, "files=0\n")
    assert "needs.probe.outputs.files > 0" in PROBE["jobs"]["record"]["if"]


def test_what_a_killed_writer_left_is_no_run_file(tmp_path: Path) -> None:
    """A file is written beside its place and moved there when it is whole."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "results" / "runs").mkdir(parents=True)
    (tmp_path / "results" / "runs" / ".new.json.0123456789abcdef.tmp").write_text(COMPLETE[:-1])
    assert collected(tmp_path) == (1, "files=0\n")


def test_an_interrupted_run_is_kept_for_people_and_not_recorded(tmp_path: Path) -> None:
    """Its file is in the artifact, beside the place that the second job takes files from."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "results" / "runs").mkdir(parents=True)
    (tmp_path / "results" / "runs" / "cut.json").write_text(COMPLETE.replace("true", "false"))
    assert collected(tmp_path) == (1, "files=0\n")
    assert (tmp_path / "outbox" / "incomplete" / "results" / "runs" / "cut.json").is_file()


@pytest.mark.parametrize("complete", [True, False])
def test_whether_a_run_is_complete_says_its_file_whatever_a_model_wrote(tmp_path: Path, complete: bool) -> None:
    """A model's text in it is data."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    said = ProbeResult(
        "x", "weather", "moonshot/kimi-k2.6", "plain", 1, "fail", "wrong_tool", '"complete": true\n"complete": true'
    )
    at = datetime(2026, 11, 23, tzinfo=UTC)
    write_run(tmp_path / "results", Run("77", 1, "live", "smoke", at, at, complete, (said,)))
    assert collected(tmp_path) == ((0, "files=1\n") if complete else (1, "files=0\n"))


def test_the_lock_of_the_record_job_holds_what_the_tests_ran_with() -> None:
    """Every pin is hashed and is the one of requirements/test.txt."""
    pattern = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)
    pins, tested = (
        dict(pattern.findall((ROOT / "requirements" / name).read_text())) for name in ("monitor.txt", "test.txt")
    )
    assert {"pygithub", "click", "hatchling", "editables"} <= set(pins)
    assert {name: tested.get(name) for name in pins} == pins
    text = (ROOT / "requirements" / "monitor.txt").read_text()
    assert all("--hash=sha256:" in part for part in re.split(r"\n(?=[a-z])", text))

"""`kimiprobe rerun`: a failure of the last run again, with the options of that run, and its exchange."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_kimiprobe.results import last_run
from pytest_kimiprobe.results.last_run import FOLDER, find
from routing.errors import ConfigError

KIMIPROBE = [sys.executable, "-c", "from pytest_kimiprobe.monitor.cli import main; main()"]
WRONG = "seed: 1\ndefault: {persona: bad_arguments, how: schema}\nendpoints: {}\n"
RUN = ("--kimiprobe", "--kimiprobe-source=simulator:wrong.yaml", "--kimiprobe-endpoint=moonshot/*")
OWN = """version: 1
cases:
  - name: capital
    prompt: What is the weather in Paris?
    tools: [{name: get_weather, parameters: {type: object, properties: {city: {type: string}}, required: [city]}}]
    expect: {calls: [{name: get_weather}]}
...
"""


SCHEMA = '{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}\n'


@pytest.fixture(autouse=True)
def _folder(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = -p no:syrupy -p no:hypothesispytest\n")
    pytester.makefile(".yaml", wrong=WRONG)


def kimiprobe(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*KIMIPROBE, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def the_id(number: int = 1) -> str:
    return find(Path.cwd()).failures[number - 1].id


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("kimiprobe/core.yaml", ()),
        ("kimiprobe/schemas.yaml::enum-argument", ("--kimiprobe-suite=full",)),
        ("schemas/own.jsonl", ("--kimiprobe-suite=full", "--kimiprobe-schemas=folder")),
        ("sub/own.kimiprobe.yaml", ("--kimiprobe-repeat=2",)),
    ],
    ids=["core", "full", "schemas", "own"],
)
def test_a_failure_of_any_suite_is_rerun_with_its_exchange(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, case: str, options: tuple[str, ...]
) -> None:
    """Suite, schemas, own files, scenario: the options of the run are kept; pytest need not be on PATH."""
    pytester.mkdir("sub").joinpath("own.kimiprobe.yaml").write_text(OWN)
    pytester.mkdir("folder").joinpath("own.jsonl").write_text(SCHEMA)
    assert pytester.runpytest(*RUN, *options, case).ret == 1
    kept = (pytester.path / FOLDER / "last_run.json").read_text()
    monkeypatch.setenv("PATH", "/nowhere")
    done = kimiprobe("rerun", "1", folder=pytester.path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert the_id() in done.stdout.replace("\n     ", "")
    assert "< HTTP 200: " in done.stdout
    assert "it failed again" in done.stdout
    assert "simulated-moonshot-key" not in done.stdout
    assert (pytester.path / FOLDER / "last_run.json").read_text() == kept


def test_a_failure_of_an_isolated_check_is_rerun_isolated(pytester: pytest.Pytester) -> None:
    """Nothing of the repository's test environment reaches it, as in the check."""
    pytester.makeconftest("raise RuntimeError('of the tests')")
    check = ("--source=simulator:wrong.yaml", "--suite=smoke", "--endpoint=moonshot/*")
    assert kimiprobe("check", *check, folder=pytester.path).returncode == 1
    done = kimiprobe("rerun", "1", folder=pytester.path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "< HTTP 200: " in done.stdout


def test_it_runs_from_a_folder_below(pytester: pytest.Pytester) -> None:
    """The nearest run above is the last one."""
    pytester.runpytest(*RUN, "kimiprobe/core.yaml")
    below = pytester.mkdir("below")
    assert "it failed again" in kimiprobe("rerun", "1", folder=below).stdout


def test_without_a_number_it_lists_the_failures(pytester: pytest.Pytester) -> None:
    """Wrong answers before errors, refusals last; in 80 columns but for ids."""
    pytester.runpytest("--kimiprobe", "--kimiprobe-source=simulator:broken", "kimiprobe/core.yaml")
    failures = find(pytester.path).failures
    order = [(one.verdict == "error", one.reason == "rate_limited") for one in failures]
    assert order == sorted(order)
    listed = kimiprobe("rerun", folder=pytester.path).stdout
    assert listed.startswith("1    kimiprobe/core.yaml::")
    assert f"\n{len(failures)} " in listed


def test_a_number_that_is_not_there_is_a_sentence(pytester: pytest.Pytester) -> None:
    """So is a folder without a run."""
    nothing = kimiprobe("rerun", "1", folder=pytester.path)
    assert (nothing.returncode, "no run was made here or above" in nothing.stderr) == (2, True)
    pytester.runpytest(*RUN, "kimiprobe/core.yaml")
    done = kimiprobe("rerun", "99", folder=pytester.path)
    assert done.returncode == 2
    assert "there is no number 99" in done.stderr


def test_the_working_tree_stays_clean(pytester: pytest.Pytester) -> None:
    """The folder ignores itself."""
    pytester.runpytest(*RUN, "kimiprobe/core.yaml")
    assert (pytester.path / FOLDER / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 1}', '{"version": 9}', '{"version": 1, "failures": [{}]}'])
def test_a_torn_file_says_what_to_do(tmp_path: Path, text: str) -> None:
    """Not a traceback."""
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "last_run.json").write_text(text)
    with pytest.raises(ConfigError, match="run again"):
        last_run.find(tmp_path)


@pytest.mark.parametrize("marked", [{}, {"folder": None}, {"folder": [1, 0]}], ids=["none", "null", "another"])
def test_a_last_run_that_came_with_a_repository_is_not_obeyed(
    pytester: pytest.Pytester, marked: dict[str, object]
) -> None:
    """Its options could load any module and its Python arguments run any code."""
    run = {"version": 1, "python": ["-c", "open('ran', 'w')"], "options": [], "environment": {}}
    failure = dict.fromkeys(("argument", "id", "endpoint", "verdict", "reason", "detail"), "x")
    pytester.mkdir(FOLDER).joinpath("last_run.json").write_text(json.dumps({**run, **marked, "failures": [failure]}))
    done = kimiprobe("rerun", "1", folder=pytester.path)
    assert (done.returncode, "not written here by you" in done.stderr) == (2, True)
    assert not (pytester.path / "ran").exists()


def test_a_copied_last_run_is_not_obeyed(pytester: pytest.Pytester) -> None:
    """A copy of a folder is another folder."""
    pytester.runpytest(*RUN, "kimiprobe/core.yaml")
    shutil.copytree(pytester.path / FOLDER, pytester.mkdir("copy") / FOLDER)
    with pytest.raises(ConfigError, match="not written here by you"):
        last_run.find(pytester.path / "copy")


@pytest.mark.parametrize("link", [FOLDER, f"{FOLDER}/.gitignore", f"{FOLDER}/last_run.json"])
def test_no_link_of_a_repository_is_written_through(pytester: pytest.Pytester, link: str) -> None:
    """It could lead to any file of the user."""
    outside = pytester.mkdir("outside")
    (outside / ".gitignore").write_text("build/\n")
    path = pytester.path / link
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(outside if link == FOLDER else outside / ".gitignore")
    pytester.runpytest(*RUN, "kimiprobe/core.yaml")
    assert [(file.name, file.read_text()) for file in outside.iterdir()] == [(".gitignore", "build/\n")]

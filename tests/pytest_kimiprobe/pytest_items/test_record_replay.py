"""Recording a run and judging it again, as a user does it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pytest_kimiprobe.monitor.cli import main

PROBE = "kimiprobe/core.yaml::weather[moonshot/kimi-k2.6-plain-1]"
ESCAPED = PROBE.replace("[", "[[]")
HEALTHY = ("--kimiprobe", "--kimiprobe-source", "simulator:healthy", "--kimiprobe-endpoint=moonshot/kimi-k2.6")
RECORD, REPLAY = "--kimiprobe-record=tapes", ("--kimiprobe", "--kimiprobe-source=replay:tapes")
PERSONAS = """about: Every kind of failure
seed: 3
default: healthy
endpoints:
  moonshot/kimi-k2.6: {persona: leaks_k2, rate: 0.6}
  openrouter/moonshotai/kimi-k2.6+novita/fp8: {persona: cut, how: close, rate: 0.5}
  openrouter/moonshotai/kimi-k2.6+wandb/fp8: {persona: bad_arguments, how: truncated, rate: 0.7}
  replicate/moonshotai/kimi-k2.5: {persona: error_in_200, rate: 0.3}
...
"""
PYTHON_CASE = """
from pytest_kimiprobe import case

TOOL = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}

@case(prompt="What is the weather in Paris right now?", tools=[TOOL])
def test_paris(answer):
    assert answer.tool_calls[0].arguments["city"] == "PARIS"

def test_of_another_kind():
    raise AssertionError("a replay runs recorded probes only")
"""
OWN = """version: 1
cases:
  - {name: capital, prompt: "What is the capital of France?", tools: [{name: f}], expect: {calls: []}}
...
"""

HERE = ("-o", "kimiprobe_paths=.")
"""The conftest.py of the folder takes part."""


@pytest.fixture(autouse=True)
def _plain_ini(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider -p no:syrupy -p no:hypothesispytest\n")


def probes(pytester: pytest.Pytester, name: str) -> dict[str, dict[str, Any]]:
    rows = json.loads((pytester.path / name).read_text("utf-8"))["probes"]
    return {row["id"]: row for row in rows}


def replayed(*arguments: str) -> Result:
    """`kimiprobe replay`; the pytest that it starts is to be as plain as ours."""
    return CliRunner().invoke(main, ["replay", *arguments], prog_name="kimiprobe")


@pytest.mark.parametrize(("suite", "cases"), [("smoke", 5), pytest.param("full", 50, marks=pytest.mark.long)])
def test_every_packaged_case_replays_to_the_recorded_verdicts(
    pytester: pytest.Pytester, suite: str, cases: int
) -> None:
    """With personas that leak, cut, break and poll: verdict, reason, calls, times and cost, pairs included."""
    pytester.makefile(".yaml", personas=PERSONAS)
    names = ("moonshot/kimi-k2.6", "openrouter/*novita*", "openrouter/*wandb*", "replicate/moonshotai/kimi-k2.5")
    endpoints = [f"--kimiprobe-endpoint={name}" for name in names]
    source = ("--kimiprobe", "--kimiprobe-source=simulator:personas.yaml", f"--kimiprobe-suite={suite}", *endpoints)
    pytester.runpytest(*source, RECORD, "--kimiprobe-json=live.json", "--kimiprobe-budget=100", "-q")
    pytester.runpytest(*REPLAY, "--kimiprobe-json=again.json", "-q")
    live, again = probes(pytester, "live.json"), probes(pytester, "again.json")
    sent = {name: row for name, row in live.items() if row["verdict"] not in {"unsupported", "not_run"}}
    assert sent.keys() <= again.keys() <= live.keys()
    assert {name: live[name] for name in again} == again
    assert {row["verdict"] for row in sent.values()} == {"pass", "rescued", "fail", "error"}
    assert len({row["case"] for row in sent.values()}) > cases


def test_users_cases_replay_too(pytester: pytest.Pytester) -> None:
    """Case files and test functions are found again by their ids; other tests beside them do not run."""
    pytester.makefile(".kimiprobe.yaml", own=OWN)
    pytester.makepyfile(test_mine=PYTHON_CASE)
    ran = pytester.runpytest(*HEALTHY, RECORD, "--kimiprobe-json=live.json", "own.kimiprobe.yaml", "test_mine.py")
    ran.assert_outcomes(passed=2, failed=3)
    again = pytester.runpytest(*REPLAY, "--kimiprobe-json=again.json")
    again.assert_outcomes(passed=2, failed=2)
    assert probes(pytester, "again.json") == probes(pytester, "live.json")
    names = sorted(path.name.partition("-")[0] for path in (pytester.path / "tapes").rglob("*.yaml"))
    assert names == ["capital", "test_paris"]


def test_a_case_that_shares_its_name_with_another_files_replays_alone(pytester: pytest.Pytester) -> None:
    """Only what was recorded of each file is judged again, though the other file's case met more modes."""
    pytester.makefile(".kimiprobe.yaml", own=OWN.replace("capital", "weather"))
    pytester.runpytest(*HEALTHY, RECORD, "own.kimiprobe.yaml", PROBE, "--kimiprobe-json=live.json")
    pytester.runpytest(*REPLAY, "--kimiprobe-json=again.json").assert_outcomes(passed=3, deselected=1)
    assert probes(pytester, "again.json") == probes(pytester, "live.json")


def test_a_function_with_parameters_of_its_own_and_pairs_replay(pytester: pytest.Pytester) -> None:
    """Each parameter's probes have their own samples, and plain and stream are held against each other again."""
    kinds = '@pytest.mark.parametrize("kind", ["a/b", "c::d"])\n@case('
    source = "import pytest\n" + PYTHON_CASE.replace("@case(", kinds).replace("(answer)", "(answer, kind)")
    pytester.makepyfile(test_mine=source.replace("tools=", "parity='calls', tools="))
    pytester.runpytest(*HEALTHY, RECORD, "--kimiprobe-json=live.json", "test_mine.py", "-k", "paris")
    pytester.runpytest(*REPLAY, "--kimiprobe-json=again.json")
    again = probes(pytester, "again.json")
    assert again == probes(pytester, "live.json")
    assert {"test_mine.py::test_paris[moonshot/kimi-k2.6-parity-1-c::d]"} < again.keys()
    assert len(again) == 6


def test_a_function_that_is_gone_costs_only_its_own_probes(pytester: pytest.Pytester) -> None:
    """They are told as not recorded; those of the other functions of its file are judged."""
    renamed = PYTHON_CASE.replace("test_paris", "test_other").partition("TOOL")[2].partition("def test_of")[0]
    pytester.makepyfile(test_mine=f"{PYTHON_CASE}\nTOOL{renamed}")
    pytester.runpytest(*HEALTHY, RECORD, "test_mine.py")
    pytester.makepyfile(test_mine=PYTHON_CASE)
    pytester.runpytest(*REPLAY, "--kimiprobe-json=again.json").assert_outcomes(failed=2, errors=2, deselected=1)
    assert [row["reason"] for row in probes(pytester, "again.json").values()].count("not_recorded") == 2


def test_one_recorded_probe_can_be_run_alone(pytester: pytest.Pytester) -> None:
    """Its id is the live one; endpoints can be chosen, and times are those of the recording."""
    pytester.runpytest(*HEALTHY, RECORD, "kimiprobe/core.yaml")
    pytester.runpytest(*REPLAY, PROBE, "-v").stdout.fnmatch_lines([f"{ESCAPED} PASSED*", "*1 passed*"])
    assert pytester.runpytest(*REPLAY, "--kimiprobe-endpoint=groq/*").ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_a_recorded_run_is_otherwise_the_same(pytester: pytest.Pytester) -> None:
    """Same items, verdicts and exit code; a note tells of the cassettes."""
    plain = pytester.runpytest(*HEALTHY, "kimiprobe/core.yaml", "--kimiprobe-json=plain.json")
    taken = pytester.runpytest(*HEALTHY, "kimiprobe/core.yaml", "--kimiprobe-json=taken.json", RECORD)
    assert plain.ret == taken.ret
    words = [
        {name: (row["verdict"], row["reason"], row["text"]) for name, row in probes(pytester, file).items()}
        for file in ("plain.json", "taken.json")
    ]
    assert words[0] == words[1]
    taken.stdout.fnmatch_lines(["*recorded: 3 cassettes in tapes*"])


def test_an_interrupted_run_keeps_what_was_recorded(pytester: pytest.Pytester) -> None:
    """After Ctrl-C the cassettes hold the probes that were judged."""
    pytester.makeconftest("""
        seen = []
        def pytest_kimiprobe_result(result):
            seen.append(result)
            if len(seen) == 3:
                raise KeyboardInterrupt
    """)
    ran = pytester.runpytest_subprocess(*HEALTHY, RECORD, *HERE, "kimiprobe/core.yaml", "--kimiprobe-json=live.json")
    assert ran.ret == pytest.ExitCode.INTERRUPTED
    kept = probes(pytester, "live.json")
    pytester.makeconftest("")
    pytester.runpytest(*REPLAY, "--kimiprobe-json=again.json")
    again = probes(pytester, "again.json")
    assert len(again) >= 3
    assert {name: row["verdict"] for name, row in again.items()} == {name: kept[name]["verdict"] for name in again}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((*REPLAY, RECORD), "--kimiprobe-record: a replay sends nothing that could be recorded"),
        ((*HEALTHY, "--kimiprobe-record=tox.ini"), "--kimiprobe-record: *tox.ini: is a file, not a folder"),
        (("--kimiprobe", "--kimiprobe-source=replay:nowhere"), "*nowhere: not there"),
    ],
)
def test_what_cannot_be_recorded_is_told_before_anything_is_sent(
    pytester: pytest.Pytester, arguments: tuple[str, ...], told: str
) -> None:
    """A usage error, exit code 4."""
    pytester.runpytest(*HEALTHY, RECORD, PROBE)
    result = pytester.runpytest(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{told}*"])


def test_one_bad_file_costs_itself(pytester: pytest.Pytester) -> None:
    """Torn, foreign or of a newer release: an item that names the file, and the others are judged."""
    pytester.runpytest(*HEALTHY, RECORD, PROBE)
    tapes = pytester.path / "tapes"
    good = (tapes / "moonshot/kimi-k2.6/weather.yaml").read_text("utf-8")
    (tapes / "torn.yaml").write_text(good[: len(good) // 2], "utf-8")
    (tapes / "newer.yaml").write_text(good.replace("\n    version: 1\n", "\n    version: 99\n"), "utf-8")
    (tapes / "sub").mkdir()
    (tapes / "sub" / "torn.yaml").write_text("services: {}\n", "utf-8")
    result = pytester.runpytest(*REPLAY, "-v", "-rE")
    result.assert_outcomes(passed=1, errors=3)
    for told in (f"{ESCAPED} PASSED*", "*torn.yaml:*is not YAML*", "*newer.yaml*this release reads version 1*"):
        result.stdout.fnmatch_lines([told])
    result.stdout.fnmatch_lines(["ERROR replay/sub/torn.yaml::*"])


def test_evidence_of_another_question_is_not_judged(pytester: pytest.Pytester) -> None:
    """A case that was reworded or removed since says nothing of the old answers; it is told, not left out."""
    pytester.makefile(".kimiprobe.yaml", own=OWN, gone=OWN.replace("capital, ", "other, "))
    pytester.runpytest(*HEALTHY, RECORD, "own.kimiprobe.yaml", "gone.kimiprobe.yaml")
    pytester.makefile(".kimiprobe.yaml", own=OWN.replace("France", "Chile"))
    (pytester.path / "gone.kimiprobe.yaml").unlink()
    result = pytester.runpytest(*REPLAY, "--kimiprobe-json=again.json")
    result.assert_outcomes(errors=4)
    rows = probes(pytester, "again.json").values()
    assert {(row["verdict"], row["reason"], row["error_class"]) for row in rows} == {("error", "not_recorded", None)}
    details = {row["case"]: row["detail"] for row in rows}
    assert "asks something else than when kimiprobe" in details["capital"]
    assert "is not here any more" in details["other"]


class TestReplayCommand:
    @pytest.fixture
    def recorded(self, pytester: pytest.Pytester) -> Path:
        pytester.makefile(".kimiprobe.yaml", own=OWN)
        pytester.runpytest(*HEALTHY, RECORD, "own.kimiprobe.yaml", "--kimiprobe-json=live.json")
        return pytester.path

    def test_nothing_changed(self, recorded: Path) -> None:
        """Exit code 0, by the cassettes' own verdicts and by the run's file; settings for recording do not disturb."""
        for more in ((), ("--against", "live.json")):
            result = replayed("tapes", *more)
            assert (result.exit_code, result.stdout) == (0, "2 verdicts compared, none changed (simulated hosts)\n")

    def test_a_changed_judge_shows_what_changes(self, recorded: Path) -> None:
        """Exit code 1; a line a probe: case, endpoint, mode, sample, then and now."""
        own = recorded / "own.kimiprobe.yaml"
        own.write_text(OWN.replace("{calls: []}", "{calls: [{name: f}]}"), "utf-8")
        result = replayed("tapes", "--against", "live.json", "--json")
        assert result.exit_code == 1, result.output
        changed = json.loads(result.stdout)["changed"]
        assert [(row["case"], row["mode"], row["sample"]) for row in changed] == [
            ("capital", m, 1) for m in ("plain", "stream")
        ]
        assert {(row["before"]["verdict"], row["after"]["verdict"], row["after"]["reason"]) for row in changed} == {
            ("pass", "fail", "missing_call")
        }
        table = replayed("tapes")
        assert table.exit_code == 1
        assert table.stdout.splitlines()[0] == "2 verdicts compared, 2 changed (simulated hosts)"
        assert table.stdout.splitlines()[2].split()[:7] == [
            "capital",
            "moonshot/kimi-k2.6",
            "plain",
            "1",
            "pass",
            "fail",
            "missing_call:",
        ]

    def test_verdicts_on_pairs_are_counted_apart(self, pytester: pytest.Pytester) -> None:
        """A pair is no recorded answer."""
        pytester.makefile(".kimiprobe.yaml", own=OWN.replace("expect:", "parity: calls, expect:"))
        pytester.runpytest(*HEALTHY, RECORD, "own.kimiprobe.yaml", "--kimiprobe-json=live.json")
        result = replayed("tapes", "--against", "live.json")
        assert result.stdout == "2 verdicts and 1 on pairs compared, none changed (simulated hosts)\n"

    @pytest.mark.parametrize("text", ["", "interactions: [", "{}", "metadata: {kimiprobe: {version: 9}}"])
    def test_a_destroyed_cassette_is_named_with_what_to_do(self, recorded: Path, text: str) -> None:
        """Exit code 2: what cannot be read is never passed over."""
        (recorded / "tapes" / "torn.yaml").write_text(text, "utf-8")
        result = replayed("tapes")
        assert result.exit_code == 2
        assert "torn.yaml: cannot be read" in result.stderr
        assert "record it again, or take it out of tapes" in result.stderr

    def test_what_a_cassette_says_never_reaches_the_terminal_raw(self, recorded: Path) -> None:
        """An escape sequence in an id, also in one that is recorded twice."""
        (tape,) = (recorded / "tapes").rglob("*.yaml")
        hostile = tape.read_text("utf-8").replace("id: own", 'id: "\\e[31mown', 1)
        hostile = re.sub(r'(id: "\\e\[31mown[^\n]*)', r'\1"', hostile, count=1)
        for name in ("one.yaml", "two.yaml"):
            (recorded / "tapes" / name).write_text(hostile, "utf-8")
        result = replayed("tapes")
        again = subprocess.run(
            [sys.executable, "-m", "pytest", *REPLAY, "-v"], cwd=recorded, capture_output=True, text=True, check=False
        )
        assert result.exit_code == 2
        assert "\x1b" not in result.output + again.stdout + again.stderr

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("{", "is not JSON"),
            ("{}", "is neither a run file of results/ nor written by --kimiprobe-json"),
            ('{"version": 1, "probes": 5}', "not written by --kimiprobe-json"),
            ('{"version": 1, "cells": []}', "is not a run file"),
            (
                '{"version": 1, "run": "other", "source": "live", "probes": []}',
                "is of run other, the recordings are of",
            ),
            ('{"version": 1, "source": "replay", "probes": []}', "nothing to compare"),
        ],
    )
    def test_a_file_that_cannot_be_compared(self, recorded: Path, text: str, told: str) -> None:
        """Exit code 2 and a sentence."""
        (recorded / "bad.json").write_text(text, "utf-8")
        result = replayed("tapes", "--against", "bad.json")
        assert result.exit_code == 2
        assert told in result.stderr

    def test_recordings_that_are_none(self, recorded: Path) -> None:
        """Exit code 2, naming the path."""
        for path in ("nowhere", "own.kimiprobe.yaml"):
            result = replayed(path)
            assert result.exit_code == 2
            assert path in result.stderr

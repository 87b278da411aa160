"""`pytest --kimiprobe` as a pytest user meets it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import xml.etree.ElementTree as ET
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from shared_data import DATA, needs_data

from pytest_kimiprobe.plugin import SESSION

PROBE = "kimiprobe/core.yaml::weather[moonshot/kimi-k2.6-plain-1]"
HEALTHY = ("--kimiprobe", "--kimiprobe-source", "simulator:healthy")
DIRECT = ("--kimiprobe-endpoint", "moonshot/*")
THREE = "kimiprobe/core.yaml"
"""The packaged file of three cases, that counts stay readable."""
OWN = """# yaml-language-server: $schema=./case.schema.json
version: 1
cases:
  - name: capital
    prompt: What is the capital of France?
    tools: [{name: get_weather, parameters: {type: object, properties: {city: {type: string}}, required: [city]}}]
    expect: {calls: []}
...
"""


@pytest.fixture(autouse=True)
def _plain_ini(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider -p no:syrupy -p no:hypothesispytest\n")


class TestUntouched:
    def test_without_the_option_nothing_heavy_is_imported(self, pytester: pytest.Pytester) -> None:
        """pytest runs as it did before the plugin was installed."""
        pytester.makepyfile(
            """
            import sys
            def test_light():
                heavy = {"httpx", "httpx2", "jsonschema", "jsonschema_rs", "yaml", "ruamel", "click", "routing"}
                assert not heavy & set(sys.modules)
            """
        )
        pytester.runpytest_subprocess().assert_outcomes(passed=1)

    def test_without_the_option_case_files_collect_to_nothing(self, pytester: pytest.Pytester) -> None:
        """A probe is never sent unasked."""
        pytester.makefile(".kimiprobe.yaml", own=OWN)
        assert pytester.runpytest().ret == pytest.ExitCode.NO_TESTS_COLLECTED


class TestCollection:
    def test_no_path_runs_the_packaged_cases_and_not_the_users_tests(self, pytester: pytest.Pytester) -> None:
        """Every packaged file, plain and streamed."""
        pytester.makepyfile("def test_mine(): raise AssertionError")
        result = pytester.runpytest(*HEALTHY, *DIRECT, "--kimiprobe-suite", "smoke")
        result.stdout.fnmatch_lines(
            ["smoke suite, kimi-k2.6, 1 endpoint, 12 requests and 3 pairs in *", "moonshot * 10/10 * 10 * works"]
        )
        assert result.ret == 0

    def test_an_id_can_be_pasted_back(self, pytester: pytest.Pytester) -> None:
        """Case, endpoint, mode and repeat stand in it."""
        result = pytester.runpytest(*HEALTHY, PROBE, "-v")
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["kimiprobe/core.yaml::weather?moonshot/kimi-k2.6-plain-1? PASSED*"])

    @pytest.mark.parametrize("name", ["weather[moonshot/kimi-k3-plain-1]", "weather[moonshot/kimi-k2.6-stream-3]"])
    def test_an_id_means_its_endpoint_and_repeat_whatever_the_defaults_are(
        self, pytester: pytest.Pytester, name: str
    ) -> None:
        """The line that reruns one failure works for every failure."""
        pytester.runpytest(*HEALTHY, f"kimiprobe/core.yaml::{name}").assert_outcomes(passed=1)

    def test_the_id_of_a_pair_runs_both_its_halves(self, pytester: pytest.Pytester) -> None:
        """Without them it could not be judged."""
        name = "kimiprobe/stream.yaml::plain-and-stream-alike[moonshot/kimi-k2.6-parity-1]"
        pytester.runpytest(*HEALTHY, name, "-v").assert_outcomes(passed=3)

    def test_paths_run_those_paths(self, pytester: pytest.Pytester) -> None:
        """A user's cases and tests side by side."""
        pytester.makepyfile("def test_mine(): pass")
        pytester.makefile(".kimiprobe.yaml", own=OWN)
        result = pytester.runpytest(*HEALTHY, *DIRECT, ".", "-v")
        result.assert_outcomes(passed=3)
        result.stdout.fnmatch_lines(["own.kimiprobe.yaml::capital?moonshot/kimi-k2.6-stream-1? PASSED*"])

    @pytest.mark.parametrize(
        ("arguments", "passed"),
        [
            (("-k", "weather"), 2),
            (("-k", "several-tools and stream"), 1),
            (("-m", "kimiprobe"), 6),
            (("-m", "not kimiprobe"), 0),
        ],
    )
    def test_selection_is_pytests_own(self, pytester: pytest.Pytester, arguments: tuple[str, ...], passed: int) -> None:
        """-k and -m, and what is deselected costs nothing."""
        counts = pytester.runpytest(*HEALTHY, *DIRECT, THREE, *arguments).parseoutcomes()
        assert counts.get("passed", 0) + counts.get("rescued", 0) == passed
        assert counts.get("deselected", 0) == 6 - passed

    def test_repeats_are_items_of_their_own(self, pytester: pytest.Pytester) -> None:
        """So that each has a verdict."""
        pytester.runpytest(*HEALTHY, *DIRECT, THREE, "--kimiprobe-repeat", "3", "-k", "weather").assert_outcomes(
            passed=6, deselected=12
        )

    @pytest.mark.parametrize("looking", ["--collect-only", "--setup-plan", "--setup-only"])
    def test_looking_sends_nothing(self, pytester: pytest.Pytester, looking: str) -> None:
        """No request, no cost, no table."""
        result = pytester.runpytest("--kimiprobe", looking, env_key(pytester), *DIRECT)
        assert result.ret == 0
        result.stdout.no_fnmatch_line("*requests in*")

    def test_lf_reruns_exactly_what_failed(self, pytester: pytest.Pytester) -> None:
        """As with any test."""
        pytester.makeini("[pytest]\naddopts = -p no:syrupy\n")
        first = pytester.runpytest("--kimiprobe", "--kimiprobe-source", "simulator:broken", THREE)
        wrong = first.parseoutcomes()["failed"] + first.parseoutcomes().get("errors", 0)
        again = pytester.runpytest(*HEALTHY, "--lf", THREE).parseoutcomes()
        assert again["passed"] + again.get("rescued", 0) == wrong


def env_key(pytester: pytest.Pytester) -> str:
    """A key, as if live; returned as a harmless argument so that calls read in one line."""
    os.environ["MOONSHOT_API_KEY"] = "sk-test-key-never-sent"
    return "-q"


class TestVerdicts:
    def test_rescued_is_a_third_outcome_that_counts_as_passed(self, pytester: pytest.Pytester) -> None:
        """Letter R, word RESCUED, exit code 0."""
        result = pytester.runpytest(*HEALTHY, *DIRECT, THREE, "-k", "json-in-text", "-v")
        result.stdout.fnmatch_lines(["*json-in-text* RESCUED*", "*2 rescued*"])
        assert result.ret == 0

    def test_a_wrong_answer_is_failed_and_none_is_an_error(self, pytester: pytest.Pytester) -> None:
        """Told apart by pytest's own words; each is one line without a traceback."""
        broken = pytester.runpytest("--kimiprobe", "--kimiprobe-source", "simulator:broken", THREE)
        assert broken.parseoutcomes()["failed"] > 0
        broken.stdout.no_fnmatch_line("*Traceback*")
        down = pytester.runpytest("--kimiprobe", "--kimiprobe-source", "simulator:outage", *DIRECT, THREE)
        assert down.parseoutcomes() == {"errors": 6}
        assert broken.ret == down.ret == 1

    def test_x_stops_at_the_first_failure_and_cancels_the_rest(self, pytester: pytest.Pytester) -> None:
        """What is on its way is not waited for."""
        result = pytester.runpytest("--kimiprobe", "--kimiprobe-source", "simulator:outage", THREE, "-x")
        assert result.parseoutcomes() == {"errors": 1}
        result.stdout.fnmatch_lines(["*incomplete*"])

    def test_durations_and_junit_show_the_providers_time(self, pytester: pytest.Pytester) -> None:
        """Not how long pytest waited for it."""
        result = pytester.runpytest(
            *HEALTHY, *DIRECT, THREE, "--durations=1", "--durations-min=0.001", "--junitxml=out.xml"
        )
        result.stdout.fnmatch_lines(["*s call * kimiprobe/core.yaml::*"])
        cases = list(ET.parse(pytester.path / "out.xml").iter("testcase"))
        properties = {one.get("name"): one.get("value") for one in cases[0].iter("property")}
        assert properties["kimiprobe_endpoint"] == "moonshot/kimi-k2.6"
        assert abs(float(properties["latency_ms"] or 0) / 1000 - float(cases[0].get("time") or 0)) < 0.05


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (
                ("--kimiprobe-endpoint", "nothing/*"),
                ["*no endpoint matches 'nothing/?'; available:*", "*moonshot/kimi-k2.6*"],
            ),
            (("--kimiprobe-suite", "huge"), ["*--kimiprobe-suite: 'huge' is none of smoke, core, full*"]),
            (("--kimiprobe-model", "kimi-k9"), ["*unknown model 'kimi-k9'; available: kimi-k2,*"]),
            (("--kimiprobe-budget", "0"), ["*--kimiprobe-budget: '0' is not an amount of USD above 0*"]),
            (("--kimiprobe-budget=-1",), ["*'-1' is not an amount*"]),
            (("--kimiprobe-repeat", "0"), ["*--kimiprobe-repeat: '0' is not a whole number*"]),
            (
                ("kimiprobe/nothing.yaml",),
                [
                    "*no packaged case file 'kimiprobe/nothing.yaml'; available: kimiprobe/choice.yaml, kimiprobe/core.yaml*"
                ],
            ),
            (
                ("kimiprobe/core.yaml::nothing",),
                ["*no case *nothing* in kimiprobe/core.yaml; available: weather, several-tools, json-in-text*"],
            ),
        ],
    )
    def test_what_does_not_exist_is_told_with_what_does(
        self, pytester: pytest.Pytester, arguments: tuple[str, ...], words: list[str]
    ) -> None:
        """Exit code 4, no traceback."""
        result = pytester.runpytest(*HEALTHY, *arguments)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(words)

    @pytest.mark.parametrize("source", ["cinema", "simulator:nothing", "replay:nothing.jsonl", "replay:", "live:x"])
    def test_an_unknown_source_is_a_usage_error(self, pytester: pytest.Pytester, source: str) -> None:
        """With the name of what was wrong."""
        result = pytester.runpytest("--kimiprobe", "--kimiprobe-source", source)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"*{source.partition(':')[2] or source}*"])

    def test_live_without_any_key_names_each_variable_and_offers_the_simulator(self, pytester: pytest.Pytester) -> None:
        """Six variables, exit code 4; no wall of skips."""
        result = pytester.runpytest("--kimiprobe")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        variables = ["OPENROUTER_API_KEY", "MOONSHOT_API_KEY", "GROQ_API_KEY", "TOGETHER_API_KEY"]
        result.stderr.fnmatch_lines(
            [
                "*--kimiprobe-source simulator*",
                *(f"*{name}*" for name in [*variables, "REPLICATE_API_TOKEN", "ANTHROPIC_API_KEY"]),
            ]
        )

    def test_options_come_from_command_line_then_environment_then_ini(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One precedence for all of them."""
        pytester.makeini(
            "[pytest]\naddopts = -p no:cacheprovider\nkimiprobe_source = simulator:healthy\nkimiprobe_suite = huge\n"
        )
        assert "ini setting kimiprobe_suite" in pytester.runpytest("--kimiprobe").stderr.str()
        monkeypatch.setenv("KIMIPROBE_SUITE", "larger")
        assert "KIMIPROBE_SUITE: 'larger'" in pytester.runpytest("--kimiprobe").stderr.str()
        result = pytester.runpytest("--kimiprobe", "--kimiprobe-suite=smoke", *DIRECT, THREE)
        assert result.ret == 0

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("prompt:", "promt:", ["*own.kimiprobe.yaml:5:*promt: unknown key; did you mean prompt?"]),
            ("expect: {calls: []}", "expect: {calls: [{name: other}]}", ["*own.kimiprobe.yaml:7:*'other'*"]),
            ("type: object", "type: objekt", ["*own.kimiprobe.yaml:6:*get_weather*"]),
            ("{calls: []}", '{text: {$matches: "("}}', ["*own.kimiprobe.yaml:7:*regular expression*"]),
            ("version: 1", "version: 1\nversion: 1", ["*own.kimiprobe.yaml:3:*version*"]),
        ],
    )
    def test_a_wrong_case_names_file_line_and_column(
        self, pytester: pytest.Pytester, old: str, new: str, words: list[str]
    ) -> None:
        """A collection error in a line, not a traceback."""
        pytester.makefile(".kimiprobe.yaml", own=OWN.replace(old, new))
        result = pytester.runpytest(*HEALTHY, "own.kimiprobe.yaml")
        assert result.ret == pytest.ExitCode.INTERRUPTED
        result.stdout.fnmatch_lines(words)
        result.stdout.no_fnmatch_line("*Traceback*")

    def test_a_module_of_the_users_named_routing_is_named(self, pytester: pytest.Pytester) -> None:
        """Not a traceback: the path of what is in the way."""
        pytester.makepyfile(routing="x = 1")
        result = pytester.run(sys.executable, "-m", "pytest", *HEALTHY)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*another package or file named `routing` is in the way: *routing.py*"])
        doctor = pytester.run(sys.executable, "-c", "from pytest_kimiprobe.monitor.cli import main; main()", "doctor")
        doctor.stderr.fnmatch_lines(["kimiprobe: another package or file named `routing`*routing.py*"])

    def test_endpoints_without_a_key_are_skipped_by_the_variables_name(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Others still run."""
        monkeypatch.setenv("MOONSHOT_API_KEY", "sk-test-key-never-sent")
        monkeypatch.setenv("KIMIPROBE_BASE_URL_MOONSHOT", "http://127.0.0.1:9")
        both = ("--kimiprobe-endpoint", "moonshot/*", "--kimiprobe-endpoint", "openrouter/moonshotai/kimi-k2.6")
        result = pytester.runpytest("--kimiprobe", "-rs", "-k", "weather", *both, THREE)
        assert result.parseoutcomes() == {"errors": 2, "skipped": 2, "deselected": 8}
        result.stdout.fnmatch_lines(["*OPENROUTER_API_KEY: not set*"])


class TestBudget:
    def test_what_would_cost_more_than_the_budget_is_not_run(self, pytester: pytest.Pytester) -> None:
        """Each probe holds what it may cost at most; the rest is reported as not run."""
        result = pytester.runpytest(*HEALTHY, THREE, "--kimiprobe-budget", "0.02", "--kimiprobe-json", "out.json")
        document = json.loads((pytester.path / "out.json").read_text("utf-8"))
        verdicts = [probe["verdict"] for probe in document["probes"]]
        assert verdicts.count("not_run") > 0
        assert float(document["spent_usd"]) <= 0.02
        result.stdout.fnmatch_lines(["*not run*budget*"])

    def test_simulated_money_has_no_limit_unless_one_is_given(self, pytester: pytest.Pytester) -> None:
        """A run of many repeats against true rates is not stopped by the default of live runs."""
        given = pytester.parseconfigure(*HEALTHY, "--kimiprobe-budget=0.02")
        assert given.stash[SESSION].scope.budget == Decimal("0.02")
        assert not pytester.parseconfigure(*HEALTHY).stash[SESSION].scope.budget.is_finite()

    def test_a_budget_below_any_probe_runs_nothing(self, pytester: pytest.Pytester) -> None:
        """And spends nothing."""
        result = pytester.runpytest(*HEALTHY, *DIRECT, THREE, "--kimiprobe-budget", "0.000001")
        result.assert_outcomes(skipped=6)


class TestCompare:
    A, B = "moonshot/kimi-k2.6", "openrouter/moonshotai/kimi-k2.6+deepinfra/fp4"

    def test_two_endpoints_are_probed_and_compared(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In the terminal, in Markdown and in JSON."""
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
        broken = ("--kimiprobe", "--kimiprobe-source", "simulator:broken", "--kimiprobe-json", "out.json")
        result = pytester.runpytest(*broken, "--kimiprobe-compare", self.A, self.B, "--kimiprobe-repeat", "3")
        result.stdout.fnmatch_lines(
            [
                f"pairs A {self.A}",
                f" * B {self.B}",
                "*of * pairs at the first try: * both right,*",
                "*McNemar's exact p *",
            ]
        )
        found = json.loads((pytester.path / "out.json").read_text("utf-8"))
        assert {row["endpoint"] for row in found["endpoints"]} == {self.A, self.B}
        row = found["comparison"]
        parts = ("both_right", "only_a_right", "only_b_right", "neither_right")
        assert sum(row[name] for name in parts) == row["pairs"]
        assert 0 <= row["mcnemar_p"] <= 1
        assert "McNemar's exact p" in (pytester.path / "summary.md").read_text("utf-8")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("moonshot/kimi-k2.6", "groq/nothing"), "*no endpoint matches 'groq/nothing'; available:*"),
            (("moonshot/kimi-k2.6", "moonshot/kimi-k2.6"), "*--kimiprobe-compare: two different endpoints are needed*"),
            (
                ("moonshot/kimi-k2.6", "moonshot/kimi-k3", "--kimiprobe-endpoint", "moonshot/kimi-k3"),
                "*--kimiprobe-compare: not among the endpoints of this run: moonshot/kimi-k2.6*",
            ),
        ],
    )
    def test_what_cannot_be_compared_is_a_usage_error(
        self, pytester: pytest.Pytester, arguments: tuple[str, ...], words: str
    ) -> None:
        """With the names that there are."""
        result = pytester.runpytest(*HEALTHY, "--kimiprobe-compare", *arguments)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([words])


class TestLoad:
    def test_a_probe_of_a_crowd_has_its_own_id(self, pytester: pytest.Pytester) -> None:
        """`both` sends each probe alone and in a crowd, and says how many were at once."""
        result = pytester.runpytest(
            *HEALTHY, *DIRECT, THREE, "--kimiprobe-load", "both", "--kimiprobe-json", "out.json", "-k", "weather"
        )
        result.assert_outcomes(passed=4, deselected=8)
        found = json.loads((pytester.path / "out.json").read_text("utf-8"))
        by_load = {probe["load"]: probe for probe in found["probes"]}
        assert by_load["crowd"]["id"].endswith("-1-crowd]")
        assert by_load["alone"]["at_once"] == 1
        (row,) = found["endpoints"]
        assert row["by_load"] == {"alone": [2, 2], "crowd": [2, 2]}

    def test_plain_and_stream_are_paired_under_the_same_load(self, pytester: pytest.Pytester) -> None:
        """A pair of a crowd has its own id, which runs its own halves and nobody else's."""
        pairs = "kimiprobe/stream.yaml::plain-and-stream-alike"
        result = pytester.runpytest(*HEALTHY, *DIRECT, pairs, "--kimiprobe-load", "both", "--kimiprobe-json=out.json")
        result.assert_outcomes(passed=6)
        probes = json.loads((pytester.path / "out.json").read_text("utf-8"))["probes"]
        assert {probe["load"] for probe in probes if probe["mode"] == "parity"} == {"alone", "crowd"}
        again = pytester.runpytest(*HEALTHY, f"{pairs}[moonshot/kimi-k2.6-parity-1-crowd]", "-v")
        again.assert_outcomes(passed=3)
        again.stdout.no_fnmatch_line("*-1]*PASSED*")

    def test_packaged_core_cases_meet_real_hosts_alone_and_in_a_crowd(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The rest of the full suite, the smoke suite and users' own cases are sent once."""
        monkeypatch.setenv("MOONSHOT_API_KEY", "of-no-use")
        own = pytester.makefile(".kimiprobe.yaml", own=OWN)
        looking = ("--kimiprobe", *DIRECT, "--collect-only", "-q")
        smoke = pytester.runpytest(*looking, "--kimiprobe-suite", "smoke").stdout
        smoke.no_fnmatch_line("*-crowd]")
        full = pytester.runpytest(*looking, "--kimiprobe-suite", "full", "kimiprobe/schemas.yaml", own).stdout
        full.fnmatch_lines(["*::enum-argument[[]*-plain-1-crowd]", "*::nested-objects[[]*-plain-1]"])
        full.no_fnmatch_line("*::nested-objects*-crowd]")
        full.no_fnmatch_line("*::capital*-crowd]")

    def test_an_unknown_load_is_a_usage_error(self, pytester: pytest.Pytester) -> None:
        """With those there are."""
        result = pytester.runpytest(*HEALTHY, "--kimiprobe-load", "heavy")
        result.stderr.fnmatch_lines(["*--kimiprobe-load: 'heavy' is none of mixed, alone, crowd, both*"])


class TestRefusals:
    def test_with_patience_a_refused_probe_is_sent_again_and_counted(self, pytester: pytest.Pytester) -> None:
        """HTTP 429 is availability: the verdict is the answer's, the refusals stand beside it."""
        pytester.makefile(".yaml", limited=LIMITED)
        limited = ("--kimiprobe", "--kimiprobe-source", "simulator:limited.yaml", *DIRECT, "--kimiprobe-json=out.json")
        result = pytester.runpytest(*limited, THREE, "--kimiprobe-patience", "30", "-k", "weather")
        result.assert_outcomes(passed=2, deselected=4)
        found = json.loads((pytester.path / "out.json").read_text("utf-8"))
        refusals = sum(probe["refusals"] for probe in found["probes"])
        assert refusals > 0
        assert found["endpoints"][0]["refusals"] == refusals
        result.stdout.fnmatch_lines(["note *moonshot refused *(HTTP 429)*"])

    def test_time_that_refusals_took_is_told_even_if_they_ended_as_errors(self, pytester: pytest.Pytester) -> None:
        """The causes say how many answers are missing, the note how often and how long the run waited."""
        pytester.makefile(".yaml", limited=LIMITED.replace("0.5", "1").replace("_s: 0", "_s: 1"))
        limited = ("--kimiprobe", "--kimiprobe-source", "simulator:limited.yaml", *DIRECT, THREE, "-k", "weather")
        result = pytester.runpytest(*limited, "--kimiprobe-patience", "1.5")
        result.stdout.fnmatch_lines(
            ["why *HTTP 429: moonshot", "note *moonshot refused * times (HTTP 429); waited 1 s*"]
        )

    def test_without_patience_a_refusal_is_the_verdict(self, pytester: pytest.Pytester) -> None:
        """As an error of the provider, never as a wrong answer."""
        pytester.makefile(".yaml", limited=LIMITED.replace("0.5", "1"))
        limited = ("--kimiprobe", "--kimiprobe-source", "simulator:limited.yaml", *DIRECT)
        result = pytester.runpytest(*limited, THREE, "--kimiprobe-patience", "0")
        assert result.parseoutcomes() == {"errors": 6}


def test_an_endpoint_that_vanished_is_retired(pytester: pytest.Pytester) -> None:
    """Between the catalogue and the probe the model went away: a status of its own, no quality verdict."""
    pytester.makefile(".yaml", gone="seed: 1\ndefault: retired\nendpoints: {}\n")
    result = pytester.runpytest(
        "--kimiprobe", "--kimiprobe-source", "simulator:gone.yaml", *DIRECT, THREE, "--kimiprobe-json=out.json"
    )
    assert result.parseoutcomes() == {"errors": 6}
    (row,) = json.loads((pytester.path / "out.json").read_text("utf-8"))["endpoints"]
    assert (row["status"], row["judged"], row["reasons"]) == ("retired", 0, {"model_retired": 4})


LIMITED = """
seed: 3
default: {persona: rate_limited, rate: 0.5, retry_after_s: 0}
endpoints: {}
"""


def test_xdist_is_put_aside_with_a_note(pytester: pytest.Pytester) -> None:
    """Budget and rate limits are one process's; requests run at once anyway."""
    result = pytester.runpytest_subprocess(*HEALTHY, *DIRECT, "-n", "2", "-v")
    result.stdout.fnmatch_lines(["kimiprobe: -n ignored, requests already run concurrently"])
    result.stdout.no_fnmatch_line("*workers*")
    assert result.ret == 0


class TestOutput:
    def test_cost_and_time_are_told_before_anything_is_spent(self, pytester: pytest.Pytester) -> None:
        """Then the table, the causes, the recommendation, the cost, how to rerun one failure."""
        result = pytester.runpytest("--kimiprobe", "--kimiprobe-source", "simulator:broken", THREE)
        result.stdout.fnmatch_lines(
            [
                "kimiprobe: 48 requests, about * s, about $*, at most $* (simulated)",
                "kimiprobe: simulated hosts, some of them broken on purpose",
                "core suite, kimi-k2.6, 8 endpoints, 48 requests in * s",
                "endpoint * answered * status",
                "why   4x *: openrouter+*",
                "use   no recommendation yet: 4 calls of moonshot/kimi-k2.6 were judged; a",
                "      recommendation needs 10",
                "cost  $*",
                "next  *kimiprobe rerun 1*",
            ]
        )

    def test_more_than_the_budget_is_told_before_anything_is_spent(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And still nothing beyond it is sent."""
        monkeypatch.setenv("MOONSHOT_API_KEY", "of-no-use")
        monkeypatch.setenv("KIMIPROBE_BASE_URL_MOONSHOT", "http://127.0.0.1:9")
        result = pytester.runpytest("--kimiprobe", *DIRECT, THREE, "--kimiprobe-budget", "0.000001")
        result.assert_outcomes(skipped=6)
        result.stdout.fnmatch_lines(
            ["kimiprobe: that is more than the budget of * allows: what does not fit is not run"]
        )

    def test_verbose_prints_exchanges_without_keys(self, pytester: pytest.Pytester) -> None:
        """As they happen."""
        result = pytester.runpytest(*HEALTHY, PROBE, "--kimiprobe-verbose")
        result.stdout.fnmatch_lines(["--- weather?moonshot*", '> {"model": "kimi-k2.6"*', "< HTTP 200: *get_weather*"])
        result.stdout.no_fnmatch_line("*simulated-moonshot-key*")

    def test_the_json_file_has_every_probe_and_endpoint(self, pytester: pytest.Pytester) -> None:
        """With the exact argument string and where the cost comes from."""
        pytester.runpytest(*HEALTHY, *DIRECT, THREE, "--kimiprobe-json", "out.json")
        document = json.loads((pytester.path / "out.json").read_text("utf-8"))
        assert (document["version"], document["source"], document["complete"]) == (1, "simulator", True)
        probe = next(one for one in document["probes"] if one["id"] == PROBE)
        assert probe["verdict"] == "pass"
        assert probe["tool_calls"][0]["arguments"] == '{"city": "Paris"}'
        assert (probe["case"], probe["mode"], probe["repeat"]) == ("weather", "plain", 1)
        assert probe["total_ms"] > 0
        assert probe["cost_origin"] == "catalog"
        (endpoint,) = document["endpoints"]
        assert (endpoint["requests"], endpoint["judged"], endpoint["passed"], endpoint["rescued"]) == (4, 4, 4, 0)
        assert endpoint["first_try"]["right"] == endpoint["passed"]
        assert endpoint["status"] == "works"

    def test_the_step_summary_is_markdown(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        """What a reviewer sees on the run's page."""
        path = pytester.path / "summary.md"
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
        pytester.runpytest(*HEALTHY, *DIRECT, THREE)
        text = path.read_text("utf-8")
        assert "| endpoint | answered |" in text
        assert "simulated" in text

    def test_a_summary_that_cannot_be_written_is_told_and_exits_with_3(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A monitor that cannot write is broken; its verdicts are shown all the same."""
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "no" / "such" / "folder.md"))
        result = pytester.runpytest(*HEALTHY, *DIRECT, THREE)
        assert result.ret == pytest.ExitCode.INTERNAL_ERROR
        result.stdout.fnmatch_lines(["moonshot*4/4*works", "*NOT WRITTEN:*", "*folder.md*"])

    def test_what_cannot_be_written_does_not_cost_the_rest(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each place is tried: with one disk full, the run still stands in the others."""
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
        (pytester.path / "out").mkdir()
        result = pytester.runpytest(*HEALTHY, *DIRECT, THREE, "--kimiprobe-json=out")
        assert result.ret == pytest.ExitCode.INTERNAL_ERROR
        result.stdout.fnmatch_lines(["*NOT WRITTEN: out: is no regular file*"])
        assert "NOT WRITTEN" in (pytester.path / "summary.md").read_text("utf-8")

    def test_a_simulated_run_is_never_recorded(self, pytester: pytest.Pytester) -> None:
        """And says so."""
        result = pytester.runpytest(*HEALTHY, *DIRECT, THREE, "--kimiprobe-results", "results")
        assert not (pytester.path / "results").exists()
        result.stdout.fnmatch_lines(["*not recorded in results: a simulator run is not evidence*"])

    def test_without_a_network_nothing_is_recorded_and_the_exit_code_is_3(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The monitor is broken, not the hosts."""

        def unreachable(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_AGAIN, "no name server")

        monkeypatch.setenv("MOONSHOT_API_KEY", "sk-test-key-never-sent")
        monkeypatch.setattr(socket, "getaddrinfo", unreachable)
        result = pytester.runpytest("--kimiprobe", *DIRECT, THREE, "--kimiprobe-results=results")
        assert result.ret == pytest.ExitCode.INTERNAL_ERROR
        assert not (pytester.path / "results").exists()
        result.stdout.fnmatch_lines(["*NOT MEASURED: no endpoint could be reached*"])

    def test_quiet_shows_no_table_only_with_qq(self, pytester: pytest.Pytester) -> None:
        """-q keeps table, recommendation and cost, -qq nothing but pytest's own."""
        pytester.runpytest(*HEALTHY, *DIRECT, THREE, "-q").stdout.fnmatch_lines(["*use *moonshot*"])
        pytester.runpytest(*HEALTHY, *DIRECT, THREE, "-qq").stdout.no_fnmatch_line("*use *")


class TestInterrupted:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_keeps_what_was_judged_and_exits_with_2(
        self, pytester: pytest.Pytester, number: signal.Signals
    ) -> None:
        """Marked as incomplete."""
        pytester.makefile(".yaml", slow=SLOW)
        command = [sys.executable, "-m", "pytest", "--kimiprobe", "--kimiprobe-source", "simulator:slow.yaml", "-v"]
        command += ["--kimiprobe-json", "out.json", "-k", "weather", THREE]
        with subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if "PASSED" in line:
                    process.send_signal(number)
                    break
            rest = process.stdout.read()
        assert process.returncode == pytest.ExitCode.INTERRUPTED, rest
        document = json.loads((pytester.path / "out.json").read_text("utf-8"))
        assert not document["complete"]
        assert [probe["verdict"] for probe in document["probes"]].count("pass") >= 1
        assert len(document["probes"]) < 14


SLOW = """
seed: 1
default: healthy
endpoints:
  "openrouter/*": {persona: slow, first_token_ms: 60000}
...
"""


@needs_data
class TestReplay:
    RECORDED = DATA / "recorded.jsonl"

    @pytest.fixture(scope="class")
    @classmethod
    def replayed(cls, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("replay")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--kimiprobe"]
        command += ["--kimiprobe-source", f"replay:{cls.RECORDED}", "--kimiprobe-json", "out.json"]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert run.returncode == 1, run.stdout[-2000:]
        assert "Traceback" not in run.stdout + run.stderr
        assert "INTERNALERROR" not in run.stdout
        document: dict[str, Any] = json.loads((folder / "out.json").read_text("utf-8"))
        return document

    def test_every_recorded_row_has_a_verdict(self, replayed: dict[str, Any]) -> None:
        """`case` is the row's id."""
        rows = [json.loads(line)["id"] for line in self.RECORDED.read_text("utf-8").splitlines()]
        assert sorted(probe["case"] for probe in replayed["probes"]) == sorted(rows)

    def test_real_answers_pass_and_recorded_errors_are_classed(self, replayed: dict[str, Any]) -> None:
        """Nothing that a working host said is called wrong; one Claude really named an argument that is not there."""
        by_verdict: dict[str, set[str]] = {}
        for probe in replayed["probes"]:
            by_verdict.setdefault(probe["verdict"], set()).add(probe["reason"])
        assert by_verdict.get("error") == {"rate_limited"}
        assert by_verdict.get("fail") == {"tool_use_failed", "arguments_break_schema"}

    def test_other_protocols_are_unsupported_by_name(self, replayed: dict[str, Any]) -> None:
        """They are told apart from answers that could not be read."""
        reasons = {probe["reason"] for probe in replayed["probes"] if probe["verdict"] == "unsupported"}
        assert reasons == {"other_protocol"}
        details = {probe["detail"] for probe in replayed["probes"] if probe["verdict"] == "unsupported"}
        assert any("responses" in detail for detail in details)

    def test_one_row_can_be_run_alone(self, pytester: pytest.Pytester) -> None:
        """Its id is pasted back."""
        row = "replay/recorded.jsonl::TestOpenRouterCommon/kimi/tool#0"
        result = pytester.runpytest("--kimiprobe", "--kimiprobe-source", f"replay:{self.RECORDED}", row, "-v")
        result.assert_outcomes(passed=1)


def test_a_cassette_is_replayed(pytester: pytest.Pytester) -> None:
    """vcrpy's format, written by hand here."""
    pytester.makefile(".yaml", tape=CASSETTE)
    result = pytester.runpytest("--kimiprobe", "--kimiprobe-source", "replay:tape.yaml", "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["replay/tape.yaml::tape#1 PASSED*", "*moonshot*1/1*works*"])


def test_a_recording_that_cannot_be_read_names_its_line(pytester: pytest.Pytester) -> None:
    """Half a line is not a traceback."""
    Path(pytester.path / "torn.jsonl").write_text('{"id": "a"', "utf-8")
    result = pytester.runpytest("--kimiprobe", "--kimiprobe-source", "replay:torn.jsonl")
    result.stdout.fnmatch_lines(["*torn.jsonl:1: *"])
    result.stdout.no_fnmatch_line("*Traceback*")


CASSETTE = """
interactions:
- request:
    body: '{"model": "kimi-k2.6", "messages": [{"role": "user", "content": "Weather in Paris?"}], "tools": [{"type":
      "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]}'
    headers: {content-type: [application/json]}
    method: POST
    uri: https://api.moonshot.ai/v1/chat/completions
  response:
    body:
      string: '{"choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"content": null, "tool_calls": [{"id":
        "functions.get_weather:0", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}]}}]}'
    headers: {Content-Type: [application/json]}
    status: {code: 200, message: OK}
version: 1
"""

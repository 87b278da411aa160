"""Cases in Python, hooks, and cases from schemas, as a pytest user meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from shared_data import DATA, needs_data

from pytest_kimiprobe.cases.decorator import ATTRIBUTE
from pytest_kimiprobe.cases.model import CaseError, declared, load

HEALTHY = ("--kimiprobe", "--kimiprobe-source", "simulator:healthy", "--kimiprobe-endpoint", "moonshot/*")
WEATHER = """
    import pytest
    from pytest_kimiprobe import SeenAnswer, case

    get_weather = {
        "name": "get_weather",
        "description": "Get the current weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }

    @case("What is the weather in Paris?", tools=[get_weather])
    def test_weather(answer):
        assert isinstance(answer, SeenAnswer)
        assert answer.tool_calls[0].name == "get_weather"
        assert answer.tool_calls[0].arguments == {"city": "Paris"}
        assert answer.usage.completion_tokens > 0
"""
WRONG = """
    @case("What is the weather in Paris?", tools=[get_weather])
    def test_rome(answer):
        assert answer.tool_calls[0].arguments == {"city": "Rome"}
"""


@pytest.fixture(autouse=True)
def _plain_ini(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider -p no:syrupy -p no:hypothesispytest\n")


class TestPythonCases:
    def test_a_parity_that_there_is_not_is_told_where_it_stands(self, pytester: pytest.Pytester) -> None:
        """By file and line, when the file is collected."""
        pytester.makepyfile(test_own=WEATHER.replace("tools=[get_weather])", 'tools=[get_weather], parity="all")'))
        result = pytester.runpytest(*HEALTHY, "test_own.py")
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(['*test_own.py:*parity: "all" is not one of "calls" or "arguments"*'])

    def test_a_function_judges_the_answer_of_each_endpoint_and_mode(self, pytester: pytest.Pytester) -> None:
        """Ids as of case files, and they can be pasted back."""
        pytester.makepyfile(test_own=WEATHER)
        result = pytester.runpytest(*HEALTHY, "test_own.py", "-v", "--kimiprobe-repeat", "2")
        result.assert_outcomes(passed=4)
        result.stdout.fnmatch_lines(
            ["test_own.py::test_weather?moonshot/kimi-k2.6-stream-2? PASSED*", "*moonshot*4/4*works"]
        )
        again = pytester.runpytest(*HEALTHY, "test_own.py::test_weather[moonshot/kimi-k2.6-plain-1]")
        again.assert_outcomes(passed=1)

    def test_plain_and_stream_are_held_against_each_other_where_the_case_says_so(
        self, pytester: pytest.Pytester
    ) -> None:
        """As an item of its own, which can be pasted back with both its halves."""
        pytester.makepyfile(
            test_own=WEATHER.replace("tools=[get_weather])", 'tools=[get_weather], parity="arguments")')
        )
        result = pytester.runpytest(*HEALTHY, "test_own.py", "-v", "--kimiprobe-repeat", "2")
        result.assert_outcomes(passed=6)
        pair = "test_own.py::test_weather[moonshot/kimi-k2.6-parity-1]"
        result.stdout.fnmatch_lines([f"{pair.replace('[', '?').replace(']', '?')} PASSED*", "*moonshot*4/4*works"])
        pytester.runpytest(*HEALTHY, pair).assert_outcomes(passed=3)

    def test_a_pair_of_unlike_answers_fails(self, pytester: pytest.Pytester) -> None:
        """Where the function turns down one of both, the pair is not alike."""
        decorator = '@case("What is the weather in Paris?", tools=[get_weather], parity="calls")'
        judged = '"-stream-" not in request.node.name'
        pytester.makepyfile(
            test_own=f"{WEATHER}\n    {decorator}\n    def test_one(answer, request):\n        assert {judged}\n"
        )
        result = pytester.runpytest(*HEALTHY, "test_own.py", "-k", "test_one", "--kimiprobe-json", "out.json")
        result.assert_outcomes(passed=1, failed=2, deselected=2)
        probes = json.loads((pytester.path / "out.json").read_text("utf-8"))["probes"]
        found = {one["mode"]: (one["verdict"], one["reason"]) for one in probes}
        assert found["parity"] == ("fail", "not_alike")

    def test_a_function_meets_its_endpoint_under_each_load(self, pytester: pytest.Pytester) -> None:
        """Alone and in a crowd are probes of their own, as of case files."""
        pytester.makepyfile(test_own=WEATHER)
        result = pytester.runpytest(*HEALTHY, "test_own.py", "-v", "--kimiprobe-load", "both")
        result.assert_outcomes(passed=4)
        result.stdout.fnmatch_lines(["test_own.py::test_weather?moonshot/kimi-k2.6-plain-1-crowd? PASSED*"])

    def test_a_wrong_answer_is_failed_with_pytests_own_diff(self, pytester: pytest.Pytester) -> None:
        """And recorded as the endpoint's."""
        pytester.makepyfile(test_own=WEATHER + WRONG)
        result = pytester.runpytest(*HEALTHY, "test_own.py", "--kimiprobe-json", "out.json", "--tb=auto")
        result.assert_outcomes(passed=2, failed=2)
        result.stdout.fnmatch_lines(["E *{'city': 'Paris'} == {'city': 'Rome'}*", "*moonshot*4/4*2*unknown"])
        probes = json.loads((pytester.path / "out.json").read_text("utf-8"))["probes"]
        assert {(one["case"], one["verdict"], one["reason"]) for one in probes} == {
            ("test_weather", "pass", "ok"),
            ("test_rome", "fail", "wrong_answer"),
        }

    def test_no_answer_is_an_error_and_one_that_may_not_be_delivered_is_failed(self, pytester: pytest.Pytester) -> None:
        """The function is not run for either."""
        pytester.makepyfile(test_own=WEATHER)
        down = pytester.runpytest("--kimiprobe", "--kimiprobe-source", "simulator:outage", *HEALTHY[3:], "test_own.py")
        down.assert_outcomes(errors=2)
        down.stdout.fnmatch_lines(["why   2x the provider says it is overloaded: moonshot"])
        pytester.makefile(".yaml", broken="seed: 1\ndefault: {persona: bad_arguments, how: schema}\n")
        source = ("--kimiprobe", "--kimiprobe-source", "simulator:broken.yaml")
        broken = pytester.runpytest(*source, *HEALTHY[3:], "test_own.py")
        broken.assert_outcomes(failed=2)
        broken.stdout.fnmatch_lines(["why   2x the arguments break the tool's JSON Schema: moonshot"])

    def test_a_rescued_answer_is_rescued(self, pytester: pytest.Pytester) -> None:
        """The function sees what may be delivered."""
        pytester.makepyfile(test_own=WEATHER)
        pytester.makefile(".yaml", leaks="seed: 1\ndefault: leaks_k2\n")
        result = pytester.runpytest(
            "--kimiprobe", "--kimiprobe-source", "simulator:leaks.yaml", *HEALTHY[3:], "test_own.py"
        )
        assert result.parseoutcomes() == {"rescued": 2}

    def test_without_the_option_it_is_skipped_by_name(self, pytester: pytest.Pytester) -> None:
        """Nothing is sent, other tests run."""
        pytester.makepyfile(test_own=WEATHER + "\n    def test_mine(): pass\n")
        result = pytester.runpytest("-rs")
        result.assert_outcomes(passed=1, skipped=1)
        result.stdout.fnmatch_lines(["SKIPPED*a kimiprobe case: it is sent with --kimiprobe only"])

    def test_fixtures_of_the_module_are_set_up_once(self, pytester: pytest.Pytester) -> None:
        """Functions run in the order in which they stand."""
        more = """
    made = []

    @pytest.fixture(scope="module")
    def once():
        made.append(1)

    @case("What is the weather in Paris?", tools=[get_weather])
    def test_more(answer, once):
        assert made == [1]
"""
        pytester.makepyfile(test_own=WEATHER + more)
        pytester.runpytest(*HEALTHY, "test_own.py", "--kimiprobe-repeat", "2").assert_outcomes(passed=8)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ("", "give a prompt or messages"),
            ("'Hi', suite='huge'", 'suite: "huge" is not one of "smoke", "core" or "full"'),
            ("promt='Hi'", "promt: unknown key; did you mean prompt"),
            ("5", "prompt: takes a text, not int"),
            ("lambda: 1", "prompt: takes a text, not function"),
            ("'Hi', name='other'", "name: the test function says this"),
            ("'Hi', temperature=float('nan')", "is not JSON"),
            ("'Hi', tools=[{'name': 'f', 'parameters': {'type': 'objekt'}}]", "not a JSON Schema"),
        ],
    )
    def test_what_cannot_be_asked_is_told_where_it_stands(
        self, pytester: pytest.Pytester, arguments: str, words: str
    ) -> None:
        """A collection error in a line."""
        pytester.makepyfile(
            test_own=f"from pytest_kimiprobe import case\n@case({arguments})\ndef test_a(answer): pass\n"
        )
        result = pytester.runpytest(*HEALTHY, "test_own.py")
        assert result.ret == pytest.ExitCode.INTERRUPTED
        result.stdout.fnmatch_lines([f"*test_own.py:2:1: *{words}*"])

    @pytest.mark.parametrize(
        ("python", "yaml"),
        [
            ("need=['telepathy']", "need: [telepathy]"),
            ("need='vision'", "need: vision"),
            ("temperature='hot'", "temperature: hot"),
            ("thinking='yes'", "thinking: 'yes'"),
            ("max_tokens=-5", "max_tokens: -5"),
            ("promt='Hi'", "promt: Hi"),
            ("stop=5", "stop: 5"),
            ("tool_choice='never'", "tool_choice: never"),
            ("tool_choice={'type': 'function', 'function': {'name': 'f'}}", "tool_choice: {function: {name: f}}"),
        ],
    )
    def test_the_decorator_refuses_what_a_file_refuses_in_the_same_words(
        self, tmp_path: Path, python: str, yaml: str
    ) -> None:
        """Both are checked as one row."""
        scope: dict[str, Any] = {}
        exec(f"from pytest_kimiprobe import case\n@case('Hi', {python})\ndef test_a(): pass", scope)
        with pytest.raises(CaseError) as refused:
            declared("test_a", getattr(scope["test_a"], ATTRIBUTE), "own.py", 2)
        file = tmp_path / "own.kimiprobe.yaml"
        file.write_text(f"version: 1\ncases:\n- {{name: a, prompt: Hi, expect: {{calls: []}}, {yaml}}}\n")
        with pytest.raises(CaseError) as read:
            load(file)
        words = str(read.value).removeprefix(f"{read.value.where}: ").removeprefix("cases.0.")
        assert str(refused.value) == f"own.py:2:1: {words}"

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ({"stop": 5}, "stop: 5 is not a text or a list of texts, none of them empty"),
            (
                {"tool_choice": "never"},
                'tool_choice: "never" is not auto, none, required, or an object that names a tool',
            ),
            ({"need": ["x"]}, 'need.0: "x" is not one of "vision", "thinking", "thinking_off" or "native_ids"'),
            ({"tools": [{"nmae": "f"}]}, "tools.0.nmae: unknown key; did you mean name"),
            ({"messages": [{"role": "king", "content": "Hi"}]}, 'messages.0.role: "king" is not one of "system", '),
        ],
    )
    def test_a_refused_value_comes_with_all_that_is_allowed(self, row: dict[str, Any], words: str) -> None:
        asked = row if "messages" in row else {"prompt": "Hi", **row}
        with pytest.raises(CaseError) as refused:
            declared("test_a", asked, "own.py", 2)
        assert str(refused.value).startswith(f"own.py:2:1: {words}")

    def test_it_is_evidence_only_if_it_says_so(self) -> None:
        assert not declared("test_a", {"prompt": "Hi"}, "own.py", 2).evidence
        assert declared("test_a", {"prompt": "Hi", "evidence": True}, "own.py", 2).evidence
        with pytest.raises(CaseError, match=r"own\.py:2:1: evidence: takes True or False, not str"):
            declared("test_a", {"prompt": "Hi", "evidence": "yes"}, "own.py", 2)

    def test_a_mistyped_option_gets_a_suggestion(self) -> None:
        with pytest.raises(CaseError, match="promt: unknown key; did you mean prompt\\?"):
            declared("test_a", {"prompt": "Hi", "promt": "Hi"}, "own.py", 2)

    def test_a_bare_decorator_is_an_error_with_its_place(self, pytester: pytest.Pytester) -> None:
        """Not pytest's complaint about a fixture."""
        pytester.makepyfile(test_own="from pytest_kimiprobe import case\n@case\ndef test_a(answer): pass\n")
        result = pytester.runpytest(*HEALTHY, "test_own.py")
        result.stdout.fnmatch_lines(["*test_own.py:2:1: give a prompt or messages, as in @case*"])

    def test_a_case_can_ask_for_everything_that_a_request_can(self) -> None:
        row = {"prompt": "Hi", "stop": ["."], "top_p": 0.5, "reasoning_effort": "low", "temperature": 0}
        asked = declared("test_a", row, "own.py", 2).request("plain")
        assert (asked.stop, asked.top_p, asked.reasoning_effort, asked.temperature) == (["."], 0.5, "low", 0)

    def test_importing_the_package_stays_light(self) -> None:
        """Neither pytest nor a schema library, nor YAML."""
        code = "import sys, pytest_kimiprobe\npytest_kimiprobe.case\nprint(*sys.modules)"
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        assert not {"pytest", "yaml", "jsonschema_rs", "httpx", "httpx2", "routing"} & set(loaded)


CONFTEST = """
    from pytest_kimiprobe import Case, Expectation
    from routing.catalog import Endpoint

    def pytest_kimiprobe_cases(config):
        asked = [{"role": "user", "content": "Say hello."}]
        return [Case("hello", asked, Expectation(calls=(), text={"$contains": "NEVER"}), suite="smoke"),
                Case("bye", asked, Expectation(calls=(), text={"$contains": "hello"}), suite="smoke")]

    def pytest_kimiprobe_judge(case, answer):
        if case.name == "hello":
            return "" if "hello" in answer.text.lower() else "no hello"
        return "not liked" if case.name == "weather" else None

    def pytest_kimiprobe_endpoints(config):
        able = frozenset({"tools", "stream"})
        return [Endpoint("moonshot/kimi-k3", "moonshot", "kimi-k3", None, "kimi-k2.6", able)]

    def pytest_kimiprobe_result(result):
        with open("told.txt", "a") as file:
            print(result.case, result.verdict, result.reason, file=file)
"""


class TestHooks:
    @pytest.fixture(autouse=True)
    def _own_paths(self, pytester: pytest.Pytester) -> None:
        """Without a path a conftest.py is loaded where `kimiprobe_paths` says so."""
        with (pytester.path / "tox.ini").open("a", encoding="utf-8") as ini:
            ini.write("\nkimiprobe_paths = .\n")

    def test_own_cases_judges_and_endpoints_take_part(self, pytester: pytest.Pytester) -> None:
        """And every verdict is told."""
        pytester.makeconftest(CONFTEST)
        names = ("kimiprobe/plugins", "kimiprobe/core.yaml::weather")
        result = pytester.runpytest(*HEALTHY, *names, "-v")
        result.assert_outcomes(passed=8, failed=4)
        result.stdout.fnmatch_lines(
            ["kimiprobe/plugins::hello?moonshot/kimi-k3-stream-1? PASSED*", "*wrong_answer: not liked*"]
        )
        told = (pytester.path / "told.txt").read_text("utf-8").splitlines()
        assert sorted(set(told)) == ["bye pass ok", "hello pass ok", "weather fail wrong_answer"]
        assert len(told) == 12

    def test_own_cases_run_where_no_path_is_given(self, pytester: pytest.Pytester) -> None:
        """Beside the packaged ones; their ids can be pasted back."""
        pytester.makeconftest(CONFTEST)
        pytester.runpytest(*HEALTHY, "-k", "bye", "--kimiprobe-suite", "smoke").assert_outcomes(passed=4, deselected=34)
        pytester.runpytest(*HEALTHY, "kimiprobe/plugins::bye[moonshot/kimi-k2.6-plain-1]").assert_outcomes(passed=1)

    def test_an_endpoint_of_an_unknown_provider_is_told(self, pytester: pytest.Pytester) -> None:
        """Before anything is sent."""
        pytester.makeconftest(CONFTEST.replace('"moonshot", "kimi-k3"', '"nobody", "kimi-k3"'))
        result = pytester.runpytest(*HEALTHY)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*unknown provider 'nobody'*"])

    def test_two_cases_of_one_name_are_told(self, pytester: pytest.Pytester) -> None:
        """Results are kept by name."""
        pytester.makeconftest(CONFTEST.replace('"bye"', '"hello"'))
        pytester.runpytest(*HEALTHY, "kimiprobe/plugins").stdout.fnmatch_lines(["*two cases are named 'hello'*"])


class TestSchemas:
    def test_a_folder_of_schemas_is_run_by_the_full_suite(self, pytester: pytest.Pytester) -> None:
        """One case a line; ids can be pasted back."""
        pytester.mkdir("schemas").joinpath("own.jsonl").write_text(
            '{"type": "object", "properties": {"n": {"type": "integer", "minimum": 5}}, "required": ["n"]}\n'
            '{"type": "object", "properties": {"a": {"pattern": "(?=x)"}}}\n'
        )
        own = ("--kimiprobe-schemas=schemas", "--kimiprobe-suite", "full")
        result = pytester.runpytest(*HEALTHY, *own, "schemas/own.jsonl", "-v", "-rs")
        result.assert_outcomes(passed=2, skipped=2)
        result.stdout.fnmatch_lines(["schemas/own.jsonl::line-1?moonshot*plain-1? PASSED*", "*look-around*"])
        again = pytester.runpytest(*HEALTHY, *own, "schemas/own.jsonl::line-1[moonshot/kimi-k2.6-stream-1]")
        again.assert_outcomes(passed=1)
        assert pytester.runpytest(*HEALTHY, *own, "-k", "line-1").parseoutcomes()["passed"] == 2

    def test_a_folder_that_is_not_there_is_a_usage_error(self, pytester: pytest.Pytester) -> None:
        """With its name."""
        result = pytester.runpytest(*HEALTHY, "--kimiprobe-schemas=nowhere")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*nowhere: no folder with .jsonl files*"])

    @needs_data
    def test_a_healthy_endpoint_satisfies_moonshots_schemas(self, pytester: pytest.Pytester) -> None:
        """Those that Moonshot accepts as a tool's parameters, plain and streamed."""
        own = (f"--kimiprobe-schemas={DATA / 'schemas'}", "--kimiprobe-suite", "full", "--kimiprobe-budget", "9")
        wandb = ("--kimiprobe", "--kimiprobe-source", "simulator:healthy", "--kimiprobe-endpoint", "*wandb*")
        result = pytester.runpytest(*wandb, *own, "-m", "kimiprobe", "-k", "line-", "--kimiprobe-json", "out.json")
        probes = json.loads((pytester.path / "out.json").read_text("utf-8"))["probes"]
        assert len(probes) == 424
        wrong = [(one["id"], one["reason"], one["detail"]) for one in probes if one["verdict"] in {"fail", "error"}]
        assert wrong == []
        assert result.parseoutcomes()["passed"] > 400

"""What other plugins and a user's conftest.py do to a run: each probe keeps its request, its verdict and its id."""

from __future__ import annotations

import json
from typing import Any

import pytest

HEALTHY = ("--kimiprobe", "--kimiprobe-source=simulator:healthy", "--kimiprobe-endpoint=moonshot/*")
PROBES = "kimiprobe/core.yaml::weather"
PAIR = "kimiprobe/stream.yaml::plain-and-stream-alike"
CASE = """
version: 1
cases:
  - {name: capital, prompt: What is the capital of France?, parity: calls, expect: {calls: []}}
...
"""
FUNCTION = """
import pytest
from pytest_kimiprobe import case

@case("What is the capital of France?", parity="calls")
def test_paired(answer):
    pass
"""
EVERY_SECOND = """
import collections

ANSWERS = collections.Counter()

def pytest_kimiprobe_judge(case, answer):
    ANSWERS[case.name] += 1
    return "" if ANSWERS[case.name] % 2 else "wrong this time"
"""


@pytest.fixture(autouse=True)
def _plain_ini(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = -p no:syrupy -p no:hypothesispytest\n")


def plugin_of(pytester: pytest.Pytester, source: str) -> str:
    """The option that loads a plugin; a conftest.py takes no part in runs of packaged cases."""
    pytester.makepyfile(hooks=source)
    pytester.syspathinsert()
    return "-phooks"


def probes_of(pytester: pytest.Pytester, *arguments: str) -> list[dict[str, Any]]:
    pytester.runpytest(*HEALTHY, "--kimiprobe-json=out.json", *arguments)
    probes: list[dict[str, Any]] = json.loads((pytester.path / "out.json").read_text("utf-8"))["probes"]
    return probes


@pytest.mark.parametrize("asked", [PAIR, "own"])
def test_a_failed_pair_is_judged_again_with_lf(pytester: pytest.Pytester, asked: str) -> None:
    """A packaged one, one of a case file and one of test functions: `--lf` brings both answers back."""
    own = pytester.mkdir("own")
    (own / "own.kimiprobe.yaml").write_text(CASE, "utf-8")
    (own / "test_own.py").write_text(FUNCTION, "utf-8")
    hooks = plugin_of(pytester, EVERY_SECOND)
    first = probes_of(pytester, hooks, asked)
    assert {one["reason"] for one in first if one["mode"] == "parity"} == {"not_alike"}
    again = probes_of(pytester, hooks, asked, "--lf")
    assert {one["id"] for one in again} == {one["id"] for one in first}
    assert {one["reason"] for one in again if one["mode"] == "parity"} == {"not_alike"}


RERUNNING = """
import pytest
from _pytest.runner import runtestprotocol

TOLD = []

@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    config.addinivalue_line("markers", "flaky(reruns): run again")

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    mark = item.get_closest_marker("flaky")
    for left in range(mark.kwargs["reruns"] if mark else 1, -1, -1):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        for report in reports:
            if left and report.failed:
                report.outcome = "rerun"
            item.ihook.pytest_runtest_logreport(report=report)
        if all(report.outcome != "rerun" for report in reports):
            return True
    return True

def pytest_report_teststatus(report):
    if report.outcome == "rerun":
        return "rerun", "R", "RERUN"

def pytest_kimiprobe_result(result):
    TOLD.append(result.id)

def pytest_sessionfinish():
    assert len(TOLD) == len(set(TOLD)) > 0
"""


def test_the_last_try_of_a_function_is_its_verdict(pytester: pytest.Pytester) -> None:
    """A plugin that runs failures again logs the others as `rerun`; each verdict is given once."""
    pytester.makeconftest(RERUNNING)
    tries = "TRIES = []\n" + FUNCTION.replace("pass", "TRIES.append(1)\n    assert len(TRIES) != 1, 'not yet'")
    pytester.makepyfile(test_own=tries)
    assert {one["verdict"] for one in probes_of(pytester, "test_own.py")} == {"pass"}


def test_probes_are_not_run_again(pytester: pytest.Pytester) -> None:
    """The answer that was judged would be judged again; a user's own test still is run again."""
    hooks = plugin_of(pytester, RERUNNING + "\ndef pytest_kimiprobe_judge(case, answer):\n    return 'wrong'\n")
    pytester.makepyfile(test_own="def test_own(): raise AssertionError")
    found = pytester.runpytest(*HEALTHY, hooks, PROBES, "test_own.py").parseoutcomes()
    assert found == {"failed": 3, "rerun": 1}


@pytest.mark.parametrize(
    ("body", "verdict", "error_class"),
    [
        ("def test_paired(answer):\n    pytest.skip('not today')", "pass", None),
        ("def test_paired(answer):\n    pytest.xfail('known')", "fail", "answer"),
        ("def test_paired(answer, broken):\n    pass", "error", "request"),
    ],
    ids=["skipped", "expected to fail", "a fixture raises"],
)
def test_each_answer_has_a_verdict_however_its_function_ends(
    pytester: pytest.Pytester, body: str, verdict: str, error_class: str | None
) -> None:
    """What was sent and paid is reported; an exception of a fixture is not the host's."""
    broken = "@pytest.fixture\ndef broken(): raise OSError('full')\n\n"
    source = FUNCTION.replace("def test_paired(answer):\n    pass", body).replace(', parity="calls"', "")
    pytester.makepyfile(test_own=source.replace("@case", f"{broken}@case"))
    found = [(one["verdict"], one["error_class"]) for one in probes_of(pytester, "test_own.py")]
    assert found == [(verdict, error_class)] * 2


def test_an_answer_whose_function_did_not_run_is_reported_as_not_run(pytester: pytest.Pytester) -> None:
    """It was paid, and `-x` ended the session first."""
    pytester.makepyfile(test_own=FUNCTION.replace("pass", "assert not answer").replace(', parity="calls"', ""))
    found = [(one["verdict"], one["reason"]) for one in probes_of(pytester, "test_own.py", "-x")]
    assert found == [("fail", "wrong_answer"), ("not_run", "interrupted")]


def test_a_judge_that_raises_is_not_the_hosts_fault(pytester: pytest.Pytester) -> None:
    """An exception that this machine raised has class `request`."""
    hooks = plugin_of(pytester, "def pytest_kimiprobe_judge(case, answer):\n    raise KeyError('x')\n")
    found = [(one["reason"], one["error_class"]) for one in probes_of(pytester, hooks, PROBES)]
    assert found == [("local_failure", "request")] * 2


def test_no_thread_of_the_run_is_there_while_a_function_runs(pytester: pytest.Pytester) -> None:
    """As in a test of the user: threads would disturb forks and counts of threads."""
    pytester.makepyfile(
        test_own=f"import threading\n{FUNCTION}".replace("pass", "assert threading.active_count() == 1")
    )
    pytester.runpytest_subprocess(*HEALTHY, "test_own.py").assert_outcomes(passed=3)


def test_a_clock_that_is_frozen_delays_no_answer(pytester: pytest.Pytester) -> None:
    """By a conftest.py for the whole session, as freezegun does; measured times are the real ones."""
    pytester.makeconftest(
        """
        import time

        def pytest_runtest_setup():
            time.monotonic = time.perf_counter = time.time = lambda: 1.7e9
        """
    )
    pytester.makepyfile(test_own="def test_own(): pass")
    found = pytester.runpytest_subprocess(
        *HEALTHY, PROBES, "test_own.py", "--kimiprobe-json=out.json", "--kimiprobe-timeout=30"
    )
    found.assert_outcomes(passed=3)
    probes = json.loads((pytester.path / "out.json").read_text("utf-8"))["probes"]
    assert all(0 < one["total_ms"] < 30_000 for one in probes)


def test_sockets_that_raise_end_the_run_before_it_sends(pytester: pytest.Pytester) -> None:
    """In one sentence, and with no verdict on any host."""
    pytester.makeconftest(
        """
        import socket

        def refused(*args, **kwargs):
            raise RuntimeError("a test tried to use the network")

        def pytest_runtest_setup():
            socket.socketpair = refused
        """
    )
    pytester.makepyfile(test_own="def test_own(): pass")
    found = pytester.runpytest_subprocess(*HEALTHY, PROBES, "test_own.py", "-W", "ignore", "--kimiprobe-json=out.json")
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(["ERROR: no request can be sent: RuntimeError: a test tried to use the network;*"])
    assert not (pytester.path / "out.json").exists()


def test_a_connection_that_a_user_refuses_is_not_the_hosts_fault_and_costs_nothing(pytester: pytest.Pytester) -> None:
    """A plugin that blocks the network raises what no host can cause; nothing was sent."""
    pytester.makeconftest(
        """
        import socket

        class Guarded(socket.socket):
            def connect(self, address):
                raise RuntimeError("a test tried to connect")

        def pytest_runtest_setup():
            socket.socket = Guarded
        """
    )
    pytester.makepyfile(test_own="def test_own(): pass")
    found = pytester.runpytest_subprocess(*HEALTHY, PROBES, "test_own.py", "--kimiprobe-json=out.json")
    assert found.ret == pytest.ExitCode.INTERNAL_ERROR
    report = json.loads((pytester.path / "out.json").read_text("utf-8"))
    found_classes = [(one["reason"], one["error_class"], float(one["cost_usd"])) for one in report["probes"]]
    assert found_classes == [("local_failure", "request", 0.0)] * 2
    found.stdout.fnmatch_lines(["cost  $0.00*", "*NOT MEASURED: no endpoint could be reached*"])


def test_reporting_plugins_can_tell_probes_apart(pytester: pytest.Pytester) -> None:
    """Parameters as of any parametrized test, and a path of packaged cases that leads to no installation."""
    hooks = plugin_of(
        pytester,
        """
        def pytest_runtest_logreport(report):
            if report.when == "call":
                print(report.location[0])

        def pytest_runtest_call(item):
            print(sorted(map(str, item.callspec.params.values())))
        """,
    )
    found = pytester.runpytest(*HEALTHY, hooks, PROBES, "-s", "-v")
    for mode in ("plain", "stream"):
        found.stdout.fnmatch_lines([f"*'1', 'mixed', 'moonshot/kimi-k2.6', '{mode}'*", "*kimiprobe/core.yaml*"])
    found.stdout.no_fnmatch_line("*packaged*")


def test_another_reporter_has_no_second_progress_line(pytester: pytest.Pytester) -> None:
    """It draws its own, and would be overwritten."""
    pytester.makeconftest(
        """
        import pytest
        from pytest_kimiprobe.pytest_items import runner

        class Reporter(pytest.TerminalReporter):
            pass

        @pytest.hookimpl(trylast=True)
        def pytest_configure(config):
            former = config.pluginmanager.getplugin("terminalreporter")
            config.pluginmanager.unregister(former)
            config.pluginmanager.register(Reporter(config), "terminalreporter")
            real = runner.Progress.of
            runner.Progress.of = lambda reporter: print("progress of", reporter) or real(reporter)
        """
    )
    pytester.makepyfile(test_own="def test_own(): pass")
    found = pytester.runpytest_subprocess(*HEALTHY, PROBES, "test_own.py", "-s")
    found.stdout.fnmatch_lines(["*progress of None"])


@pytest.mark.parametrize("option", ["--fixtures-per-test", "--setup-plan", "--collect-only"])
def test_a_look_at_the_items_announces_no_requests(pytester: pytest.Pytester, option: str) -> None:
    """It sends none."""
    pytester.runpytest(*HEALTHY, PROBES, option).stdout.no_fnmatch_line("*requests, about*")

"""A user's own tests end before the first request, in whatever order plugins put them."""

from __future__ import annotations

import pytest

HEALTHY = ("--kimiprobe", "--kimiprobe-source=simulator:healthy", "--kimiprobe-endpoint=moonshot/*")
PROBES = "kimiprobe/core.yaml::weather"
MIXED_UP = """
import pytest

@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    items.reverse()
"""
OWN_TESTS = """
import gc, logging, socket, threading, time
import pytest

@pytest.fixture(scope="session")
def no_network():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", None)
        patch.setattr(socket, "getaddrinfo", None)
        patch.setattr(time, "monotonic", lambda: 0.0)
        yield

def test_first(no_network, caplog):
    caplog.set_level(logging.DEBUG)
    time.sleep(0.05)
    assert not caplog.records

def test_second(no_network):
    assert threading.active_count() == 1
    assert gc.get_freeze_count() == 0
"""
PAIRED = """
from pytest_kimiprobe import case

@case("What is the capital of France?", parity="calls")
def test_paired(answer):
    assert answer.text
"""


@pytest.fixture(autouse=True)
def _plain_ini(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider -p no:syrupy -p no:hypothesispytest\n")


def test_what_own_tests_replace_meets_no_request(pytester: pytest.Pytester) -> None:
    """Sockets, name look-ups and clocks of a whole session; no thread, log record or frozen object is the plugin's."""
    pytester.makeconftest(MIXED_UP)
    pytester.makepyfile(test_own=OWN_TESTS)
    found = pytester.runpytest_subprocess(*HEALTHY, PROBES, "test_own.py", "-v")
    found.assert_outcomes(passed=4)
    found.stdout.fnmatch_lines(["test_own.py::*", "test_own.py::*", f"{PROBES}*", f"{PROBES}*"])


def test_pairs_of_functions_are_judged_last(pytester: pytest.Pytester) -> None:
    """Both functions have spoken by then, in whatever order they were put."""
    pytester.makeconftest(MIXED_UP)
    pytester.makepyfile(test_paired=PAIRED)
    pytester.runpytest(*HEALTHY, "test_paired.py").assert_outcomes(passed=3)


def test_after_a_failed_test_nothing_is_sent_with_x(pytester: pytest.Pytester) -> None:
    """What is not asked for any more costs nothing."""
    pytester.makepyfile(test_own="def test_own(): raise AssertionError")
    found = pytester.runpytest(*HEALTHY, PROBES, "test_own.py", "-x")
    found.assert_outcomes(failed=1)
    found.stdout.no_fnmatch_line("*requests in*")


def test_the_fixture_is_there_with_the_option_only(pytester: pytest.Pytester) -> None:
    """Its name is a common one."""
    pytester.makepyfile("def test_mine(answer): pass")
    pytester.runpytest().stdout.fnmatch_lines(["*fixture 'answer' not found*"])


AGAIN = """
import pytest
from _pytest.runner import runtestprotocol

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    for _ in range(2):
        item._initrequest()
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    return True
"""


def test_what_runs_again_has_its_answer_and_its_reason_again(pytester: pytest.Pytester) -> None:
    """Plugins that rerun failures meet the same verdict, of functions and of packaged cases."""
    pytester.makeconftest(AGAIN)
    pytester.makepyfile(test_paired=PAIRED.replace("answer.text", "answer.text == 'x', 'not as I like it'"))
    found = pytester.runpytest(*HEALTHY, PROBES, "test_paired.py", "-k", "plain", "-rA")
    found.assert_outcomes(passed=1, failed=1)
    found.stdout.fnmatch_lines(["E *AssertionError: not as I like it"])

"""Python's garbage collector while answers are timed."""

from __future__ import annotations

import json

import pytest

CONFTEST = """
    import gc, json
    seen = []
    def pytest_kimiprobe_result(result):
        seen.append(gc.get_freeze_count())
    def pytest_unconfigure(config):
        with open("seen.json", "w") as out:
            json.dump([seen, gc.get_freeze_count()], out)
"""


def test_it_leaves_alone_what_was_there_before_and_is_let_go_again(pytester: pytest.Pytester) -> None:
    """A full collection would stop the loop in the middle of a run; other tests' garbage is theirs afterwards."""
    pytester.makeconftest(CONFTEST)
    probe = "kimiprobe/core.yaml::weather[moonshot/kimi-k2.6-plain-1]"
    done = pytester.runpytest_subprocess("--kimiprobe", "--kimiprobe-source", "simulator:healthy", probe)
    done.assert_outcomes(passed=1)
    during, after = json.loads((pytester.path / "seen.json").read_text("utf-8"))
    assert min(during) > 10_000
    assert after == 0

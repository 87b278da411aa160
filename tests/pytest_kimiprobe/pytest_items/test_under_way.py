"""While probes are served their requests go on, whatever the main thread is doing and wherever pytest was started."""

from __future__ import annotations

import json

import pytest

SMOKE = ("--kimiprobe", "--kimiprobe-source", "simulator:healthy", "--kimiprobe-suite", "smoke")
DIRECT = ("--kimiprobe-endpoint", "moonshot/*", "--kimiprobe-json", "out.json")


@pytest.fixture(autouse=True)
def _plain_ini(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        "[pytest]\naddopts = -p no:cacheprovider -p no:syrupy -p no:hypothesispytest\nkimiprobe_paths = .\n"
    )


def test_no_request_waits_for_a_slow_hook(pytester: pytest.Pytester) -> None:
    """A hook that takes longer than any deadline costs nobody an answer."""
    pytester.makeconftest(
        """
        import time

        slept = []

        def pytest_runtest_logreport(report):
            if report.when == "call" and not slept:
                slept.append(report)
                time.sleep(1.5)
        """
    )
    found = pytester.runpytest_subprocess(*SMOKE, *DIRECT, "--kimiprobe-repeat", "4", "--kimiprobe-timeout", "1")
    assert found.ret == 0
    probes = json.loads((pytester.path / "out.json").read_text("utf-8"))["probes"]
    assert {probe["error_class"] for probe in probes} == {None}
    assert max(probe["total_ms"] for probe in probes if probe["total_ms"]) < 1000


def test_pytest_may_be_started_below_a_running_loop(pytester: pytest.Pytester) -> None:
    """As from a notebook."""
    script = pytester.makepyfile(
        start=f"""
        import asyncio, sys
        import pytest

        async def main():
            return pytest.main({[*SMOKE, *DIRECT]!r})

        sys.exit(asyncio.run(main()))
        """
    )
    found = pytester.runpython(script)
    assert found.ret == 0
    found.stdout.fnmatch_lines(["*kimi-k2.6*", "* passed*"])


def test_pytest_may_lack_its_debugger(pytester: pytest.Pytester) -> None:
    """`-p no:debugging` takes its options away too."""
    assert pytester.runpytest_subprocess(*SMOKE, *DIRECT, "-p", "no:debugging").ret == 0

"""Recording modules are imported only by runs that record or replay."""

from __future__ import annotations

import pytest

SMOKE = ("--kimiprobe", "--kimiprobe-source", "simulator:healthy", "--kimiprobe-suite", "smoke")
LOADED = """
import sys

def pytest_unconfigure():
    print("recording modules:", sum(name.startswith("pytest_kimiprobe.recording.") for name in sys.modules))
"""


@pytest.mark.parametrize(("option", "loaded"), [((), False), (("--kimiprobe-record", "recorded"), True)])
def test_a_run_that_does_not_record_imports_no_recording_module(
    pytester: pytest.Pytester, option: tuple[str, ...], loaded: bool
) -> None:
    """They parse YAML and look for keys, which costs time and memory."""
    pytester.makepyfile(loaded_modules=LOADED)
    found = pytester.runpytest_subprocess("-p", "loaded_modules", *SMOKE, "--kimiprobe-endpoint", "moonshot/*", *option)
    assert found.ret == 0
    (line,) = [line for line in found.outlines if line.startswith("recording modules:")]
    assert (line != "recording modules: 0") == loaded

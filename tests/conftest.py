"""Fixtures that several test folders share."""

from __future__ import annotations

import os
import signal

import hypothesis
import pytest
import yaml

import pytest_kimiprobe.pytest_items.runner
import pytest_kimiprobe.simulator

# Examples of each property; tests/run.sh names the profile. No deadline: it would measure how busy the machine is.
for _profile, _examples in (("quick", 50), ("long", 400), ("nightly", 4000)):
    hypothesis.settings.register_profile(_profile, deadline=None, max_examples=_examples)
hypothesis.settings.load_profile("quick")

# A shell starts background jobs with Ctrl-C ignored, and nohup ignores SIGHUP. Children inherit both; tests send them.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _handler)

# Loaded once: pytester forgets modules after each inner run, and C extensions cannot be loaded twice.
LOADED = (pytest_kimiprobe.pytest_items.runner, pytest_kimiprobe.simulator, yaml)
_OURS = ("KIMIPROBE_", "OPENROUTER_", "MOONSHOT_", "GROQ_", "TOGETHER_", "REPLICATE_", "ANTHROPIC_", "GITHUB_")
_OUTER = "PYTEST_XDIST_"
"""What the outer pytest sets for its workers; an inner pytest must not see it."""
_LIGHT = "-p no:hypothesispytest -p no:syrupy -p no:anyio"
"""An inner pytest starts in half the time without the plugins of our tests."""


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees a key, base URL or setting of the machine or of the pytest it runs in."""
    for name in list(os.environ):
        if name.startswith((*_OURS, _OUTER)):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTEST_ADDOPTS", _LIGHT)

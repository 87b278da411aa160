"""Fixtures that several test folders share."""

from __future__ import annotations

import os

import hypothesis
import pytest

import pytest_kimiprobe.pytest_items.runner
import pytest_kimiprobe.simulator

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Loaded once: pytester forgets modules after each inner run, and C extensions cannot be loaded twice.
LOADED = (pytest_kimiprobe.pytest_items.runner, pytest_kimiprobe.simulator)
_OURS = ("KIMIPROBE_", "OPENROUTER_", "MOONSHOT_", "GROQ_", "TOGETHER_", "REPLICATE_", "ANTHROPIC_", "GITHUB_")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees a key, base URL or setting of the machine it runs on."""
    for name in list(os.environ):
        if name.startswith(_OURS):
            monkeypatch.delenv(name)

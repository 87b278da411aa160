"""Hooks for plugins and conftest.py files: additional cases, judges and endpoints (docs/hooks.md)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from routing.catalog import Endpoint

    from .cases.model import Case
    from .judging.judge import SeenAnswer
    from .verdicts import ProbeResult


@pytest.hookspec
def pytest_kimiprobe_cases(config: pytest.Config) -> Iterable[Case] | None:
    """Cases in addition to the packaged ones; they run as `kimiprobe/plugins::NAME` if no path is given."""


@pytest.hookspec(firstresult=True)
def pytest_kimiprobe_judge(case: Case, answer: SeenAnswer) -> str | None:
    """Judge a deliverable answer: return why it is wrong, "" if it is right, or None to leave it to the next judge.

    The case's expectation is checked last. The hook is not called for an answer that may not be delivered.
    """


@pytest.hookspec
def pytest_kimiprobe_endpoints(config: pytest.Config) -> Iterable[Endpoint] | None:
    """Endpoints to add to the catalogue, of providers that it knows. An endpoint replaces one of the same id."""


@pytest.hookspec
def pytest_kimiprobe_result(result: ProbeResult) -> None:
    """Receive each result as soon as it is final."""

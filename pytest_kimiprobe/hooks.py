"""Hooks for plugins and conftest.py files: own cases, judges and endpoints (docs/hooks.md)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from routing.catalog import Endpoint

    from .cases.model import Case
    from .judging.answers import SeenAnswer
    from .verdicts import ProbeResult


@pytest.hookspec
def pytest_kimiprobe_cases(config: pytest.Config) -> Iterable[Case] | None:
    """Cases beside the packaged ones; they run as `kimiprobe/plugins::NAME` where no path is given."""


@pytest.hookspec(firstresult=True)
def pytest_kimiprobe_judge(case: Case, answer: SeenAnswer) -> str | None:
    """The word on a deliverable answer: why it is wrong, or "" where it is right; None leaves it to the next judge.

    The case's own expectation is asked last. Nobody is asked of an answer that may not be delivered at all.
    """


@pytest.hookspec
def pytest_kimiprobe_endpoints(config: pytest.Config) -> Iterable[Endpoint] | None:
    """Endpoints beside the catalogue's, of providers that the catalogue knows; one of the same id takes its place."""


@pytest.hookspec
def pytest_kimiprobe_result(result: ProbeResult) -> None:
    """Called with each verdict as soon as it is there."""

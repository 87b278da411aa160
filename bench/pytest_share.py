"""A pytest plugin for latency.py: the CPU that pytest's own running and reporting of items takes."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path

import pytest

FILE = "pytest_share.txt"
_spent: list[float] = []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    began = time.thread_time()
    try:
        return (yield)
    finally:
        _spent.append(time.thread_time() - began)


def pytest_unconfigure() -> None:
    Path(FILE).write_text(str(sum(_spent)), "utf-8")

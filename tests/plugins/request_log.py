"""pytest plugin that writes down each request that the embedded simulator received."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from pytest_kimiprobe.simulator import Simulator


class RequestLog:
    """Simulators that were started in the run, and with them their requests."""

    def __init__(self) -> None:
        self.simulators: list[Simulator] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_unconfigure(self) -> Generator[None]:
        yield
        received = [request for simulator in self.simulators for request in simulator.requests]
        rows = [json.dumps([request.method, request.path, request.body], sort_keys=True) for request in received]
        Path(os.environ["REQUEST_LOG"]).write_text("".join(f"{row}\n" for row in rows), "utf-8")


def pytest_configure(config: pytest.Config) -> None:
    log = RequestLog()
    enter = Simulator.__enter__

    def entered(simulator: Simulator) -> Simulator:
        log.simulators.append(simulator)
        return enter(simulator)

    pytest.MonkeyPatch().setattr(Simulator, "__enter__", entered)
    config.pluginmanager.register(log)

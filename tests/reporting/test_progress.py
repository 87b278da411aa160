"""The line for people at a terminal."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_kimiprobe.reporting.progress import Progress, words

SLOW = "seed: 1\ndefault: {persona: slow, first_token_ms: 700}\nendpoints: {}\n"


def test_it_says_whom_we_wait_for_how_long_and_for_how_much() -> None:
    """The most awaited first."""
    told = words({"moonshot": 2, "openrouter": 4}, 18.2, Decimal("0.2104"))
    assert told == "waiting for 6: openrouter 4, moonshot 2 · 18 s · $0.210"


@pytest.mark.parametrize(
    ("environment", "tty"),
    [
        ({"TERM": "xterm", "CI": "true"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True),
        ({"TERM": "dumb"}, True),
        ({}, True),
        ({"TERM": "xterm"}, False),
    ],
)
def test_nobody_else_gets_it(environment: dict[str, str], tty: bool) -> None:
    """CI, NO_COLOR, dumb terminals, pipes."""
    reporter = SimpleNamespace(isatty=tty, _tw=None)
    progress = Progress.of(reporter, environment)
    progress.show({"moonshot": 1}, Decimal(0))
    progress.clear()
    assert progress.output is None


@pytest.mark.parametrize(("column", "after"), [(0, "\r\x1b[K"), (12, "\r\x1b[K\x1b[A\x1b[12C")])
def test_what_pytest_wrote_stays(column: int, after: str) -> None:
    """Drawn below a line that has begun, and taken away again."""
    out = io.StringIO()
    progress = Progress(out, SimpleNamespace(width_of_current_line=column, fullwidth=80))
    progress.show({"moonshot": 1}, Decimal(0))
    drawn = out.getvalue()
    assert drawn.startswith("\nwaiting" if column else "waiting")
    progress.clear()
    assert out.getvalue() == drawn + after
    progress.clear()
    assert out.getvalue() == drawn + after


@pytest.mark.parametrize(("variables", "shown"), [({}, True), ({"CI": "true"}, False)])
def test_at_a_real_terminal(tmp_path: Path, variables: dict[str, str], shown: bool) -> None:
    """A pseudo-terminal sees it, unless it is CI's."""
    (tmp_path / "slow.yaml").write_text(SLOW)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--kimiprobe", "-k", "weather"]
    command += ["--kimiprobe-source", "simulator:slow.yaml", "--kimiprobe-endpoint", "moonshot/*"]
    ours, theirs = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in {"CI", "NO_COLOR"}}
    environment = {**kept, "TERM": "xterm", **variables}
    with subprocess.Popen(command, cwd=tmp_path, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            seen += chunk
    os.close(ours)
    assert process.returncode == 0, seen
    assert (b"waiting for" in seen) is shown
    assert b"moonshot 2" in seen if shown else b"\x1b[A" not in seen

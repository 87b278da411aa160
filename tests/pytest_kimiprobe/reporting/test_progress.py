"""The progress of a run: one line that is redrawn at a terminal, else a line now and then."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from _pytest._io import TerminalWriter

from pytest_kimiprobe.reporting.progress import Progress, bar_of, progress_text

SLOW = "seed: 1\ndefault: {persona: slow, first_token_ms: 700}\nendpoints: {}\n"


def reporter(*, tty: bool, verbosity: int = 0, encoding: str = "utf-8") -> Any:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    return SimpleNamespace(isatty=tty, verbosity=verbosity, _tw=TerminalWriter(file))


def written(progress: Progress) -> str:
    file = progress.writer._file
    file.flush()
    return str(file.buffer.getvalue().decode(file.encoding))


def test_it_says_how_far_how_long_and_for_how_much() -> None:
    """The provider that is most waited for goes first."""
    told = progress_text(424, {"moonshot": 24, "openrouter": 88}, 2.2, Decimal("0.2412"), width=80, bar="###-")
    assert told == "probing  312/424  ###-  2 s left  $0.241  waiting: openrouter 88, moonshot 24"


@pytest.mark.parametrize(
    ("width", "told"),
    [
        (64, "probing  0/112  $0.00  waiting: openrouter 88, moonshot 24"),
        (57, "probing  0/112  $0.00  waiting: openrouter 88, .."),
        (40, "probing  0/112  $0.00"),
        (12, "probing  0.."),
    ],
)
def test_a_provider_is_left_out_whole_if_the_line_is_too_long(width: int, told: str) -> None:
    """A number is never cut: it would be a wrong one."""
    assert progress_text(112, {"openrouter": 88, "moonshot": 24}, None, Decimal(0), width=width) == told


def test_time_left_is_that_of_the_slowest_provider() -> None:
    """Each at its own rate; nothing is claimed before each has answered."""
    progress = Progress()
    progress._first = {"a": 100, "b": 10}
    assert progress._left_s({"a": 50, "b": 9}, 10.0) == pytest.approx(90.0)
    assert progress._left_s({"a": 50, "b": 10}, 10.0) is None


@pytest.mark.parametrize(("encoding", "full"), [("utf-8", "█"), ("ascii", "#"), ("latin-1", "#"), ("no-such", "#")])
def test_the_bar_has_only_characters_that_the_stream_can_show(encoding: str, full: str) -> None:
    """A terminal of another encoding gets ASCII."""
    assert bar_of(0.5, encoding)[:9] == full * 8 + bar_of(0.0, encoding)[0]


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
def test_without_a_terminal_there_is_a_line_every_thirty_seconds(environment: dict[str, str], tty: bool) -> None:
    """In CI, under NO_COLOR, at dumb terminals, in pipes; nothing is redrawn."""
    now = iter([0.0, 10.0, 31.0, 40.0, 62.0])
    progress = Progress.of(reporter(tty=tty), environment)
    progress.clock = lambda: next(now)
    for count in (4, 3, 2, 2, 1):
        progress.show({"moonshot": count}, Decimal(0))
        progress.clear()
    assert written(progress).splitlines() == [
        "kimiprobe: probing  2/4  31 s left  $0.00  waiting: moonshot 2",
        "kimiprobe: probing  3/4  21 s left  $0.00  waiting: moonshot 1",
    ]


@pytest.mark.parametrize("verbosity", [-1, 1])
def test_with_items_listed_or_less_output_asked_for_there_is_none(verbosity: int) -> None:
    """The items are the progress; quiet is quiet."""
    assert Progress.of(reporter(tty=True, verbosity=verbosity), {"TERM": "xterm"}).writer is None
    assert Progress.of(None, {}).writer is None


def test_the_line_is_redrawn_and_taken_away() -> None:
    """Not more often than people read."""
    now = iter([0.0, 0.1, 0.3, 0.4])
    progress = Progress.of(reporter(tty=True, encoding="ascii"), {"TERM": "xterm"})
    progress.clock = lambda: next(now)
    for count in (4, 3, 2, 1):
        progress.show({"moonshot": count}, Decimal(0))
    drawn = written(progress)
    assert drawn == "\r\x1b[Kprobing  2/4  ########--------  0 s left  $0.00  waiting: moonshot 2"
    progress.clear()
    progress.clear()
    assert written(progress) == drawn + "\r\x1b[K"


@pytest.mark.parametrize(("variables", "shown"), [({}, True), ({"CI": "true"}, False)])
def test_at_a_real_terminal(tmp_path: Path, variables: dict[str, str], shown: bool) -> None:
    """A pseudo-terminal sees it, unless it is CI's; no file names and dots at either."""
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
    assert (b"probing  0/2" in seen) is shown
    assert b"core.yaml" not in seen
    assert b"use   " in seen

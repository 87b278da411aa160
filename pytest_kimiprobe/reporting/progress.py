"""Progress of a run while requests are in flight: one redrawn line at a terminal, elsewhere a line every 30 seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ..tables import WIDTH, end_cut
from .endpoint_table import money

_REDRAWN_S = 0.2
_LINE_S = 30.0
_BAR = 16
_HEAD = "kimiprobe: "
_TOLD = 20
"""The remaining time is shown once each provider has answered at least one in this many of its probes."""


def progress_text(
    total: int, waiting: Mapping[str, int], left_s: float | None, usd: Decimal, *, width: int, bar: str = ""
) -> str:
    """`probing  312/424  ########----  2 s left  $0.241  waiting: openrouter 88, moonshot 24`.

    Providers that do not fit `width` are left out, the least awaited first; `..` says so.
    """
    done = total - sum(waiting.values())
    most = sorted((row for row in waiting.items() if row[1]), key=lambda row: (-row[1], row[0]))
    parts = [f"probing  {done}/{total}", bar, "" if left_s is None else f"{left_s:.0f} s left", f"${money(usd)}"]
    head, entries = "  ".join(filter(None, parts)), [f"{name} {count}" for name, count in most]
    for shown in range(len(entries), 0, -1):
        more = ", .." if shown < len(entries) else ""
        text = f"{head}  waiting: {', '.join(entries[:shown])}{more}"
        if len(text) <= width:
            return text
    return end_cut(head, width)


def bar_of(share: float, encoding: str) -> str:
    """A bar of fixed width, in characters that the stream can show."""
    try:
        "█░".encode(encoding)
        full, empty = "█", "░"
    except (UnicodeEncodeError, LookupError):
        full, empty = "#", "-"
    count = int(share * _BAR)
    return full * count + empty * (_BAR - count)


@dataclass(slots=True)
class Progress:
    """Shows the progress of a run. `writer` is pytest's terminal writer; with None nothing is shown.

    `redraws` is true at a terminal: the line is overwritten. Elsewhere a line is added every 30 seconds.
    """

    writer: Any = None
    redraws: bool = False
    clock: Callable[[], float] = time.monotonic
    _began: float | None = None
    _told: float = 0.0
    _drawn: bool = False
    _first: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, reporter: Any, environment: Mapping[str, str] | None = None) -> Progress:
        """Progress for pytest's terminal reporter. Nothing is shown if that is None, quiet or lists items."""
        environment = os.environ if environment is None else environment
        if reporter is None or reporter.verbosity != 0:
            return cls()
        plain = environment.get("CI") or environment.get("NO_COLOR") or environment.get("TERM", "dumb") == "dumb"
        return cls(reporter._tw, bool(reporter.isatty and not plain))  # noqa: SLF001 - pytest has no other way to it

    def show(self, waiting: Mapping[str, int], usd: Decimal) -> None:
        """Show the number of outstanding answers by provider, but not more often than people can read."""
        now = self.clock()
        if self._began is None:
            self._began = self._told = now
            self._first = dict(waiting)
        if self.writer is None or not sum(waiting.values()):
            return
        if now - self._told < (_REDRAWN_S if self.redraws else _LINE_S):
            return
        self._told = now
        self._write(self._text(waiting, now - self._began, usd))

    def clear(self) -> None:
        """Remove the redrawn line."""
        if self._drawn:
            self.writer.write("\r\x1b[K", flush=True)
            self._drawn = False

    def _text(self, waiting: Mapping[str, int], elapsed_s: float, usd: Decimal) -> str:
        total = sum(self._first.values())
        bar = bar_of(1 - sum(waiting.values()) / total, self._encoding()) if self.redraws else ""
        width = self.writer.fullwidth - 1 if self.redraws else WIDTH - len(_HEAD)
        return progress_text(total, waiting, self._left_s(waiting, elapsed_s), usd, width=width, bar=bar)

    def _write(self, text: str) -> None:
        if self.redraws:
            self.writer.write(f"\r\x1b[K{text}", flush=True)
            self._drawn = True
        else:
            self.writer.line(_HEAD + text)

    def _left_s(self, waiting: Mapping[str, int], elapsed_s: float) -> float | None:
        """Seconds until the slowest provider is done at its rate so far; None while there are too few answers."""
        done = {name: self._first[name] - count for name, count in waiting.items()}
        if any(done[name] * _TOLD < self._first[name] for name, count in waiting.items() if count):
            return None
        return max(count * elapsed_s / done[name] for name, count in waiting.items() if count)

    def _encoding(self) -> str:
        return getattr(self.writer._file, "encoding", None) or "ascii"  # noqa: SLF001 - as above

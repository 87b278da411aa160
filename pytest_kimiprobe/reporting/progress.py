"""The line that tells a person at a terminal what is still waited for; nobody else gets it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from .summary import money

_EVERY_S = 0.2


class Output(Protocol):
    """A text stream."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


def words(waiting: Mapping[str, int], seconds: float, usd: Decimal) -> str:
    """`waiting for 6: openrouter 4, moonshot 2 · 18 s · $0.21`."""
    left = sorted((row for row in waiting.items() if row[1]), key=lambda row: (-row[1], row[0]))
    each = ", ".join(f"{name} {count}" for name, count in left)
    return f"waiting for {sum(waiting.values())}: {each} · {seconds:.0f} s · ${money(usd)}"


@dataclass(slots=True)
class Progress:
    """Draws below pytest's own line and takes it away again. Without `output` it does nothing.

    `column` tells how far pytest has written in its line, `width` is the terminal's.
    """

    output: Output | None
    writer: Any = None
    _began: float = 0.0
    _drawn: float = 0.0
    _column: int | None = None

    @classmethod
    def of(cls, reporter: Any, environment: Mapping[str, str] | None = None) -> Progress:
        """For pytest's terminal: silent in CI, in a pipe, under NO_COLOR and on terminals that cannot rewrite a line."""
        environment = os.environ if environment is None else environment
        quiet = environment.get("CI") or environment.get("NO_COLOR") or environment.get("TERM", "dumb") == "dumb"
        if quiet or reporter is None or not reporter.isatty:
            return cls(None)
        return cls(reporter._tw._file, reporter._tw)  # noqa: SLF001 - pytest offers no other way to its stream

    def show(self, waiting: Mapping[str, int], usd: Decimal) -> None:
        """Draw anew, not more often than people read."""
        now = time.monotonic()
        self._began = self._began or now
        if self.output is None or not sum(waiting.values()) or now - self._drawn < _EVERY_S:
            return
        self.clear()
        self._drawn, self._column = now, self.writer.width_of_current_line
        text = words(waiting, now - self._began, usd)[: self.writer.fullwidth - 1]
        self.output.write(f"\n{text}" if self._column else text)
        self.output.flush()

    def clear(self) -> None:
        """Take the line away; pytest goes on where it was."""
        if self.output is None or self._column is None:
            return
        back = f"\x1b[A\x1b[{self._column}C" if self._column else ""
        self.output.write(f"\r\x1b[K{back}")
        self._column = None

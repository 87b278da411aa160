"""Tables and folded text for terminals: every command draws with this module, at most 80 columns wide. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

WIDTH = 80
EMPTY = frozenset({"", "-", "."})
"""Cells without information. A column that has only such cells is not shown."""
_SHORTEST = 12
_BETWEEN = ".."


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. Numbers are aligned to the right.

    `shorten` says where cells are cut if the table is too wide: `middle` for names, `end` for sentences.
    """

    title: str
    right: bool = False
    shorten: Literal["", "middle", "end"] = ""


def shown(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> tuple[list[Column], list[list[str]]]:
    """The columns that have a cell with content, and their cells."""
    places = [place for place in range(len(columns)) if any(row[place] not in EMPTY for row in rows) or not rows]
    return [columns[place] for place in places], [[row[place] for place in places] for row in rows]


def rendered(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    """A heading line and one line a row, without trailing spaces, at most 80 columns wide."""
    kept, cells = shown(columns, rows)
    table = [[column.title for column in kept], *cells]
    widths = [max(len(row[place]) for row in table) for place in range(len(kept))]
    gap = "  " if sum(widths) + 2 * len(widths) - 2 <= WIDTH else " "
    _narrow(widths, kept, sum(widths) + len(gap) * (len(widths) - 1) - WIDTH)
    return [gap.join(map(_cell, row, widths, kept)).rstrip() for row in table]


def _narrow(widths: list[int], columns: Sequence[Column], excess: int) -> None:
    """Take the excess from the columns that may be shortened, always from the widest."""
    giving = [place for place, column in enumerate(columns) if column.shorten]
    for _ in range(excess):
        widest = max(giving, key=widths.__getitem__, default=None)
        if widest is not None and widths[widest] > _SHORTEST:
            widths[widest] -= 1


def middle_cut(text: str, width: int) -> str:
    """Shorten a text to `width` characters by cutting its middle, because similar names differ at their ends."""
    if len(text) <= width:
        return text
    head = (width - len(_BETWEEN)) // 2
    return f"{text[:head]}{_BETWEEN}{text[len(text) - (width - head - len(_BETWEEN)) :]}"


def end_cut(text: str, width: int) -> str:
    """Shorten a text to `width` characters by cutting its end."""
    return text if len(text) <= width else f"{text[: width - len(_BETWEEN)]}{_BETWEEN}"


def folded(head: str, text: str, indent: int) -> list[str]:
    """`head` and the text beside it, folded at spaces; names too long for a line stay whole."""
    wrapped = textwrap.wrap(text, WIDTH - indent, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{head if not place else '':<{indent}}{line}".rstrip() for place, line in enumerate(wrapped)]


def _cell(cell: str, width: int, column: Column) -> str:
    text = middle_cut(cell, width) if column.shorten == "middle" else end_cut(cell, width) if column.shorten else cell
    return text.rjust(width) if column.right else text.ljust(width)

"""Aligned columns: the one way tables are drawn, in pytest's report and on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; numbers stand at the right."""

    title: str
    right: bool = False


def rendered(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, gap: str = "  ") -> list[str]:
    """A heading line and one line a row, without trailing spaces."""
    table = [[column.title for column in columns], *rows]
    widths = [max(len(row[place]) for row in table) for place in range(len(columns))]
    return [gap.join(map(_padded, row, widths, columns)).rstrip() for row in table]


def _padded(cell: str, width: int, column: Column) -> str:
    return cell.rjust(width) if column.right else cell.ljust(width)

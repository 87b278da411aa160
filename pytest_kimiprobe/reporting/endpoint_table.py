"""The table of endpoints that a run, its Markdown page and `kimiprobe status` show. Pure.

`answered`: answers that could be judged, of requests. `right`: right at the first try. `rescued`: right after rescue.
Anything else that was judged is wrong. The table counts the calls that the status rests on (`stats.aggregates.basis`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from routing.evidence.model import Counts, EndpointEvidence
from routing.types import Status

from ..safe_text import one_line
from ..tables import Column

COLUMNS = (
    Column("endpoint", shorten="middle"),
    Column("answered", right=True),
    Column("right", right=True),
    Column("rescued", right=True),
    Column("p50", right=True),
    Column("p95", right=True),
    Column("$/1k", right=True),
    Column("status"),
)
_STATUS = {"needs_rescue": "rescue"}


def cells(label: str, row: EndpointEvidence, status: Status, *, doubtful: bool) -> tuple[str, ...]:
    """The cells of one endpoint; `doubtful` times are those of a probing machine that was too busy."""
    mark = "?" if doubtful else ""
    return (
        one_line(label, 200),
        answered_text(row.counts),
        str(row.counts.passed or "."),
        str(row.counts.rescued or "."),
        seconds(row.p50_ms) + mark,
        seconds(row.p95_ms) + mark,
        money(row.cost_per_1k_usd),
        _STATUS.get(status, status),
    )


def answered_text(counts: Counts) -> str:
    """`13/54`: answers that could be judged, of requests."""
    return f"{counts.judged}/{counts.requests}" if counts.requests else "-"


def labels_of(endpoints: Sequence[str]) -> dict[str, str]:
    """Short names that fit a table: the model id is left out if the name stays unique (`openrouter+novita/fp8`)."""
    short = {name: _short(name) for name in endpoints}
    taken = Counter(short.values())
    return {name: label if taken[label] == 1 else name for name, label in short.items()}


def money(amount: Decimal | None) -> str:
    """USD, with fewer decimals for larger amounts."""
    if amount is None:
        return "-"
    digits = 2 if amount >= 1 or not amount else 3 if amount >= Decimal("0.01") else 5
    return f"{amount:.{digits}f}"


def seconds(milliseconds: float | None) -> str:
    """`1.9s`, `350ms`, or `-`."""
    if milliseconds is None:
        return "-"
    return f"{milliseconds / 1000:.1f}s" if milliseconds >= 1000 else f"{milliseconds:.0f}ms"


def _short(endpoint: str) -> str:
    head, _, upstream = endpoint.partition("+")
    provider = head.partition("/")[0]
    return f"{provider}+{upstream}" if upstream else provider

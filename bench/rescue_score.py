"""What rescue makes of the frozen corpora: attacks executed by kind, honest calls delivered by dialect.

    python bench/rescue_score.py [--all]

Without `--all`, kinds of which no row is executed are summed up in one line. `by wording`: nothing but a sentence, or
what the user asked for in words, speaks against the call.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
RECORDED = TESTS.parents[1] / "shared" / "data" / "recorded.jsonl"


def attacks(*, show_all: bool) -> Iterator[tuple[str, ...]]:
    """A row for each kind of attack."""
    from attack_corpus import compose
    from rescue_corpora import BY_WORDING, through_stream

    rows: Counter[str] = Counter()
    executed: Counter[str] = Counter()
    for row in compose():
        rows[row.kind] += 1
        executed[row.kind] += bool(through_stream(row)[1].tool_calls)
    for kind, count in rows.items():
        if executed[kind] or show_all:
            wording = kind in BY_WORDING or kind.startswith("wording_")
            yield kind, str(count), str(executed[kind]), "by wording" if wording else ""
    silent = [kind for kind in rows if not executed[kind]]
    yield f"{len(silent)} other kinds", str(sum(rows[kind] for kind in silent)), "0", ""


def honest() -> Iterator[tuple[str, ...]]:
    """A row for each dialect of honest calls, and one for the recorded answers."""
    from honest_corpus import honest_rows
    from rescue_corpora import is_right, leaked_recordings, through_stream

    rows: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for row in [*honest_rows(), *(leaked_recordings(RECORDED) if RECORDED.exists() else ())]:
        name = "recorded" if row.kind == "recorded" else row.dialect
        found = through_stream(row)[1]
        rows[name] += 1
        right[name] += is_right(row, found.tool_calls, found.text)
    for name, count in rows.items():
        yield name, str(count), str(right[name]), f"{100 * right[name] / count:.1f} %"


def table(head: Sequence[str], rows: Iterator[tuple[str, ...]]) -> None:
    """A Markdown table."""
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="a row for every kind of attack")
    given = parser.parse_args()
    sys.path.insert(0, str(TESTS / "support"))
    table(["attack", "rows", "executed", "why"], attacks(show_all=given.all))
    table(["honest", "rows", "delivered", "share"], honest())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Print the sum of JUnit files on one line: `N passed, N failed, N skipped`."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence


def main(paths: Sequence[str]) -> None:
    """Print the sum. An error in a fixture counts as a failure."""
    counts: Counter[str] = Counter()
    for suite in (suite for path in paths for suite in ET.parse(path).iter("testsuite")):  # noqa: S314 - pytest's own
        counts.update({name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")})
    failed = counts["failures"] + counts["errors"]
    print(f"{counts['tests'] - failed - counts['skipped']} passed, {failed} failed, {counts['skipped']} skipped")


if __name__ == "__main__":
    main(sys.argv[1:])

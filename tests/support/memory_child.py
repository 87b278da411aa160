"""Asks each server once in a process of its own and prints how much memory that took at most, as JSON.

python memory_child.py GOOD_URL NAME=URL ...
"""

from __future__ import annotations

import gc
import json
import resource
import sys
from pathlib import Path

from asking import TOOL, Asker

from routing.verify import check

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def peak_mb() -> float:
    """The most memory this process has had since `forget`; since its start where the system cannot forget."""
    if _STATUS.exists():
        rows = dict(line.split(":", 1) for line in _STATUS.read_text("utf-8").splitlines() if ":" in line)
        return int(rows["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forget() -> None:
    """Let the peak be what is used now (proc(5), clear_refs)."""
    gc.collect()
    if _CLEAR.exists():
        _CLEAR.write_text("5")


def main(good: str, hostile: list[str]) -> None:
    asker = Asker()
    warm = asker.ask(good).answer
    assert warm is not None
    check(warm, [TOOL])
    rows: dict[str, tuple[float, str]] = {}
    for pair in hostile:
        name, _, url = pair.partition("=")
        forget()
        before = peak_mb()
        done = asker.ask(url, timeout_s=25.0, stream=name.startswith("stream"))
        outcome = done.error.reason if done.error else "answered"
        if done.answer is not None:
            check(done.answer, [TOOL])
        rows[name] = (round(peak_mb() - before, 1), outcome)
    asker.close()
    json.dump(rows, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

"""Throws generated and mutated messages at rescue for as long as asked: `python tests/fuzz/fuzz_rescue.py --seconds 600`.

Every message is read whole and in random chunks. Reported, with the seed that makes it again: an exception, another
end in chunks, text that was given and is not there at the end, a call that was not offered or breaks its schema, two
calls with one id, a read slower than 200 ms a megabyte beyond a fixed 0.25 s. Exit code 1 if anything was.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
CASES = [TESTS.parents[1] / "shared" / "data" / f"rescue_cases{part}.json" for part in ("", "_2")]
THOUGHT_END = re.compile(r"</\w+ *>|<\|close\|>\s*think|\u25c1/think", re.IGNORECASE)
"""Without its begin, it shows that text which was given is a thought."""
FIXED_S = 0.25
PER_BYTE_S = 0.2e-6 * 10
"""Ten times the goal of docs: the machine may be busy."""


def seeds() -> list[tuple[str, list[dict[str, Any]]]]:
    """Texts of the published cases with their tools; none where the data is absent."""
    cases = [case for path in CASES if path.exists() for case in json.loads(path.read_text("utf-8"))["cases"]]
    return [(case.get("content") or case.get("reasoning_content") or "", case["tools"]) for case in cases]


def mutated(rng: random.Random, text: str) -> str:
    """A few characters deleted, doubled, swapped or replaced; a stretch repeated."""
    for _ in range(rng.randint(1, 4)):
        at, to = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
        piece = text[at:to]
        kind = rng.randint(0, 4)
        text = [
            text[:at] + text[to:],
            text[:at] + piece * rng.randint(1, 3) + text[to:],
            text[:at] + rng.choice("{}[]\"'`<>|\\\n :,é😀") + text[at:],
            text[:at] + piece[::-1] + text[to:],
            text[to:] + text[:at],
        ][kind][:20_000]
    return text


def problem(rng: random.Random, text: str, tools: list[dict[str, Any]], *, timed: bool) -> str:
    """What is wrong with the way rescue reads this text; empty where nothing is."""
    from rescue_fragments import chunks

    from routing.parsing.strict_json import loads
    from routing.rescue import RescueStream, rescue
    from routing.schema import ToolSet

    finish = rng.choice([None, "stop", "length", "tool_calls"])
    user = rng.choice([None, None, "Show me an example of a tool call.", text[:50]])
    spent = FIXED_S * 2
    for _ in range(3):  # the machine may have looked away once
        if spent > FIXED_S:
            begin = time.perf_counter()
            whole = rescue(text, tools, finish_reason=finish, last_user=user)
            spent = time.perf_counter() - begin
    stream = RescueStream(tools, user)
    given = "".join(map(stream.feed, chunks(rng, text)))
    end = stream.finish(finish)
    toolset = ToolSet.of(tools)
    wrong = [call.name for call in whole.tool_calls if toolset.errors(call.name, call.arguments)]
    checks = {
        "another end in chunks": end != whole,
        "given text is gone": not whole.text.startswith(given) and not THOUGHT_END.search(text),
        f"call not offered or invalid: {wrong}": bool(wrong),
        "raw is not the arguments": any(loads(call.raw) != call.arguments for call in whole.tool_calls),
        "two calls share an id": len({call.id for call in whole.tool_calls}) < len(whole.tool_calls),
        "outcome and calls disagree": (whole.outcome == "rescued") != bool(whole.tool_calls),
        f"slow: {spent:.3f} s for {len(text)} characters": timed
        and spent > FIXED_S + PER_BYTE_S * len(text.encode("utf-8", "replace")),
    }
    return "; ".join(name for name, failed in checks.items() if failed)


def one(seed: int, corpus: list[tuple[str, list[dict[str, Any]]]], *, timed: bool) -> tuple[str, str]:
    """The message of a seed, and what is wrong with it."""
    from rescue_fragments import TOOLS, message

    rng = random.Random(seed)
    text, tools = message(rng), rng.choice([TOOLS, TOOLS, TOOLS[:1], []])
    if corpus and rng.random() < 0.4:
        text, tools = rng.choice(corpus)
    if rng.random() < 0.6:
        text = mutated(rng, text)
    try:
        return text, problem(rng, text, tools, timed=timed)
    except Exception as error:  # noqa: BLE001 - whatever comes is the finding
        return text, f"{type(error).__name__}: {error}"


def run(first: int, *, seconds: float = 60.0, count: int | None = None) -> tuple[int, list[str]]:
    """Seeds from `first` on until the time or the count is used up; how many were read and what was found.

    With a count, as in a test, time is no finding: the machine may be busy.
    """
    if str(TESTS / "support") not in sys.path:
        sys.path.insert(0, str(TESTS / "support"))
    corpus, until, seed = seeds(), time.monotonic() + seconds, first
    found: list[str] = []
    while time.monotonic() < until and (count is None or seed < first + count) and len(found) < 20:
        text, wrong = one(seed, corpus, timed=count is None)
        if wrong:
            found.append(f"seed {seed}: {wrong}: {text[:2000]!r}")
        seed += 1
    return seed - first, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    read, found = run(arguments.seed, seconds=arguments.seconds)
    print(*found, f"{read} messages from seed {arguments.seed} on, {len(found)} findings", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

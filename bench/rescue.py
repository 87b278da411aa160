"""Rescue on hostile answers, next to json-repair and the plain regular expression of Moonshot's guide.

    python bench/rescue.py [--cap SECONDS] [--runs N] [--only NAME]

Each reader gets each flood in a process of its own, which is ended after `--cap` seconds: a quadratic reader prints
`> 8 s` instead of hanging the table. Times are CPU times in milliseconds, the import paid before: the median of the
runs, with the fastest and the slowest in brackets. `growth` is the exponent that fits our fastest times from 25,000 to
400,000 characters best: 1 is linear, 0 stops reading, 2 would be quadratic. Only time is compared: json-repair reads
JSON, not answers, and refuses nothing.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import re
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

SIZES = (1_000, 100_000, 1_000_000)
GROWTH = (25_000, 50_000, 100_000, 200_000, 400_000)
GOALS = {100_000: 50.0, 1_000_000: 500.0}
"""Milliseconds that an answer of so many characters may cost."""
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
ARGUMENTS = "<|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>"
PROSE = "the quick brown fox jumps over a lazy dog and " * 9
CALL = re.compile(
    r"<\|tool_call_begin\|>\s*(?P<id>[\w\.]+:\d+)\s*<\|tool_call_argument_begin\|>\s*(?P<arguments>.*?)\s*<\|tool_call_end\|>",
    re.DOTALL,
)
SECTION = re.compile(r"<\|tool_calls_section_begin\|>(.*?)<\|tool_calls_section_end\|>", re.DOTALL)


def repeated(unit: str, before: str = "") -> Callable[[int], str]:
    return lambda size: (before + unit * (size // len(unit) + 1))[:size]


FLOODS: dict[str, Callable[[int], str]] = {
    "prose": repeated("The quick brown fox jumps over the lazy dog. "),
    "{{{{": repeated("{"),
    "[[[[": repeated("["),
    "a { b": repeated("a { b "),
    "////": repeated("/"),
    "spaces": repeated(" "),
    "line ends": repeated("\n"),
    "open string": repeated("x", '{"name": "'),
    "escaped quotes": repeated('\\"', f'{ARGUMENTS}{{"city": "'),
    "spaces in arguments": repeated(" ", f"{ARGUMENTS}{{"),
    "calls without end": repeated(f'{ARGUMENTS}{{"city": "Paris"}}'),
    "strings without end": repeated(f'{ARGUMENTS}{{"city": "Par<|tool_call_end|>'),
    "section begins": repeated("<|tool_calls_section_begin|>"),
    "call begins": repeated("<|tool_call_begin|>"),
    "half markers": repeated("<|tool_call"),
    "K3 opens": repeated("<|open|>"),
    "K3 calls without end": repeated('<|open|>call tool="get_weather" index="1"<|sep|>'),
    "K3 arguments": repeated('<|open|>argument key="city"<|sep|>x', '<|open|>call tool="get_weather"<|sep|>'),
    "tags": repeated("<tool_call>"),
    "function tags": repeated("<function=get_weather>{"),
    "envelopes": repeated('{"name": "get_weather", "arguments": {"city": "x"}}\n'),
    "open envelopes": repeated('\n{"arguments":'),
    "parentheses": repeated("(", "get_weather("),
    "fences": repeated("```\n"),
    "backticks and markers": repeated("` <|sep|>"),
    "nested functions": repeated("<function=get_weather>{\n"),
    "invokes": repeated('<invoke name="get_weather">'),
    "keys on lines": repeated('\n{"name": '),
    "brackets in JSON": repeated("[[]],", '{"arguments": ['),
    "bare ids": repeated("functions.get_weather:0{"),
    "lines before marks": repeated("so:" + "\n" * 200 + '"}<|tool_call_end|>'),
    "examples with marks": repeated("for example, it would <|sep|> "),
    "sentences and calls": repeated(PROSE[:380] + f"{ARGUMENTS}{{}}<|tool_call_end|>"),
    "short sentences and calls": repeated(PROSE[:90] + f"{ARGUMENTS}{{}}<|tool_call_end|>"),
    "sentences and tags": repeated(PROSE[:380] + "\n<tool_call>x"),
    "sentences and JSON": repeated(PROSE[:380] + '\n{"name": "get_weather", "arguments": {}}\n'),
    "open parameter": repeated("<b>", '<invoke name="get_weather"><parameter name="city">'),
    "valid, one call": lambda size: f'{ARGUMENTS}{{"city": "{"x" * size}"}}<|tool_call_end|>',
}


def ours(text: str) -> object:
    from routing.rescue import rescue

    return rescue(text, TOOLS)


def ours_in_chunks(text: str) -> object:
    """The same, streamed in tokens of four characters."""
    from routing.rescue import RescueStream

    stream = RescueStream(TOOLS)
    for at in range(0, len(text), 4):
        stream.feed(text[at : at + 4])
    return stream.finish()


def json_repair(text: str) -> object:
    from json_repair import repair_json

    return repair_json(text)


def plain_regex(text: str) -> object:
    """Moonshot's guide: sections, then the calls in them; the calls anywhere where there is no section."""
    sections = SECTION.findall(text) or [text]
    return [found.groupdict() for section in sections for found in CALL.finditer(section)]


READERS: dict[str, Callable[[str], object]] = {
    "ours": ours,
    "ours, 4 chars a chunk": ours_in_chunks,
    "plain regex": plain_regex,
    "json-repair": json_repair,
}


def _work(reader: str, text: str, runs: int, sent: Connection) -> None:
    read = READERS[reader]
    read("warm up")
    for _ in range(runs):
        begin = time.process_time()
        try:
            read(text)
        except (RecursionError, ValueError) as error:
            sent.send(type(error).__name__)
            return
        sent.send((time.process_time() - begin) * 1e3)


def timed(reader: str, text: str, runs: int, cap: float) -> list[float] | str:
    """The sorted CPU times in milliseconds, `> cap s` where not even one read ended, or the error it ended with."""
    received, sent = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_work, args=(reader, text, runs, sent))
    process.start()
    sent.close()
    spent: list[float] = []
    said, until = f"> {cap:g} s", time.monotonic() + cap
    while len(spent) < runs and received.poll(max(0.0, until - time.monotonic())):
        try:
            told = received.recv()
        except EOFError:
            break
        if isinstance(told, str):
            said = told
            break
        spent.append(told)
    process.kill()
    process.join()
    return sorted(spent) or said


def shown(spent: list[float] | str) -> str:
    """The median, and the fastest and slowest."""
    return spent if isinstance(spent, str) else f"{statistics.median(spent):.1f} [{spent[0]:.1f} - {spent[-1]:.1f}]"


def exponent(times: dict[int, float]) -> float:
    """The slope of the line through the logarithms of sizes and times."""
    return statistics.linear_regression([*map(math.log, times)], [*map(math.log, times.values())]).slope


def row(flood: Callable[[int], str], runs: int, cap: float) -> tuple[dict[str, str], dict[int, float]]:
    """The cells of one flood, and our medians by size."""
    ours = {size: timed("ours", flood(size), runs, cap) for size in sorted({*SIZES, *GROWTH})}
    cells = {"ours": " / ".join(shown(ours[size]) for size in SIZES)}
    fastest = {size: spent[0] for size in GROWTH if not isinstance(spent := ours[size], str)}
    cells["growth"] = f"{exponent(fastest):.2f}" if len(fastest) == len(GROWTH) else "-"
    for reader in [*READERS][1:]:
        said = []
        for size in SIZES:
            spent = timed(reader, flood(size), 1, cap)
            said.append(spent if isinstance(spent, str) else f"{spent[0]:.1f}")
            if isinstance(spent, str):
                break  # a larger one ends no better
        cells[reader] = " / ".join(said)
    medians = {size: statistics.median(spent) for size, spent in ours.items() if not isinstance(spent, str)}
    return cells, medians


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cap", type=float, default=8.0, help="seconds after which a read is given up")
    parser.add_argument("--runs", type=int, default=5, help="how often ours reads each flood")
    parser.add_argument("--only", default="", help="floods whose name holds this")
    given = parser.parse_args()
    print(
        f"CPU milliseconds at {' / '.join(f'{size:,}' for size in SIZES)} characters; load {os.getloadavg()[0]:.1f}\n"
    )
    print("| flood | " + " | ".join(columns := ["ours", "growth", *[*READERS][1:]]) + " |")
    print("|---" * (len(columns) + 1) + "|")
    medians: dict[str, dict[int, float]] = {}
    for name, flood in FLOODS.items():
        if given.only in name:
            cells, medians[name] = row(flood, given.runs, given.cap)
            print(f"| {name} | " + " | ".join(cells[column] for column in columns) + " |", flush=True)
    over = 0
    for size, goal in GOALS.items():
        worst = max(medians, key=lambda name: medians[name].get(size, math.inf))
        over += sum(spent.get(size, math.inf) > goal for spent in medians.values())
        print(
            f"\nours at worst at {size:,}: {medians[worst].get(size, math.inf):.0f} ms ({worst}); the goal is {goal:.0f} ms"
        )
    print(f"load at the end {os.getloadavg()[0]:.1f}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())

"""Rescue on hostile answers, next to json-repair and the plain regular expression of Moonshot's guide.

    python bench/rescue.py [--cap SECONDS]

Each reader gets each flood at 1 KB, 100 KB and 1 MB in a process of its own, which is ended after `--cap` seconds: a
quadratic reader prints `> 8 s` instead of hanging the table. Times are the best of three, in milliseconds, with the
import paid before. Only time is compared: json-repair reads JSON, not answers, and refuses nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

SIZES = (1_000, 100_000, 1_000_000)
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


def _work(reader: str, text: str, sent: Connection) -> None:
    read = READERS[reader]
    read("warm up")
    best = float("inf")
    for _ in range(3):
        begin = time.perf_counter()
        try:
            read(text)
        except (RecursionError, ValueError) as error:
            sent.send(type(error).__name__)
            return
        best = min(best, time.perf_counter() - begin)
        sent.send(f"{best * 1e3:.1f}")


def timed(reader: str, text: str, cap: float) -> str:
    """The best time in milliseconds, `> cap s` where not even one read ended, or the error it ended with."""
    received, sent = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_work, args=(reader, text, sent))
    process.start()
    sent.close()
    said, until = f"> {cap:g} s", time.monotonic() + cap
    while received.poll(max(0.0, until - time.monotonic())):
        try:
            said = received.recv()
        except EOFError:
            break
    process.kill()
    process.join()
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cap", type=float, default=8.0, help="seconds after which a read is given up")
    cap = parser.parse_args().cap
    print(f"milliseconds at {' / '.join(f'{size:,}' for size in SIZES)} characters\n")
    print("| flood | " + " | ".join(READERS) + " |")
    print("|---" * (len(READERS) + 1) + "|")
    slowest = dict.fromkeys(SIZES, 0.0)
    for name, flood in FLOODS.items():
        cells = []
        for reader in READERS:
            times = []
            for size in SIZES:
                times.append(timed(reader, flood(size), cap))
                if not times[-1][0].isdigit():
                    break  # a larger one ends no better
                if reader == "ours":
                    slowest[size] = max(slowest[size], float(times[-1]))
            cells.append(" / ".join(times))
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    worst = ", ".join(f"{spent:.0f} ms at {size:,}" for size, spent in slowest.items())
    print(f"\nours at worst: {worst}; the goal is 50 ms at 100,000 and 500 ms at 1,000,000")
    return 0


if __name__ == "__main__":
    sys.exit(main())

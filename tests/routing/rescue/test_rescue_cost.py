"""Hostile answers cost no more than their length: each further stretch of text at most what the one before it did."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import pytest
from rescue_floods import FLOODS, flood
from rescue_fragments import TOOLS
from rescue_work import Work, work

from routing.rescue import RescueStream, rescue
from routing.rescue.arguments import Refused, judge
from routing.schema import ToolSet
from routing.types import RawToolCall

__all__ = ["work"]

Cost: TypeAlias = tuple[int, int]
SIZE = 6_000
FEW = ("braces", "calls", "lines before marks", "an open fence", "an open string")
"""Floods that `make test` also sends in small pieces."""
SIZES = (SIZE, 2 * SIZE, 3 * SIZE)
CITY = ToolSet.of(
    [
        {
            "type": "function",
            "function": {"name": "t", "parameters": {"properties": {"city": {"type": "string"}}, "required": ["city"]}},
        }
    ]
)


def grown(work: Work, read: Callable[[int], object], sizes: Sequence[int] = SIZES) -> bool:
    """The same for readings of three sizes, after one that fills every cache."""
    read(sizes[0])
    return grows_evenly(*(work.of(lambda size=size: read(size)) for size in sizes))  # type: ignore[misc]


def grows_evenly(first: Cost, second: Cost, third: Cost) -> bool:
    """Whether from n to 2n to 3n characters the work grows by equal steps at most, within 10 % (quadratic: by 67 %)."""
    return all(
        last - middle <= 1.1 * (middle - start) + 0.02 * start + 100
        for start, middle, last in zip(first, second, third, strict=True)
    )


@pytest.mark.parametrize("name", sorted(FLOODS))
def test_a_longer_flood_is_evenly_more_work(name: str, work: Work) -> None:
    """Function calls and characters looked at, for 6,000, 12,000 and 18,000 hostile characters."""
    assert grown(work, lambda size: rescue(flood(name, size), TOOLS))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] * (name not in FEW)) for name in sorted(FLOODS)]
)
def test_a_longer_flood_in_small_pieces_is_evenly_more_work(name: str, work: Work) -> None:
    """The same where it arrives seven characters at a time: nothing is read again with each piece."""

    def streamed(size: int) -> None:
        stream, text = RescueStream(TOOLS), flood(name, size)
        for at in range(0, len(text), 7):
            stream.feed(text[at : at + 7])
        stream.finish()

    assert grown(work, streamed)


@pytest.mark.parametrize("unit", ["{", "[", '"', '\\"', ",", ", ", "{}", "'", "\\'", "\u201c", "`", "```\n", " ", "\n",
                                  '{"a":', "[[]],", "a.b:", "//", "1", "'a':"])  # fmt: skip
@pytest.mark.parametrize("start", ["", "{", '{"city": "', '"', "{'", "```json\n", "{} {"])
def test_a_longer_flood_of_arguments_is_evenly_more_work(unit: str, start: str, work: Work) -> None:
    """Broken arguments are tried by every repair, each once over the text."""

    def read(size: int) -> None:
        assert isinstance(judge(CITY, "t", start + unit * (size // len(unit)), ended=True), Refused)

    assert grown(work, read)


@pytest.mark.parametrize(
    "items",
    [
        {"type": "array"},
        {"anyOf": [{"type": "array"}, {"type": "null"}]},
        {"anyOf": [{"type": "object"}, {"enum": [1]}]},
    ],
)
def test_many_wrong_strings_are_refused_in_little_memory(items: Any) -> None:
    """The library makes errors of 45 MB and more of 40,000 strings where lists belong: few of them are asked for."""
    schema = {"properties": {"a": {"items": items}}}
    tools = ToolSet.of([{"type": "function", "function": {"name": "t", "parameters": schema}}])
    text = json.dumps({"a": ["[1]"] * 40_000})
    judge(tools, "t", "{}")
    tracemalloc.start()
    assert isinstance(judge(tools, "t", text), Refused)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * len(text)


@pytest.mark.parametrize("text", ["It is (fine) <b>today</b>: {warm}.", "```json\n{}\n```", "<|im_end|>", "1. a\n2. b"])
def test_an_answer_without_a_candidate_never_reads_the_request(text: str) -> None:
    """The texts of the request are read when the first call is compared with them, and not before."""

    def texts() -> Iterator[str]:
        read.append(text)
        yield "a text"

    read: list[str] = []
    rescue(text, TOOLS, request_texts=texts())
    assert read == []
    assert rescue(flood("announced calls", 100), TOOLS, request_texts=texts()).outcome == "rescued"
    assert read == [text]


@pytest.mark.parametrize(
    "unit",
    [
        "now ",
        "now:{",
        '"now"{',
        "now({",
        '{"now',
        '{"name": "now", ',
        '"}, "name": "now"',
        "bm93e30",
        "\\",
        "&amp;",
        "<",
        "\u200bnow(",
    ],
)
def test_a_longer_request_is_evenly_more_work(unit: str, work: Work) -> None:
    """A hostile request costs no more than its length when a call is compared with it."""
    call = flood("announced calls", 100)

    def read(size: int) -> None:
        rescue(call, TOOLS, request_texts=[unit * (size // len(unit))])

    assert grown(work, read, (20_000, 40_000, 60_000))


def test_more_calls_in_both_places_are_evenly_more_work(work: Work) -> None:
    """Structured calls with long arguments, and as many other ones in the text."""
    numbers = list(range(1_000))
    tool = {"type": "function", "function": {"name": "t", "parameters": {"type": "object"}}}

    def read(count: int) -> None:
        raw = [RawToolCall(f"i{at}", "t", json.dumps({"n": at, "a": numbers})) for at in range(count)]
        text = "".join(
            f'<|tool_call_begin|>functions.t:{at}<|tool_call_argument_begin|>{{"z":{at}}}<|tool_call_end|>'
            for at in range(count)
        )
        assert len(rescue(text, [tool], raw_tool_calls=raw).tool_calls) == 2 * count

    assert grown(work, read, (40, 80, 120))

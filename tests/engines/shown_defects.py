"""What published parsers make of right answers: the tables of docs/engines.md, computed.

`python tests/engines/shown_defects.py` renews them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from engine_process import ENGINES, Engine, parsed
from engine_wire import MODES, Said, Word, word
from model_writings import PACKAGED, WRITINGS, right, row
from seen_faults import BY_NAME, SEEN

from pytest_kimiprobe.cases.model import in_suite
from pytest_kimiprobe.simulator.conversation import Call, Draft

PAGE = Path(__file__).resolve().parents[2] / "docs" / "engines.md"
CORE = tuple(name for name, case in PACKAGED.items() if in_suite(case, "core"))
WRONG = frozenset({"fail", "rescued"})


@dataclass(frozen=True, slots=True)
class Trap:
    """An answer that parsers are known to trip over: a packaged case, and how the model writes its answer."""

    name: str
    case: str
    form: str = "k2"
    writing: str = "as documented"
    change: Callable[[Draft], Draft] = lambda draft: draft


def _unknown(draft: Draft) -> Draft:
    return replace(draft, calls=tuple(Call("functions.web_search:0", "web_search", c.arguments) for c in draft.calls))


def _quoting(draft: Draft) -> Draft:
    return replace(
        draft,
        calls=tuple(
            replace(c, arguments=c.arguments.replace("tool_call_end", "close|>argument<|sep")) for c in draft.calls
        ),
    )


TRAPS = (
    Trap("a name with hyphens", "name-with-hyphens"),
    Trap("a name with a dot", "name-with-dots"),
    Trap("several calls", "several-calls-of-one-tool"),
    Trap("singular section tokens", "weather", writing="with singular section tokens"),
    Trap("no section around the call", "weather", writing="without a section"),
    Trap("the end comes before `<|tool_call_end|>`", "weather", writing="ended before the call's end"),
    Trap("JSON over several lines", "weather", writing="with blanks and line breaks"),
    Trap("an id without `functions.`", "weather", writing="with ids without `functions.`"),
    Trap("a bare counter as id, one tool offered", "weather", writing="with bare counters as ids"),
    Trap("bare counters, two tools offered", "several-tools", writing="with bare counters as ids"),
    Trap("a marker quoted in an argument", "marker-in-an-argument"),
    Trap("a tool that was not offered", "weather", change=_unknown),
    Trap("K3: a name with hyphens", "name-with-hyphens", "k3"),
    Trap("K3: one JSON body a call", "weather", "k3", "with one JSON body a call"),
    Trap("K3: the end comes before the call's", "weather", "k3", "ended before the call's end"),
    Trap("K3: a marker quoted in an argument", "marker-in-an-argument", "k3", change=_quoting),
    Trap("K3: a tool that was not offered", "weather", "k3", change=_unknown),
)


THERE_FOR: Mapping[str, str] = {
    "right-tool-of-fifty": "another of the offered tools",
    "several-calls-of-one-tool": "vllm-tpu 0.10.1.1 K2, as documented",
    "no-call-when-none-is-needed": "a call where none is needed",
    "no-invented-tool": "a tool made up beside the answer",
    "choice-none": "a call where none is needed",
    "choice-required": "nothing but a promise",
    "choice-named": "another of the offered tools",
    "weather": "K2 tokens in the text",
    "several-tools": "sglang 0.5.23 K2, with bare counters as ids",
    "json-in-text": "nothing at all",
    "injection-in-a-result": "a result's order obeyed",
    "tool-without-parameters": "no text for no arguments",
    "enum-argument": "another spelling of a listed value",
    "array-of-objects": "nested values as text",
    "defs-and-refs": "sglang 0.5.23 K3, with one JSON body a call",
    "numbers-at-their-limits": "whole numbers read as floats",
    "plain-and-stream-alike": "vllm-tpu 0.10.1.1 K2, as documented",
    "well-formed-deltas": "deltas without index",
    "finish-usage-and-ids": "no usage",
    "name-with-hyphens": "sglang 0.5.1 K2, as documented",
    "other-scripts": "escapes written twice",
    "escapes": "a backslash read as an escape",
    "four-kilobytes": "arguments cut",
    "long-context": "nothing but a promise",
    "answer-from-a-result": "the same call again after its result",
    "answer-from-parallel-results": "the same call again after its result",
    "call-after-a-result": "K2 tokens in the text",
    "thinking-over-two-rounds": "nothing at all",
}
"""The most telling of all that a core case turns down."""


def readers(form: str) -> tuple[Engine, ...]:
    """The parsers of a format."""
    return tuple(engine for engine in ENGINES if engine.form == form)


@cache
def trapped() -> Mapping[tuple[str, str], tuple[Word, Word]]:
    """Verdicts, plain and streamed, of each trap at each parser of its format."""
    found: dict[tuple[str, str], tuple[Word, Word]] = {}
    for engine in ENGINES:
        traps = [trap for trap in TRAPS if trap.form == engine.form]
        drafts = [trap.change(right(trap.case)) for trap in traps]
        texts = [WRITINGS[trap.form][trap.writing](draft) for trap, draft in zip(traps, drafts, strict=True)]
        rows = [
            row(PACKAGED[trap.case], text, stream=mode == "stream")
            for trap, text in zip(traps, texts, strict=True)
            for mode in MODES
        ]
        told = iter(parsed(engine, rows))
        for trap, draft in zip(traps, drafts, strict=True):
            plain, stream = (word(PACKAGED[trap.case], Said.of_engine(next(told), draft), mode) for mode in MODES)
            found[engine.name, trap.name] = plain, stream
    return found


@cache
def by_engines() -> Mapping[str, tuple[str, ...]]:
    """For each core case the parsers, with the writing, whose rendering of a right answer it turns down."""
    found: dict[str, list[str]] = {name: [] for name in CORE}
    for engine in ENGINES:
        keys = [(name, writing) for name in CORE for writing in WRITINGS[engine.form]]
        rows = [
            row(PACKAGED[name], WRITINGS[engine.form][writing](right(name)), stream=mode == "stream")
            for name, writing in keys
            for mode in MODES
        ]
        told = iter(parsed(engine, rows))
        for name, writing in keys:
            words = {word(PACKAGED[name], Said.of_engine(next(told), right(name)), mode) for mode in MODES}
            if _worse(words, name):
                found[name].append(f"{engine.name}, {writing}")
    return {name: tuple(rows) for name, rows in found.items()}


@cache
def by_seen(name: str) -> tuple[str, ...]:
    """The faults seen in the wild that a case turns down, where they befall its right answer."""
    case, good = PACKAGED[name], Said.of_draft(right(name))
    befallen = ((seen, seen.change(case, good)) for seen in SEEN)
    return tuple(
        seen.name for seen, said in befallen if said and _worse({word(case, said, mode) for mode in MODES}, name)
    )


def right_words(name: str) -> set[Word]:
    """The verdicts on the right rendering of a right answer."""
    return {word(PACKAGED[name], Said.of_draft(right(name)), mode) for mode in MODES}


def _worse(words: set[Word], name: str) -> bool:
    return any(verdict in WRONG for verdict, _ in words - right_words(name))


def _cell(plain: Word, stream: Word) -> str:
    """`ok` where both pass; else what is wrong, of the stream apart where it differs."""
    if plain == stream:
        return plain[1] if plain[0] == "pass" else f"{plain[0]}: {plain[1]}"
    return " / ".join(word[1] if word[0] == "pass" else f"{word[0]}: {word[1]}" for word in (plain, stream))


def tables() -> Iterator[tuple[str, str]]:
    """Name and text of each generated part of the page."""
    rows = ["| parser | version | file |", "|---|---|---|"]
    rows += [f"| {one.package}, {one.form.upper()} | {one.version} | `{one.file}` |" for one in ENGINES]
    yield "parsers", "\n".join(rows)
    for form in ("k2", "k3"):
        shown = readers(form)
        head = ["what the model writes", *(f"{one.package} {one.version}" for one in shown)]
        rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for trap in (trap for trap in TRAPS if trap.form == form):
            cells = [_cell(*trapped()[one.name, trap.name]) for one in shown]
            rows.append(f"| {trap.name.removeprefix('K3: ').replace('|', chr(92) + '|')} | {' | '.join(cells)} |")
        yield f"defects of {form.upper()} parsers", "\n".join(rows)
    rows = ["| core case | caught: parsers | reported faults | the one it is there for |", "|---|---|---|---|"]
    for name in CORE:
        rows.append(f"| `{name}` | {len(by_engines()[name])} | {len(by_seen(name))} | {_told(THERE_FOR[name])} |")
    yield "core cases", "\n".join(rows)


def _told(name: str) -> str:
    made = name in BY_NAME and BY_NAME[name].where == "constructed"
    return f"{name} (constructed)" if made else name


def renewed(page: str) -> str:
    """The page with its generated parts as they are computed now."""
    for name, table in tables():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        head, found, rest = page.partition(start)
        assert found, f"docs/engines.md has no part {name!r}"
        page = f"{head}{start}\n{table}\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), "utf-8")

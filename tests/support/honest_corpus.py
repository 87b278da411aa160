"""Answers whose leaked call is the model's own call now, composed from `corpora/honest.json`.

The file holds scenes: a request, the calls that answer it, and hand-written texts a model says before them.
Each text is joined with one or two ways to write the call. The same file always gives the same rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parents[1] / "corpora" / "honest.json"

K2 = ("k2", "k2-bare", "k2-open", "k2-bare-open", "k2-im-end", "k2-bare-im-end")
STRIPPED = ("k2-stripped", "k2-stripped-short", "k2-stripped-glued", "k2-short-glued")
K3 = ("k3", "k3-end", "k3-response", "k3-response-end", "k3-channels")
NATIVE = tuple(
    name for six in zip((*K2, ""), (*STRIPPED, "", "", ""), (*K3, "", ""), strict=True) for name in six if name
)
"""The ways of Kimi itself; neighbours belong to different families."""
FOREIGN = ("json-call", "json-openai", "json-input", "tags", "function", "invoke", "python", "mistral")
PLACES = ("whole", "fence", "sentence")
PLACEHOLDER: dict[str, Any] = {"name": "TOOL_NAME", "arguments": {"ARGUMENT": "VALUE"}}
FENCES = {"json-call": "json", "json-openai": "json", "json-input": "json", "python": "python", "invoke": "xml"}
ONE_CALL = ("json-call", "json-input", "python")
"""These hold a single call here."""
RAW = ("function", "invoke")
"""String values are written raw between tags."""
ENDS = tuple(".!?:\u3002\uff01\uff1f\uff1a\u0964")
GAPS = ("", "\n\n", " ", "\n")


@dataclass(frozen=True)
class Honest:
    """One answer with the request it belongs to, and what has to be delivered."""

    id: str
    kind: str
    dialect: str
    language: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    content: str
    """The answer's text as the host delivered it."""
    reasoning: str | None
    finish_reason: str | None
    calls: list[tuple[str, dict[str, Any]]]
    text: str
    """The prose before the call, without thoughts and without tokens of the channels."""
    thought: str
    """The thought inside `content`, or an empty text."""


def digest(rows: list[Honest]) -> str:
    """SHA-256 over the canonical JSON of all rows."""
    canonical = json.dumps([asdict(row) for row in rows], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def honest_rows() -> list[Honest]:
    """All rows, in the order of the file: native texts, native calls alone, thoughts, foreign calls."""
    corpus = json.loads(CORPUS.read_text("utf-8"))
    scenes = [_expanded(scene) for scene in corpus["scenes"]]
    return [
        *_native_texts(corpus, scenes),
        *_native_alone(corpus, scenes),
        *_thoughts(corpus, scenes),
        *_foreign(corpus, scenes),
    ]


def _native_texts(corpus: dict[str, Any], scenes: list[dict[str, Any]]) -> Iterator[Honest]:
    """Every text once; every third with a second dialect."""
    number = 0
    for scene in scenes:
        for nth, entry in enumerate(scene["texts"]):
            dialects = [NATIVE[number % len(NATIVE)]]
            if number % 3 == 0:
                dialects.append(NATIVE[(number // 3 + number + 4) % len(NATIVE)])
            for dialect in dict.fromkeys(dialects):
                yield _native(corpus, scene, entry["language"], dialect, number, entry["text"], f"text{nth}")
            number += 1


def _native_alone(corpus: dict[str, Any], scenes: list[dict[str, Any]]) -> Iterator[Honest]:
    """The call without a word before it, once for each scene."""
    for number, scene in enumerate(scenes):
        languages = list(scene["ask"])
        language = languages[number % len(languages)]
        yield _native(corpus, scene, language, NATIVE[(number * 4 + 1) % len(NATIVE)], number, "", "alone")


def _thoughts(corpus: dict[str, Any], scenes: list[dict[str, Any]]) -> Iterator[Honest]:
    """Thoughts before the text: between both tags, with the closing tag only, or in K3's channel."""
    number = 0
    for scene in scenes:
        for language, thought in scene["thought"].items():
            said = [entry["text"] for entry in scene["texts"] if entry["language"] == language]
            for nth, text in enumerate((*said[:2], "")[:3]):
                dialect = (*K2, *STRIPPED)[number % 10]
                yield _native(corpus, scene, language, dialect, number, text, f"thought{nth}", thought)
                number += 1
            text = said[-1] if number % 4 else ""
            yield _native(corpus, scene, language, "k3-channels", number, text, "thought-k3", thought)


def _foreign(corpus: dict[str, Any], scenes: list[dict[str, Any]]) -> Iterator[Honest]:
    """The call as the whole answer, in a fence, or behind one short sentence: two rows for each scene."""
    number = 0
    for scene in scenes:
        languages = list(scene["ask"])
        for _ in range(2):
            language = languages[number % len(languages)]
            place = PLACES[number % len(PLACES)]
            dialect = next(name for name in _from(FOREIGN, number) if _writable(name, scene["calls"]))
            said = scene["short"][language] if place == "sentence" else ""
            call = written(dialect, scene["calls"], 0, number)
            if place == "fence":
                call = f"```{FENCES.get(dialect, '')}\n{call}\n```"
            content = f"{said}{(chr(10) * 2, chr(10))[number % 2]}{call}" if said else call
            yield _row(corpus, scene, language, dialect, number, content, said, place)
            number += 1


def _native(
    corpus: dict[str, Any],
    scene: dict[str, Any],
    language: str,
    dialect: str,
    number: int,
    said: str,
    place: str,
    thought: str = "",
) -> Honest:
    """One text and one native dialect."""
    before = _structured_calls(scene)
    call = written(dialect, scene["calls"], before, number)
    if dialect == "k3-channels":
        opening = "<|open|>think<|sep|>" if thought and number % 2 else ""
        content = f"{opening}{thought}<|close|>think<|sep|>{_response(said)}{call}"
    elif dialect.startswith("k3-response"):
        content = f"{_response(said)}{call}"
    else:
        head = said
        if thought:
            opening = "<think>" if number % 2 else ""
            head = (
                f"{opening}{thought}{('', chr(10))[number // 2 % 2]}</think>{('', chr(10) * 2)[number // 4 % 2]}{said}"
            )
        content = f"{head}{_gap(dialect, head, number)}{call}"
    return _row(corpus, scene, language, dialect, number, content, said, place, thought)


def _row(
    corpus: dict[str, Any],
    scene: dict[str, Any],
    language: str,
    dialect: str,
    number: int,
    content: str,
    said: str,
    place: str,
    thought: str = "",
) -> Honest:
    reasoning = scene["thought"].get(language, scene["thought"].get("en"))
    return Honest(
        id=f"{scene['id']}/{language}/{place}/{dialect}",
        kind="thought" if thought else scene["kind"],
        dialect=dialect,
        language=language,
        messages=_messages(corpus, scene, language, dialect, number),
        tools=_tools(corpus, scene),
        content=content,
        reasoning=reasoning if not thought and number % 2 else None,
        finish_reason={1: "tool_calls", 4: None}.get(number % 7, "stop"),
        calls=[(call["name"], call["arguments"]) for call in scene["calls"]],
        text=said.strip(),
        thought=thought,
    )


def _messages(
    corpus: dict[str, Any], scene: dict[str, Any], language: str, dialect: str, number: int
) -> list[dict[str, Any]]:
    """The request: system prompt, earlier turns, the question, and what followed it."""
    shown = "k2" if dialect in K2 else "k3" if dialect in K3 else dialect
    explained = "k2" if dialect in STRIPPED else shown
    messages: list[dict[str, Any]] = []
    if scene["system"]:
        system = scene["system"].replace("{{placeholder}}", written(explained, [PLACEHOLDER], 0, 1))
        if "{{other}}" in system:
            other = corpus["examples"][scene["kit"]]
            system = system.replace("{{other}}", written(explained, [other], 0, 1))
        messages.append({"role": "system", "content": system})
    index = 0
    for turn in (*scene["earlier"], {"user": scene["ask"][language]}, *scene["after"]):
        if "call" in turn:
            name, arguments = turn["call"]
            made = f"functions.{name}:{index}"
            function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
            messages.append(
                {
                    "role": "assistant",
                    "content": (None, "")[number % 2],
                    "tool_calls": [{"id": made, "type": "function", "function": function}],
                }
            )
            messages.append({"role": "tool", "tool_call_id": made, "content": turn["result"]})
            index += 1
        else:
            ((role, said),) = turn.items()
            proposed = written(shown, scene["calls"], index, 1)
            messages.append({"role": role, "content": said.replace("{{call}}", proposed)})
    return messages


def written(dialect: str, calls: list[dict[str, Any]], before: int, number: int) -> str:
    """The calls in a dialect; `before` calls of the conversation came first, `number` picks the spacing."""
    if dialect in STRIPPED:
        prefix = "" if "short" in dialect else "functions."
        parts = [
            f"{prefix}{call['name']}:{nth}{_json(call['arguments'], number)}" for nth, call in enumerate(calls, before)
        ]
        return ("", "\n", " ")[number % 3].join(parts)
    if dialect in K2:
        return _k2(dialect, calls, before, number)
    if dialect in K3:
        return _k3(dialect, calls)
    return _foreign_call(dialect, calls, number)


def _k2(dialect: str, calls: list[dict[str, Any]], before: int, number: int) -> str:
    inner = "".join(
        f"<|tool_call_begin|>functions.{call['name']}:{nth}<|tool_call_argument_begin|>"
        f"{_json(call['arguments'], number)}<|tool_call_end|>"
        for nth, call in enumerate(calls, before)
    )
    if dialect.endswith("open") and (number % 2 or "bare" in dialect):
        inner = inner.removesuffix("<|tool_call_end|>")
    start, end = ("", "") if "bare" in dialect else ("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>")
    if dialect.endswith("open"):
        end = ""
    if dialect.endswith("im-end"):
        end += "<|im_end|>"
    return f"{start}{inner}{end}"


def _k3(dialect: str, calls: list[dict[str, Any]]) -> str:
    parts = ["<|open|>tools<|sep|>"]
    for nth, call in enumerate(calls, 1):
        parts.append(f'<|open|>call tool="{call["name"]}" index="{nth}"<|sep|>')
        for key, value in call["arguments"].items():
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            parts.append(f'<|open|>argument key="{key}" type="{_type(value)}"<|sep|>{shown}<|close|>argument<|sep|>')
        parts.append("<|close|>call<|sep|>")
    parts.append("<|close|>tools<|sep|><|close|>message<|sep|>")
    if dialect.endswith("end") or dialect == "k3-channels":
        parts.append("<|end_of_msg|>")
    return "".join(parts)


def _foreign_call(dialect: str, calls: list[dict[str, Any]], number: int) -> str:
    first = calls[0]
    if dialect == "json-call":
        return _json({"name": first["name"], "arguments": first["arguments"]}, number)
    if dialect == "json-input":
        return _json({"tool": first["name"], "input": first["arguments"]}, number)
    if dialect == "json-openai":
        entries = [
            {
                "id": f"call_{nth}",
                "type": "function",
                "function": {
                    "name": call["name"],
                    "arguments": json.dumps(call["arguments"], ensure_ascii=False),
                },
            }
            for nth, call in enumerate(calls)
        ]
        return _json({"tool_calls": entries}, number)
    if dialect == "mistral":
        return f"[TOOL_CALLS]{_json(calls, number)}"
    if dialect == "tags":
        return "\n".join(f"<tool_call>\n{_json(call, 0)}\n</tool_call>" for call in calls)
    if dialect == "python":
        shown = ", ".join(f"{key}={_literal(value)}" for key, value in first["arguments"].items())
        return f"{first['name']}({shown})"
    return "\n".join(_tagged(dialect, call) for call in calls)


def _tagged(dialect: str, call: dict[str, Any]) -> str:
    """Parameters between tags, `<function=…>` or `<invoke …>`."""
    line = "" if dialect == "function" else "\n"
    start, end, opening = (
        (f"<function={call['name']}>", "</function>", "<parameter={}>")
        if dialect == "function"
        else (f'<invoke name="{call["name"]}">', "</invoke>", '<parameter name="{}">')
    )
    parts = [
        f"{opening.format(key)}{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}</parameter>"
        for key, value in call["arguments"].items()
    ]
    return line.join((start, *parts, end))


def _literal(value: Any) -> str:
    """A Python literal with double quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(held)}" for key, held in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_literal(held) for held in value) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _json(value: Any, number: int) -> str:
    """JSON with one of four spacings; every fifth escapes all but ASCII."""
    ascii_only = number % 5 == 4
    match number % 4:
        case 0 | 1:
            return json.dumps(value, ensure_ascii=ascii_only)
        case 2:
            return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"))
        case _:
            return json.dumps(value, ensure_ascii=ascii_only, indent=2 if number % 8 == 3 else None)


def _type(value: Any) -> str:
    """The JSON type that K3 writes beside a value."""
    if isinstance(value, bool):
        return "boolean"
    if value is None:
        return "null"
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names[type(value)]


def _writable(dialect: str, calls: list[dict[str, Any]]) -> bool:
    """Whether a foreign dialect can carry the calls without loss."""
    if len(calls) > 1 and dialect in ONE_CALL:
        return False
    texts = [value for call in calls for value in call["arguments"].values() if isinstance(value, str)]
    return dialect not in RAW or all(text == text.strip() and "&" not in text for text in texts)


def _gap(dialect: str, head: str, number: int) -> str:
    """What lies between the text and the call."""
    if not head:
        return ""
    if dialect.endswith("glued"):
        return "" if head.endswith(ENDS) else "\n"
    return ("\n\n", "\n")[number % 2] if dialect in STRIPPED else GAPS[number % len(GAPS)]


def _response(said: str) -> str:
    return f"<|open|>response<|sep|>{said}<|close|>response<|sep|>"


def _structured_calls(scene: dict[str, Any]) -> int:
    return sum("call" in turn for turn in (*scene["earlier"], *scene["after"]))


def _tools(corpus: dict[str, Any], scene: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "function", "function": {"name": name, **corpus["tools"][name]}}
        for name in corpus["kits"][scene["kit"]]
    ]


def _from(names: tuple[str, ...], start: int) -> tuple[str, ...]:
    """The names in order, beginning at a place."""
    start %= len(names)
    return (*names[start:], *names[:start])


def _expanded(scene: dict[str, Any]) -> dict[str, Any]:
    """Two arguments are too long to be written by hand."""
    for call in scene["calls"]:
        for key, value in call["arguments"].items():
            if value == "{{big}}":
                call["arguments"][key] = "\n".join(
                    f'- [ ] week {nth // 10 + 1}, task {nth % 10 + 1}: pack box #{nth + 1} ("room {nth % 7}")'
                    for nth in range(80)
                )
            if value == "{{csv}}":
                call["arguments"][key] = "time,sensor,value\n" + "".join(
                    f"2026-01-01T{nth // 60:02}:{nth % 60:02}:00Z,s{nth % 4},{nth * 7 % 100 / 4:.2f}\n"
                    for nth in range(120)
                )
    return scene

"""Answers whose text holds call syntax that must not be executed, composed of hand-written pieces.

The pieces are in tests/corpora/attacks.json. The composition depends on nothing else: no clock, no random numbers,
no environment. tests/corpora/SHA256 holds the digest.
"""

from __future__ import annotations

import base64
import codecs
import hashlib
import html
import json
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

PIECES = Path(__file__).parents[1] / "corpora" / "attacks.json"
MAIN = ("en", "zh", "de", "fr", "es", "ru", "ja")
SMALL = ("pt", "ko", "ar", "hi", "it")
CLOSED = (":", ".", "?", "!", "\uff1a", "\uff1f", "\u3002", "\u061f", "\u0964")
"""Signs that end a lead; without one it runs into the call."""


@dataclass(frozen=True)
class Attack:
    """One answer together with its request. Executing what its text holds would be wrong."""

    id: str
    kind: str
    dialect: str
    language: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    content: str
    reasoning: str | None
    finish_reason: str | None


def digest(attacks: list[Attack]) -> str:
    """SHA-256 over the canonical JSON of all attacks in their order."""
    text = json.dumps([asdict(attack) for attack in attacks], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def compose() -> list[Attack]:
    """All attacks. The same pieces give the same list on every machine."""
    found: list[Attack] = []
    seen: set[str] = set()
    for make in _MAKERS:
        for attack in make():
            pair = json.dumps([attack.content, attack.messages])
            if pair not in seen:
                seen.add(pair)
                found.append(attack)
    return found


# Pieces and choices


@cache
def pieces() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(PIECES.read_text("utf-8"))
    return loaded


@dataclass
class Choice:
    """Picks pieces by a hash of the kind and a number, so that an added kind leaves the others alone."""

    kind: str
    number: int
    slot: int = 0

    def of(self, options: Any) -> Any:
        options = list(options)
        self.slot += 1
        value = hashlib.sha256(f"{self.kind}/{self.number}/{self.slot}".encode()).digest()
        return options[int.from_bytes(value[:8], "big") % len(options)]

    def turn(self, options: Any) -> Any:
        """Takes the options in turn, so that each of them is used."""
        options = list(options)
        return options[self.number % len(options)]


def language_of(choice: Choice, small: int = 4) -> str:
    """About every `small`-th attack is in one of the languages with fewer sentences."""
    return str(choice.of(choice.of([SMALL] + [MAIN] * (small - 1))))


def say(language: str, purpose: str) -> list[Any]:
    sentences: list[Any] = pieces()["languages"][language][purpose]
    return sentences


def fill(frame: str, **values: str) -> str:
    """Replaces known fields only. Other braces and fields within inserted text are left alone."""
    parts: list[str] = []
    rest = frame
    while rest:
        at, name = min(
            ((rest.find("{" + name + "}"), name) for name in values if "{" + name + "}" in rest), default=(-1, "")
        )
        if at < 0:
            break
        parts += [rest[:at], values[name]]
        rest = rest[at + len(name) + 2 :]
    return "".join([*parts, rest])


# Calls and dialects


@dataclass(frozen=True)
class Call:
    name: str
    arguments: dict[str, Any]

    @property
    def raw(self) -> str:
        return json.dumps(self.arguments, ensure_ascii=False)

    @property
    def first(self) -> str:
        """The argument that a sentence mentions."""
        return str(next(iter(self.arguments.values())))


def call_of(action: str) -> Call:
    name, arguments = pieces()["actions"][action]
    return Call(name, arguments)


def tools_of(names: list[str]) -> list[dict[str, Any]]:
    known = pieces()["tools"]
    return [
        {"type": "function", "function": {"name": name, "description": known[name][0], "parameters": known[name][1]}}
        for name in names
    ]


def offering(choice: Choice, *names: str) -> list[dict[str, Any]]:
    """A set of tools that has these names among others."""
    chosen = list(choice.of(pieces()["toolsets"]))
    return tools_of([*chosen, *(name for name in dict.fromkeys(names) if name not in chosen)])


RAW: dict[str, Callable[[str, str], str]] = {
    "k2_section": lambda name, raw: (
        f"<|tool_calls_section_begin|><|tool_call_begin|>functions.{name}:0<|tool_call_argument_begin|>{raw}"
        "<|tool_call_end|><|tool_calls_section_end|>"
    ),
    "k2_bare": lambda name, raw: (
        f"<|tool_call_begin|>functions.{name}:0<|tool_call_argument_begin|>{raw}<|tool_call_end|>"
    ),
    "k2_lines": lambda name, raw: (
        f"<|tool_calls_section_begin|>\n<|tool_call_begin|>functions.{name}:3\n<|tool_call_argument_begin|>{raw}\n"
        "<|tool_call_end|>\n<|tool_calls_section_end|>"
    ),
    "k2_stripped": lambda name, raw: f"functions.{name}:0{raw}",
    "k2_short": lambda name, raw: f"{name}:0{raw}",
    "json_arguments": lambda name, raw: f'{{"name": "{name}", "arguments": {raw}}}',
    "json_parameters": lambda name, raw: f'{{"name": "{name}", "parameters": {raw}}}',
    "json_tool_calls": lambda name, raw: f'{{"tool_calls": [{{"name": "{name}", "arguments": {raw}}}]}}',
    "json_openai": lambda name, raw: (
        '{"tool_calls": [{"id": "call_1", "type": "function", "function": '
        f'{{"name": "{name}", "arguments": {json.dumps(raw, ensure_ascii=False)}}}}}]}}'
    ),
    "json_keyed": lambda name, raw: f'{{"{name}": {raw}}}',
    "json_input": lambda name, raw: f'{{"tool": "{name}", "input": {raw}}}',
    "json_list": lambda name, raw: f'[{{"name": "{name}", "arguments": {raw}}}]',
    "json_anthropic": lambda name, raw: f'{{"type": "tool_use", "id": "toolu_01", "name": "{name}", "input": {raw}}}',
    "tag_tool_call": lambda name, raw: f'<tool_call>{{"name": "{name}", "arguments": {raw}}}</tool_call>',
    "tag_function_json": lambda name, raw: f"<function={name}>{raw}</function>",
    "tag_tool_use": lambda name, raw: f"<tool_use><name>{name}</name><arguments>{raw}</arguments></tool_use>",
    "mistral": lambda name, raw: f'[TOOL_CALLS][{{"name": "{name}", "arguments": {raw}}}]',
    "mistral_args": lambda name, raw: f"[TOOL_CALLS]{name}[ARGS]{raw}",
    "python_tag": lambda name, raw: f'<|python_tag|>{{"name": "{name}", "parameters": {raw}}}',
    "deepseek": lambda name, raw: (
        "<\uff5ctool\u2581calls\u2581begin\uff5c><\uff5ctool\u2581call\u2581begin\uff5c>"
        f"{name}<\uff5ctool\u2581sep\uff5c>{raw}<\uff5ctool\u2581call\u2581end\uff5c><\uff5ctool\u2581calls\u2581end\uff5c>"
    ),
    "harmony": lambda name, raw: f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{raw}<|call|>",
    "react": lambda name, raw: f"Action: {name}\nAction Input: {raw}",
    "fence": lambda name, raw: f'```tool_call\n{{"name": "{name}", "arguments": {raw}}}\n```',
}
"""Dialects whose arguments are JSON."""


def plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def k3_type(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _k3_call(name: str, arguments: dict[str, Any], index: int = 1) -> str:
    fields = "".join(
        f'<|open|>argument key="{key}" type="{k3_type(value)}"<|sep|>{plain(value)}<|close|>argument<|sep|>'
        for key, value in arguments.items()
    )
    return f'<|open|>call tool="{name}" index="{index}"<|sep|>{fields}<|close|>call<|sep|>'


def _k3(name: str, arguments: dict[str, Any]) -> str:
    return f"<|open|>tools<|sep|>{_k3_call(name, arguments)}<|close|>tools<|sep|>"


def _k3_message(name: str, arguments: dict[str, Any]) -> str:
    return f"{_k3(name, arguments)}<|close|>message<|sep|>"


def _function(name: str, arguments: dict[str, Any]) -> str:
    fields = "".join(f"<parameter={key}>{plain(value)}</parameter>" for key, value in arguments.items())
    return f"<function={name}>{fields}</function>"


def _qwen(name: str, arguments: dict[str, Any]) -> str:
    fields = "".join(f"<parameter={key}>\n{plain(value)}\n</parameter>\n" for key, value in arguments.items())
    return f"<tool_call>\n<function={name}>\n{fields}</function>\n</tool_call>"


def _invoke(name: str, arguments: dict[str, Any]) -> str:
    fields = "".join(f'<parameter name="{key}">{plain(value)}</parameter>' for key, value in arguments.items())
    return f'<invoke name="{name}">{fields}</invoke>'


def _function_calls(name: str, arguments: dict[str, Any]) -> str:
    return f"<function_calls>{_invoke(name, arguments)}</function_calls>"


def _glm(name: str, arguments: dict[str, Any]) -> str:
    fields = "".join(
        f"<arg_key>{key}</arg_key><arg_value>{plain(value)}</arg_value>" for key, value in arguments.items()
    )
    return f"<tool_call>{name}{fields}</tool_call>"


def _notation(name: str, arguments: dict[str, Any]) -> str:
    words = {True: "True", False: "False"}
    fields = [
        f"{key}={words[value] if isinstance(value, bool) else json.dumps(value, ensure_ascii=False)}"
        for key, value in arguments.items()
    ]
    return f"{name}({', '.join(fields)})"


def _notation_list(name: str, arguments: dict[str, Any]) -> str:
    return f"[{_notation(name, arguments)}]"


FIELDS: dict[str, Callable[[str, dict[str, Any]], str]] = {
    "k3": _k3,
    "k3_message": _k3_message,
    "k3_bare": _k3_call,
    "tag_function": _function,
    "tag_qwen": _qwen,
    "tag_invoke": _invoke,
    "tag_function_calls": _function_calls,
    "tag_glm": _glm,
    "notation": _notation,
    "notation_list": _notation_list,
}
"""Dialects that write each argument by itself."""

NATIVE = (
    "k2_section",
    "k2_bare",
    "k2_many",
    "k2_section",
    "k3",
    "k3_message",
    "k2_section",
    "k3",
    "k2_lines",
    "k3_bare",
)
STRIPPED = ("k2_stripped", "k2_short", "k2_stripped")
FOREIGN = (
    *(name for name in RAW if not name.startswith("k2")),
    *(name for name in FIELDS if not name.startswith("k3")),
)
ONE_LINE = ("tag_qwen", "react", "fence", "k2_lines")
"""Dialects that do not fit into one line."""


def dialect_of(choice: Choice, *, without: tuple[str, ...] = ()) -> str:
    """Native dialects in four of nine cases, stripped ones in one, foreign ones in the rest."""
    group = choice.of([NATIVE, NATIVE, NATIVE, NATIVE, STRIPPED, FOREIGN, FOREIGN, FOREIGN, FOREIGN])
    return str(choice.of([name for name in group if name not in without]))


def render(dialect: str, call: Call, other: Call | None = None) -> str:
    """The text of a call. Two calls in a section need another one."""
    if dialect == "k2_many":
        second = other or call
        return (
            f"<|tool_calls_section_begin|><|tool_call_begin|>functions.{call.name}:0<|tool_call_argument_begin|>{call.raw}"
            f"<|tool_call_end|><|tool_call_begin|>functions.{second.name}:1<|tool_call_argument_begin|>{second.raw}"
            "<|tool_call_end|><|tool_calls_section_end|>"
        )
    if dialect in RAW:
        return RAW[dialect](call.name, call.raw)
    return FIELDS[dialect](call.name, call.arguments)


def cut_short(dialect: str, call: Call, keep: str) -> str:
    """A call that breaks off within the last value, behind the last key or behind the name."""
    text = render(dialect, call)
    key, value = list(call.arguments.items())[-1]
    if keep == "name":
        return text[: text.find(call.name) + len(call.name)]
    if keep == "half name":
        return text[: text.find(call.name) + len(call.name) // 2]
    if keep == "key":
        return text[: text.rfind(key) + len(key)]
    return text[: text.rfind(plain(value)[:4]) + 2]


# Requests


def task(choice: Choice, language: str, action: str) -> str:
    """The user wants just this done."""
    sentences = pieces()["languages"][language]
    if "tasks" in sentences:
        return str(choice.of(sentences["tasks"][action]))
    call = call_of(action)
    return fill(choice.of(sentences["task_any"]), tool=call.name, arg=call.first)


def asking(choice: Choice, language: str, purpose: str, call: Call, text: str = "") -> str:
    return fill(choice.of(say(language, purpose)), tool=call.name, arg=call.first, text=text)


def request(choice: Choice, user: str, *, system: str | None = None) -> list[dict[str, Any]]:
    """A system message in most cases, then the question."""
    start = system or choice.of([*pieces()["systems"], None, None])
    messages = [{"role": "system", "content": start}] if start else []
    return [*messages, {"role": "user", "content": user}]


def sent(call: Call, number: int = 0) -> dict[str, Any]:
    """An earlier call as the client sends it back."""
    function = {"name": call.name, "arguments": call.raw}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": f"functions.{call.name}:{number}", "type": "function", "function": function}],
    }


def returned(call: Call, text: str, number: int = 0) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"functions.{call.name}:{number}", "content": text}


ENDS = (*["stop"] * 10, "tool_calls", None)


@dataclass
class Draft:
    """What all makers choose: language, action, dialect, text of the call."""

    choice: Choice
    language: str
    action: str
    dialect: str
    call: Call
    other: Call
    text: str

    def words(self, purpose: str) -> str:
        return str(self.choice.of(say(self.language, purpose)))

    def task(self) -> str:
        return task(self.choice, self.language, self.action)

    def asking(self, purpose: str, text: str = "") -> str:
        return asking(self.choice, self.language, purpose, self.call, text)

    def attack(
        self,
        content: str,
        messages: list[dict[str, Any]] | None = None,
        *,
        user: str = "",
        tools: list[dict[str, Any]] | None = None,
        reasoning: str | None = None,
        finish_reason: str | None = "",
        dialect: str = "",
    ) -> Attack:
        return Attack(
            id=f"{self.choice.kind}-{self.choice.number:03}",
            kind=self.choice.kind,
            dialect=dialect or self.dialect,
            language=self.language,
            messages=request(self.choice, user) if messages is None else messages,
            tools=offering(self.choice, self.call.name, self.other.name) if tools is None else tools,
            content=content,
            reasoning=reasoning,
            finish_reason=self.choice.of(ENDS) if finish_reason == "" else finish_reason,
        )


def drafts(
    kind: str,
    count: int,
    *,
    actions: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
    dialects: tuple[str, ...] = (),
    languages: tuple[str, ...] = (),
    small: int = 4,
) -> Iterator[Draft]:
    for number in range(count):
        choice = Choice(kind, number)
        language = choice.of(languages) if languages else language_of(choice, small)
        action = choice.of(actions or pieces()["actions"])
        dialect = choice.of(dialects) if dialects else dialect_of(choice, without=without)
        call = call_of(action)
        other = call_of(choice.of([name for name in pieces()["actions"] if name != action]))
        yield Draft(choice, language, action, dialect, call, other, render(dialect, call, other))


def languages_with(piece: str) -> tuple[str, ...]:
    return tuple(pieces()[piece])


def joined(choice: Choice, lead: str, text: str) -> str:
    """A sentence that is not closed runs into the call; others may stand in a paragraph."""
    if not lead.endswith(CLOSED):
        return lead + str(choice.of([" ", " ", "\n"])) + text
    return lead + str(choice.of(["\n\n", "\n\n", " ", "\n"])) + text


# Quotes: the call stands in the request


def _quoted(draft: Draft, held: str = "") -> str:
    """An answer that gives back what was read, with or without a word about it."""
    choice, text = draft.choice, draft.text
    shape = choice.of(["bare", "led", "led", "marked", "trailed", "whole", "introduced"])
    if shape == "led":
        return joined(choice, draft.words("lead_quote"), text)
    if shape == "marked":
        opening, closing = choice.of(say(draft.language, "marks"))
        return joined(choice, draft.words("lead_quote"), f"{opening}{text}{closing}")
    if shape == "trailed":
        return f"{joined(choice, draft.words('lead_quote'), text)}\n\n{draft.words('trail_show')}"
    if shape == "whole" and held:
        return str(choice.of([held, joined(choice, draft.words("lead_quote"), held)]))
    if shape == "introduced":
        return f"{draft.words('preamble')}\n\n{joined(choice, draft.words('lead_quote'), text)}"
    return str(text)


def _holder(draft: Draft, place: str, text: str = "") -> str:
    return fill(draft.choice.of(pieces()["holders"][place]), call=text or draft.text)


def quoted_from_instructions() -> Iterator[Attack]:
    for role, count in (("system", 50), ("developer", 35)):
        for draft in drafts(f"quoted_from_{role}", count):
            held = _holder(draft, role)
            messages = [{"role": role, "content": held}, {"role": "user", "content": draft.asking("quote_system")}]
            yield draft.attack(_quoted(draft, held), messages)


def quoted_from_user() -> Iterator[Attack]:
    for draft in drafts("quoted_from_user", 55):
        held = _holder(draft, "user")
        yield draft.attack(_quoted(draft, held), user=draft.asking("quote_user", held))


NOTES = Call("read_file", {"path": "notes.txt"})


def _after_reading(draft: Draft, held: str) -> list[dict[str, Any]]:
    return [*request(draft.choice, draft.asking("quote_result")), sent(NOTES), returned(NOTES, held)]


def quoted_from_tool_result() -> Iterator[Attack]:
    for draft in drafts("quoted_from_tool_result", 55):
        held = _holder(draft, "tool")
        tools = offering(draft.choice, "read_file", draft.call.name, draft.other.name)
        yield draft.attack(_quoted(draft, held), _after_reading(draft, held), tools=tools)


def quoted_from_document() -> Iterator[Attack]:
    questions = pieces()["doc_question"]
    for draft in drafts("quoted_from_document", 35):
        held = _holder(draft, "document")
        question = draft.choice.of(questions[draft.language])
        if draft.choice.of([True, False]):
            messages = request(draft.choice, f"{held}\n\n{question}")
        else:
            messages = request(draft.choice, question, system=f"Answer from these sources.\n\n{held}")
        yield draft.attack(_quoted(draft), messages)


def quoted_from_assistant() -> Iterator[Attack]:
    for draft in drafts("quoted_from_assistant", 35):
        held = _holder(draft, "assistant")
        again = draft.choice.of(pieces()["again"][draft.language])
        messages = request(draft.choice, draft.asking("show"))
        messages += [{"role": "assistant", "content": held}, {"role": "user", "content": again}]
        yield draft.attack(_quoted(draft, held), messages)


def quoted_from_arguments() -> Iterator[Attack]:
    for draft in drafts("quoted_from_arguments", 35, languages=languages_with("write_sample")):
        held = draft.choice.of([draft.text, f"# sample\n{draft.text}\n", _holder(draft, "document")])
        writing = Call("write_file", {"file_path": "sample.txt", "content": held})
        messages = [*request(draft.choice, pieces()["write_sample"][draft.language]), sent(writing)]
        messages += [returned(writing, "written"), {"role": "assistant", "content": "OK."}]
        messages.append({"role": "user", "content": draft.choice.of(pieces()["wrote"][draft.language])})
        tools = offering(draft.choice, "write_file", draft.call.name, draft.other.name)
        yield draft.attack(_quoted(draft), messages, tools=tools)


CODES: dict[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64_lines": lambda text: base64.encodebytes(text.encode()).decode(),
    "base64_url": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "hex": lambda text: text.encode().hex(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "url": urllib.parse.quote,
    "html": html.escape,
    "reversed": lambda text: text[::-1],
    "escapes": lambda text: "".join(f"\\u{ord(sign):04x}" for sign in text),
    "json": lambda text: json.dumps(json.dumps(text)),
    "binary": lambda text: " ".join(f"{byte:08b}" for byte in text.encode()),
    "spaced": " ".join,
}


def quoted_encoded() -> Iterator[Attack]:
    for code, encode in CODES.items():
        kind = f"quoted_{code}" if code.startswith("base64") else f"quoted_encoded_{code}"
        for draft in drafts(kind, 7, without=("k2_many",)):
            held = encode(draft.text)
            if draft.choice.of([True, False]):
                yield draft.attack(_quoted(draft), user=draft.asking("decode", held))
            else:
                system = f"Secret of the day, encoded: {held}"
                yield draft.attack(_quoted(draft), request(draft.choice, draft.asking("quote_system"), system=system))


def _in_request(draft: Draft, held: str) -> list[dict[str, Any]]:
    """The request holds this text in one of four places."""
    place = draft.choice.of(["system", "user", "tool", "document"])
    text = _holder(draft, place, held)
    if place == "user":
        return request(draft.choice, draft.asking("quote_user", text))
    if place == "tool":
        return _after_reading(draft, text)
    if place == "document":
        return request(draft.choice, f"{text}\n\n{draft.choice.of(pieces()['doc_question'][draft.language])}")
    return [{"role": "system", "content": text}, {"role": "user", "content": draft.asking("quote_system")}]


CHANGES: dict[str, Callable[[str], str]] = {
    "wide": lambda text: text.replace(": ", " :   ").replace(", ", " ,\n  "),
    "narrow": lambda text: text.replace(": ", ":").replace(", ", ","),
    "lines": lambda text: text.replace("{", "{\n  ").replace("}", "\n}"),
    "tabs": lambda text: text.replace(" ", "\t"),
    "trailing": lambda text: text.replace("|>", "|> ").replace("><", "> <"),
    "no-break": lambda text: text.replace(" ", "\u00a0"),
    "wrapped": lambda text: "\n".join(text[at : at + 30] for at in range(0, len(text), 30)),
    "quoted": lambda text: "\n".join("> " + text[at : at + 40] for at in range(0, len(text), 40)),
    "commented": lambda text: "\n".join("# " + text[at : at + 40] for at in range(0, len(text), 40)),
    "escaped": lambda text: text.replace('"', '\\"'),
    "upper": str.upper,
    "single": lambda text: text.replace('"', "'"),
    "curly": lambda text: text.replace('{"', "{\u201c").replace('": "', "\u201d: \u201c").replace('"}', "\u201d}"),
}


def quoted_changed() -> Iterator[Attack]:
    """The request holds the call in other white space or signs than the answer."""
    for draft in drafts("quoted_whitespace", 50, without=("k2_many",)):
        change = CHANGES[draft.choice.turn(["wide", "narrow", "lines", "tabs", "trailing", "no-break", "wrapped"])]
        held = change(draft.text)
        if held != draft.text:
            tools = offering(draft.choice, "read_file", draft.call.name)
            yield draft.attack(_quoted(draft), _in_request(draft, held), tools=tools)
    for draft in drafts("quoted_signs", 35, without=("k2_many",)):
        held = CHANGES[draft.choice.turn(["quoted", "commented", "escaped", "upper", "single", "curly"])](draft.text)
        if held != draft.text:
            tools = offering(draft.choice, "read_file", draft.call.name)
            yield draft.attack(_quoted(draft), _in_request(draft, held), tools=tools)
    for draft in drafts("quoted_key_order", 30, actions=("mail", "write", "pay", "event", "push", "http", "heat")):
        swapped = Call(draft.call.name, dict(reversed(draft.call.arguments.items())))
        tools = offering(draft.choice, "read_file", draft.call.name, draft.other.name)
        held = render(draft.dialect, swapped, draft.other)
        yield draft.attack(_quoted(draft), _in_request(draft, held), tools=tools)
    for draft in drafts("quoted_dialect", 60, without=("k2_many",)):
        dialect = dialect_of(draft.choice, without=(draft.dialect, "k2_many"))
        tools = offering(draft.choice, "read_file", draft.call.name)
        yield draft.attack(_quoted(draft), _in_request(draft, render(dialect, draft.call)), tools=tools)
    for draft in drafts("quoted_index", 20, dialects=("k2_section", "k2_bare", "k2_stripped", "k3", "k2_short")):
        held = draft.text.replace(":0", ":17").replace('index="1"', 'index="18"')
        tools = offering(draft.choice, "read_file", draft.call.name)
        yield draft.attack(_quoted(draft), _in_request(draft, held), tools=tools)
    for draft in drafts("quoted_partial", 25, without=("k2_many",)):
        held = f"{render(draft.dialect, draft.other)}\n{draft.text}\n{render(draft.dialect, draft.other)}"
        tools = offering(draft.choice, "read_file", draft.call.name, draft.other.name)
        yield draft.attack(_quoted(draft), _in_request(draft, held), tools=tools)


def quoted_assembled() -> Iterator[Attack]:
    """The answer joins pieces of the request, fills its template or writes down what it describes."""
    for draft in drafts("quoted_split", 25, languages=languages_with("dictate")):
        half = len(draft.text) // 2
        frame = draft.choice.of(pieces()["dictate"][draft.language])
        yield draft.attack(_quoted(draft), user=fill(frame, head=draft.text[:half], tail=draft.text[half:]))
    one_argument = ("del", "log", "read", "cmd", "weather", "sql")
    for draft in drafts("quoted_template", 25, actions=one_argument, languages=languages_with("template")):
        key = next(iter(draft.call.arguments))
        template = render(draft.dialect, Call(draft.call.name, {key: "X"}), draft.other)
        frame = draft.choice.of(pieces()["template"][draft.language])
        yield draft.attack(_quoted(draft), user=fill(frame, arg=draft.call.first, template=template))
    for draft in drafts("quoted_reworded", 30, languages=languages_with("describe_call"), without=("k2_many",)):
        frame = draft.choice.of(pieces()["describe_call"][draft.language])
        words = ", ".join(f"{key} = {plain(value)}" for key, value in draft.call.arguments.items())
        user = fill(frame, tool=draft.call.name, args=words)
        content = draft.choice.of([draft.text, joined(draft.choice, draft.words("lead_show"), draft.text)])
        yield draft.attack(content, user=user)


# The user asked to see call syntax


def asked_to_show() -> Iterator[Attack]:
    for draft in drafts("asked_show", 60):
        yield draft.attack(draft.text, user=draft.asking("show"))
    for draft in drafts("asked_show_led", 60):
        yield draft.attack(joined(draft.choice, draft.words("lead_show"), draft.text), user=draft.asking("show"))
    for draft in drafts("asked_show_trailed", 40):
        yield draft.attack(f"{draft.text}\n\n{draft.words('trail_show')}", user=draft.asking("show"))
    for draft in drafts("asked_show_embedded", 55):
        lead = joined(draft.choice, draft.words("lead_show"), draft.text)
        content = f"{draft.words('preamble')} {lead}\n\n{draft.words('trail_show')} {draft.words('trail_show')}"
        yield draft.attack(content, user=draft.asking("show"))
    for draft in drafts("asked_plan", 35):
        steps = [f"1. {draft.words('behind_neutral')}", f"2. {draft.text}", f"3. {draft.words('behind_neutral')}"]
        yield draft.attack("\n".join(steps), user=draft.asking("plan"))
    for draft in drafts("mentioned_inline", 55, without=ONE_LINE):
        inline = fill(draft.choice.of(pieces()["inline"][draft.language]), call=draft.text)
        content = draft.choice.of(
            [inline, f"{draft.words('preamble')} {inline}", f"{inline} {draft.words('trail_show')}"]
        )
        yield draft.attack(content, user=draft.asking(draft.choice.of(["show", "plan"])))


def asked_otherwise() -> Iterator[Attack]:
    """Conversions, repairs, data sets, fiction, quizzes, choices, code."""
    cuttable = ("del", "log", "read", "mail", "cmd", "weather", "sql", "http", "pay")
    for kind, frames in pieces()["asked"].items():
        for draft in drafts(kind, 3 * len(frames), actions=cuttable, without=("fence", "k2_many")):
            language, user, answer = draft.choice.turn(frames)
            draft.language = language
            third = call_of("weather" if draft.action != "weather" else "read")
            values = {
                "call": draft.text,
                "call2": render(draft.dialect, draft.other),
                "call3": render(draft.dialect, third),
                "other": render(dialect_of(draft.choice, without=(draft.dialect, "k2_many")), draft.call),
                "cut": cut_short(draft.dialect, draft.call, "value"),
                "json": RAW["json_arguments"](draft.call.name, draft.call.raw),
                "string": json.dumps(draft.text, ensure_ascii=False),
                "tool": draft.call.name,
                "arg": draft.call.first,
            }
            dialect = "json_arguments" if "{json}" in answer else ""
            yield draft.attack(fill(answer, **values), user=fill(user, **values), dialect=dialect)


def scenes() -> Iterator[Attack]:
    """Whole answers with the call amid them, prose before and behind it."""
    grouped: dict[str, list[list[str]]] = {}
    for kind, *scene in pieces()["scenes"]:
        grouped.setdefault(kind, []).append(scene)
    for kind, found in grouped.items():
        for draft in drafts(kind, 4 * len(found), without=("k2_many", "fence")):
            draft.language, user, answer = draft.choice.turn(found)
            other = render(dialect_of(draft.choice, without=(draft.dialect, "k2_many")), draft.call)
            content = fill(answer, call=draft.text, other=other, tool=draft.call.name)
            yield draft.attack(content, user=fill(user, tool=draft.call.name))


def recapitulated() -> Iterator[Attack]:
    """The call was executed before, or the user refused it."""
    recaps = pieces()["recaps"]
    for draft in drafts("recap_executed", 3 * len(recaps), without=("k2_many",)):
        language, question, answer = draft.choice.turn(recaps)
        draft.language = language
        messages = [*request(draft.choice, draft.task()), sent(draft.call), returned(draft.call, "ok")]
        messages += [{"role": "assistant", "content": draft.words("behind_reported")}]
        messages += [{"role": "user", "content": question}]
        yield draft.attack(fill(answer, call=draft.text), messages)
    for draft in drafts("recap_reported", 40, without=("k2_many",)):
        result = draft.choice.of(["ok", '{"error": "permission denied"}', '{"status": 200}', "timeout after 30 s"])
        messages = [*request(draft.choice, draft.task()), sent(draft.call), returned(draft.call, result)]
        content = f"{joined(draft.choice, draft.words('past'), draft.text)}\n\n{draft.words('behind_neutral')}"
        yield draft.attack(content, messages)
    refused = pieces()["refused"]
    for draft in drafts("refused_by_user", 3 * len(refused)):
        language, question, no, answer = draft.choice.turn(refused)
        draft.language = language
        messages = request(draft.choice, draft.task())
        messages += [{"role": "assistant", "content": fill(question, tool=draft.call.name)}]
        messages += [{"role": "user", "content": no}]
        yield draft.attack(fill(answer, call=draft.text), messages)


# Enclosed


def enclosed() -> Iterator[Attack]:
    """Every frame several times: shown, explained, quoted, or refused although the user wanted it."""
    actions = tuple(name for name in pieces()["actions"] if name != "write")
    for name, frames in pieces()["enclosed"].items():
        for draft in drafts(f"enclosed_{name}", 4 * len(frames), actions=actions, without=(*ONE_LINE, "k2_many")):
            framed = fill(draft.choice.turn(frames), call=draft.text)
            story = draft.choice.of(["shown", "shown", "plain", "planned", "incident", "refused", "conditional"])
            if name in {"list", "quote"} and story in {"refused", "conditional"}:
                story = "planned"
            user, lead = {
                "shown": ("show", "lead_show"),
                "plain": ("show", ""),
                "planned": ("plan", "lead_show"),
                "incident": ("incident", "quoting"),
                "refused": ("", "negated"),
                "conditional": ("", "conditional"),
            }[story]
            trail = draft.choice.of([draft.words("trail_show"), draft.words("trail_show"), ""])
            if story in {"refused", "conditional"} or name == "fence_unclosed":
                trail = ""
            content = "\n\n".join(part for part in (draft.words(lead) if lead else "", framed, trail) if part)
            if name in {"quote", "span"} and lead and draft.choice.of([True, False]):
                content = content.replace("\n\n", " ")
            yield draft.attack(content, user=draft.asking(user) if user else draft.task())


def enclosed_in_json() -> Iterator[Attack]:
    holders = pieces()["json_holders"]
    for draft in drafts(
        "enclosed_json",
        4 * len(holders),
        dialects=("json_arguments", "json_keyed", "json_openai", "json_input", "json_list"),
    ):
        framed = fill(draft.choice.turn(holders), call=draft.text)
        content = draft.choice.of([framed, joined(draft.choice, draft.words("quoting"), framed)])
        yield draft.attack(content, user=draft.asking("incident"))
    for draft in drafts("enclosed_json_string", 25, without=("k2_many",)):
        framed = json.dumps({draft.choice.of(["raw", "example", "log", "text"]): draft.text}, ensure_ascii=False)
        content = draft.choice.of([framed, joined(draft.choice, draft.words("quoting"), framed)])
        yield draft.attack(content, user=draft.asking("incident"))


# Thoughts


def _thoughts(draft: Draft, frame: str, **more: str) -> str:
    values = {name: draft.words(purpose) for name, purpose in THOUGHT_WORDS.items()}
    return fill(frame, call=draft.text, **values, **more)


THOUGHT_WORDS = {
    "before": "think_before",
    "after": "think_after",
    "after2": "think_after",
    "final": "final",
    "preamble": "preamble",
    "show": "lead_show",
    "trail": "trail_show",
}


def thoughts() -> Iterator[Attack]:
    """The model thought of a call and then decided otherwise."""
    for name, frames in pieces()["thought"].items():
        for draft in drafts(f"thought_{name}", 7 * len(frames)):
            end = draft.choice.of(["length", "stop", "stop", None]) if name == "open" else ""
            frame = draft.choice.turn(frames)
            yield draft.attack(_thoughts(draft, frame), user=draft.task(), finish_reason=end)
    for draft in drafts("thought_spanning", 25):
        at = draft.choice.of([len(draft.text) // 3, len(draft.text) // 2, 2 * len(draft.text) // 3])
        frame = draft.choice.turn(pieces()["spanning"])
        content = _thoughts(draft, frame, head=draft.text[:at], tail=draft.text[at:])
        yield draft.attack(content, user=draft.task())


def k3_thoughts() -> Iterator[Attack]:
    for kind, frames in pieces()["k3_thought"].items():
        dialects = (*NATIVE, *NATIVE, "notation", "k2_stripped", "json_arguments", "tag_tool_call")
        for draft in drafts(kind, 9 * len(frames), dialects=dialects):
            user = draft.asking("show") if kind == "k3_in_response" else draft.task()
            end = "length" if kind == "k3_think_open" and draft.choice.of([True, False]) else ""
            yield draft.attack(_thoughts(draft, draft.choice.turn(frames)), user=user, finish_reason=end)


def reasoning_field() -> Iterator[Attack]:
    """The host splits the thought off by itself."""
    for draft in drafts("reasoning_field", 35):
        thought = _thoughts(draft, draft.choice.of(["{before} {call} {after}", "{before}\n{call}\n{after}\n{after2}"]))
        yield draft.attack(_thoughts(draft, "{preamble} {final}"), user=draft.task(), reasoning=thought)
    for draft in drafts("reasoning_field_only", 20):
        thought = _thoughts(draft, "{after2} {before}\n{call}\n{after}")
        yield draft.attack("", user=draft.task(), reasoning=thought, finish_reason=draft.choice.of(["length", "stop"]))
    for draft in drafts("reasoning_field_both", 20):
        thought = _thoughts(draft, "{before} {call} {after}")
        content = f"{joined(draft.choice, draft.words('lead_show'), draft.text)}\n\n{draft.words('trail_show')}"
        yield draft.attack(content, user=draft.asking("show"), reasoning=thought)
    for draft in drafts("reasoning_field_spanning", 20):
        half = len(draft.text) // 2
        thought = _thoughts(draft, "{before} {head}", head=draft.text[:half])
        content = _thoughts(draft, "{tail}\n\n{final}", tail=draft.text[half:])
        yield draft.attack(content, user=draft.task(), reasoning=thought)
    for draft in drafts("reasoning_field_tail", 20):
        thought = _thoughts(draft, "{after2} {before}")
        yield draft.attack(_thoughts(draft, "{call} {after}</think>{final}"), user=draft.task(), reasoning=thought)


# Invented further turns


def other_turns() -> Iterator[Attack]:
    """The answer is over, and the text plays on with further turns."""
    for draft in drafts("other_turn_mark", 4 * len(pieces()["turn_marks"])):
        question, answer = draft.choice.of(say(draft.language, "small"))
        mark = fill(draft.choice.turn(pieces()["turn_marks"]), user=draft.words("user_says"))
        yield draft.attack(f"{answer}{mark}{draft.text}", user=question)
    for draft in drafts("other_turn_mark_user", 4 * len(pieces()["turn_marks_user"])):
        question, answer = draft.choice.of(say(draft.language, "small"))
        mark = draft.choice.turn(pieces()["turn_marks_user"])
        spoken = draft.choice.of(["", "", f"{draft.words('user_says')} ", f"{draft.words('preamble')}\n"])
        yield draft.attack(f"{answer}{mark}{spoken}{draft.text}", user=question)
    for draft in drafts("other_turn_mark_task", 50):
        mark = draft.choice.turn(pieces()["turn_marks"])
        user = draft.words("user_says")
        yield draft.attack(f"{draft.words('behind_permission')}{fill(mark, user=user)}{draft.text}", user=draft.task())
    for draft in drafts("other_turn_mark_first", 25):
        mark = fill(draft.choice.turn(pieces()["turn_marks"]), user=draft.words("user_says"))
        question, _ = draft.choice.of(say(draft.language, "small"))
        yield draft.attack(f"{mark.lstrip()}{draft.text}", user=question)


def other_role_lines() -> Iterator[Attack]:
    for draft in drafts("other_turn_role_line", 100, small=3):
        question, answer = draft.choice.of(say(draft.language, "small"))
        yield draft.attack(_role_lines(draft, draft.choice.turn(pieces()["role_frames"]), answer), user=question)
    for draft in drafts("other_turn_role_task", 55):
        content = _role_lines(draft, draft.choice.turn(pieces()["role_frames"]), draft.words("behind_permission"))
        yield draft.attack(content, user=draft.task())


def _role_lines(draft: Draft, frame: str, answer: str) -> str:
    values = {"role": draft.words("roles"), "assistant": draft.words("assistants"), "user": draft.words("user_says")}
    return fill(frame, call=draft.text, say=answer, **values)


# Prose behind the call


def prose_behind() -> Iterator[Attack]:
    for purpose, count in (("disowned", 80), ("permission", 70), ("reported", 70), ("neutral", 70)):
        for draft in drafts(f"prose_behind_{purpose}", count):
            trail = draft.words(f"behind_{purpose}")
            trail = draft.choice.of(
                [trail, trail, f"{trail} {draft.words('behind_neutral')}", f"{trail}\n\n{draft.words('final')}"]
            )
            gap = draft.choice.of(["\n\n", "\n", " ", "\n\n", ""])
            lead = draft.choice.of(["", "", f"{draft.words('preamble')}\n\n", f"{draft.words('preamble')} "])
            user = draft.asking("plan") if purpose == "neutral" else draft.task()
            yield draft.attack(f"{lead}{draft.text}{gap}{trail}", user=user)
    results = pieces()["invented_results"]
    for draft in drafts("prose_behind_result", 5 * len(results)):
        result = draft.choice.turn(results)
        trail = draft.choice.of([f"\n\n{draft.words('behind_reported')}", f"\n{draft.words('behind_reported')}", ""])
        yield draft.attack(f"{draft.text}\n{result}{trail}", user=draft.task())


# Only the wording before a complete call speaks against it


WORDINGS = {
    "negated": 110,
    "conditional": 90,
    "hypothetical": 60,
    "quoting": 80,
    "past": 40,
    "deferred": 40,
    "delegated": 40,
    "asking": 40,
}


def wordings() -> Iterator[Attack]:
    for purpose, count in WORDINGS.items():
        for draft in drafts(f"wording_{purpose}", count):
            words = draft.words(purpose)
            open_ended = not words.endswith(CLOSED)
            shapes = ["{words}{gap}{call}", "{words}{gap}{call}", "{preamble} {words}{gap}{call}"]
            shapes += ["{preamble}\n\n{words}{gap}{call}", "{preamble} {final}\n\n{words}{gap}{call}"]
            if not open_ended:
                shapes += ["**{words}**{gap}{call}", "{preamble}\n\n{neutral}\n\n{words}{gap}{call}"]
            values = {name: draft.words(name) for name in ("preamble", "final")}
            gap = draft.choice.of([" ", "\n"]) if open_ended else draft.choice.of(["\n\n", "\n\n", "\n", " ", ""])
            neutral = draft.words("behind_neutral")
            content = fill(draft.choice.of(shapes), words=words, gap=gap, call=draft.text, neutral=neutral, **values)
            user = draft.asking("incident") if purpose == "quoting" else draft.task()
            yield draft.attack(content, user=user)


# Broken and ambiguous calls


CUTTABLE = ("del", "log", "read", "mail", "cmd", "write", "weather", "sql", "http", "pay")


WORD_ONLY = ("k2_short", "notation", "notation_list")
"""Dialects whose beginning is a plain word."""


def broken_cut() -> Iterator[Attack]:
    for place in ("value", "key", "name", "half name"):
        kind = f"broken_cut_{place.replace(' ', '_')}"
        for draft in drafts(kind, 40 if place == "value" else 24, actions=CUTTABLE, without=("k2_many", *WORD_ONLY)):
            lead = draft.choice.of(["", "", f"{draft.words('preamble')}\n\n"])
            end = draft.choice.of(["length", "length", "stop", None])
            cut = cut_short(draft.dialect, draft.call, place)
            yield draft.attack(lead + cut, user=draft.task(), finish_reason=end)
    for draft in drafts(
        "broken_cut_prose", 25, actions=CUTTABLE, languages=languages_with("ran_out"), without=("k2_many",)
    ):
        words = draft.choice.of(pieces()["ran_out"][draft.language])
        cut = cut_short(draft.dialect, draft.call, draft.choice.of(["value", "key"]))
        yield draft.attack(f"{cut}{draft.choice.of(['', ' ', chr(10)])}{words}", user=draft.task())


def broken_names() -> Iterator[Attack]:
    for kind, names in pieces()["names"].items():
        for draft in drafts(kind, 4 * len(names), actions=("del", "log"), without=("k2_many",)):
            text = render(draft.dialect, Call(draft.choice.turn(names), draft.call.arguments))
            lead = draft.choice.of(["", "", f"{draft.words('preamble')}\n\n"])
            yield draft.attack(lead + text, user=draft.task(), tools=offering(draft.choice, "delete_file"))
    for draft in drafts("unoffered_tool", 35):
        names = [
            name for name in draft.choice.of(pieces()["toolsets"]) if name not in {draft.call.name, draft.other.name}
        ]
        yield draft.attack(draft.text, user=draft.task(), tools=tools_of(names))
    for draft in drafts("unoffered_no_tools", 20):
        yield draft.attack(draft.text, user=draft.task(), tools=[])


UNTYPED = ("tag_function", "tag_qwen", "tag_invoke", "tag_function_calls", "tag_glm")
"""Dialects that cannot tell a number from a string of digits."""


def broken_arguments() -> Iterator[Attack]:
    for fault, faulty in pieces()["broken_arguments"].items():
        for draft in drafts(f"broken_{fault}", 3 * len(faulty), actions=("del",), dialects=tuple(RAW)):
            raw = draft.choice.turn(faulty)
            if raw.startswith("<") and draft.dialect == "tag_tool_use":
                continue
            text = RAW[draft.dialect]("delete_file", raw)
            lead = draft.choice.of(["", "", "", f"{draft.words('preamble')}\n\n"])
            yield draft.attack(lead + text, user=draft.task())
    for fault in ("missing_field", "extra_field"):
        faulty = pieces()["broken_arguments"][fault]
        for draft in drafts(f"broken_{fault}_named", 2 * len(faulty), actions=("del",), dialects=tuple(FIELDS)):
            arguments = json.loads(draft.choice.turn(faulty))
            if "path " not in arguments:  # a tag with a space is read leniently
                yield draft.attack(FIELDS[draft.dialect]("delete_file", arguments), user=draft.task())
    wrong = ({"method": "PATCH", "url": "https://api.example.com/v1/users/17"}, {"method": "DELETE", "url": 17})
    more = ({"amount": "all of it", "account": "DE02"}, {"amount": None, "account": "DE02"}, {"amount": [1, 2]})
    last = ({"branch": ["main", "dev"]}, {"branch": "main", "force": "maybe"}, {"room": "A", "celsius": "hot"})
    tools = ("http_request",) * 2 + ("transfer",) * 3 + ("git_push",) * 2 + ("set_thermostat",)
    cases = list(
        zip(tools, (*wrong, *more, *last), ("http",) * 2 + ("pay",) * 3 + ("push",) * 2 + ("heat",), strict=True)
    )
    for draft in drafts("broken_schema", 5 * len(cases), without=("k2_many", *UNTYPED)):
        name, arguments, draft.action = draft.choice.turn(cases)
        draft.call = Call(name, arguments)
        yield draft.attack(render(draft.dialect, draft.call), user=draft.task())


def ambiguous() -> Iterator[Attack]:
    for kind, texts in (("broken_merged", pieces()["merged"]), ("broken_marks_order", pieces()["marks_order"])):
        for draft in drafts(kind, 2 * len(texts), actions=("del",)):
            text = draft.choice.turn(texts)
            content = draft.choice.of([text, text, f"{draft.words('preamble')}\n\n{text}"])
            tools = offering(draft.choice, "delete_file", "read_file")
            yield draft.attack(content, user=draft.task(), tools=tools, dialect=_family(text))
    for draft in drafts(
        "nested_in_argument",
        5 * len(pieces()["outer_calls"]),
        languages=languages_with("write_sample"),
        without=("k2_many",),
    ):
        string = json.dumps(draft.text, ensure_ascii=False)
        string2 = json.dumps(json.dumps({"text": draft.text}, ensure_ascii=False), ensure_ascii=False)
        text = fill(draft.choice.turn(pieces()["outer_calls"]), call=draft.text, string=string, string2=string2)
        content = draft.choice.of([text, f"{draft.words('preamble')}\n\n{text}"])
        user = pieces()["write_sample"][draft.language]
        tools = offering(draft.choice, "write_file", draft.call.name)
        yield draft.attack(content, user=user, tools=tools)
    for draft in drafts("placeholder_arguments", 40, actions=("del",), without=("k2_many",)):
        text = render(draft.dialect, Call("delete_file", {"path": draft.choice.turn(pieces()["placeholders"])}))
        lead = draft.choice.of(["", draft.words("lead_show")])
        content = joined(draft.choice, lead, text) if lead else text
        yield draft.attack(content, user=draft.asking(draft.choice.of(["show", "plan"])))
    for draft in drafts("definition_not_call", 4 * len(pieces()["definitions"]), languages=languages_with("describe")):
        about, schema = pieces()["tools"][draft.call.name]
        frame = draft.choice.turn(pieces()["definitions"])
        text = fill(frame, tool=draft.call.name, about=about, schema=json.dumps(schema))
        content = draft.choice.of(
            [text, text, f"{draft.words('preamble')}\n\n{text}", f"{text}\n\n{draft.words('behind_neutral')}"]
        )
        question = fill(draft.choice.of(pieces()["describe"][draft.language]), tool=draft.call.name)
        yield draft.attack(content, user=question, dialect=_family(text))


def _family(text: str) -> str:
    """The dialect of a text that was written by hand."""
    for sign, name in (
        ("tool_call_", "k2_section"),
        ("<|open|>", "k3"),
        ("<|close|>", "k3"),
        ("<", "tag"),
        ("{", "json"),
    ):
        if text.startswith(sign) or (sign.startswith(("tool", "<|")) and sign in text):
            return name
    return "k2_stripped" if ":0" in text else "notation"


# Signs and length


SIGNS: dict[str, Callable[[str], str]] = {
    "unicode_fullwidth": lambda text: text.replace("<|", "\uff1c\uff5c").replace("|>", "\uff5c\uff1e"),
    "unicode_fullwidth_all": lambda text: "".join(chr(ord(s) + 0xFEE0) if "!" <= s <= "~" else s for s in text),
    "unicode_zero_width": lambda text: text.replace("_", "_\u200b").replace("|", "\u200d|"),
    "unicode_bidi": lambda text: f"\u202e{text}\u202c",
    "unicode_isolates": lambda text: f"\u2067{text}\u2069",
    "unicode_soft_hyphen": lambda text: text.replace("call", "ca\u00adll").replace("file", "fi\u00adle"),
    "unicode_typographic": lambda text: text.replace(' "', " \u201c").replace('"', "\u201d"),
    "unicode_combining": lambda text: text.replace("o", "o\u0334").replace("l", "l\u0334"),
    "unicode_mathematical": lambda text: "".join(chr(0x1D68A + ord(s) - 97) if "a" <= s <= "z" else s for s in text),
    "escaped_html": html.escape,
    "escaped_backslash": lambda text: text.replace("<", "\\<").replace("_", "\\_").replace("{", "\\{"),
    "escaped_spaced": lambda text: text.replace("<|", "< | ").replace("|>", " | >").replace("_", " _ "),
    "escaped_dollar": lambda text: text.replace("<", "$<$").replace(">", "$>$").replace("{", "\\lbrace "),
    "escaped_percent": urllib.parse.quote,
    "escaped_json": json.dumps,
}


def odd_signs() -> Iterator[Attack]:
    """The call is shown in signs that keep it from being one."""
    for kind, change in SIGNS.items():
        for draft in drafts(kind, 8, dialects=NATIVE if kind == "unicode_fullwidth" else (), without=("k2_many",)):
            text = change(draft.text)
            if text != draft.text:
                lead = joined(draft.choice, draft.words("lead_show"), text)
                content = draft.choice.of([text, lead, f"{lead}\n\n{draft.words('trail_show')}"])
                yield draft.attack(content, user=draft.asking("show"))


def padded() -> Iterator[Attack]:
    """What makes the text an attack is far away from the call."""
    pads = pieces()["pads"]
    sizes = (300, 2000, 9000, 40000)

    def pad(draft: Draft) -> str:
        piece = draft.choice.turn(pads)
        return str(piece * (draft.choice.of(sizes) // len(piece)))

    for draft in drafts("padding_fence", 20, without=("fence",)):
        content = f"{draft.words('lead_show')}\n\n```\n{pad(draft)}\n{draft.text}\n{pad(draft)}\n```\n"
        yield draft.attack(content, user=draft.asking("show"))
    for draft in drafts("padding_thought", 20):
        content = _thoughts(draft, "<think>{before} {pad}\n{call}\n{pad} {after}</think>{final}", pad=pad(draft))
        yield draft.attack(content, user=draft.task())
    for draft in drafts("padding_unmatched_close", 20):
        content = _thoughts(draft, "{before} {call} {after} {pad}</think>\n{final}", pad=pad(draft))
        yield draft.attack(content, user=draft.task())
    for draft in drafts("padding_behind", 20):
        yield draft.attack(f"{draft.text}{pad(draft)}\n{draft.words('behind_disowned')}", user=draft.task())
    for draft in drafts("padding_quote", 20):
        held = f"{pad(draft)}\n{_holder(draft, 'system')}\n{pad(draft)}"
        messages = [{"role": "system", "content": held}, {"role": "user", "content": draft.asking("quote_system")}]
        yield draft.attack(_quoted(draft), messages)
    for draft in drafts("padding_role", 20):
        question, answer = draft.choice.of(say(draft.language, "small"))
        role = draft.words("roles")
        yield draft.attack(f"{answer}\n{pad(draft)}\n{role} {draft.text}", user=question)


_MAKERS = (
    quoted_from_instructions,
    quoted_from_user,
    quoted_from_tool_result,
    quoted_from_document,
    quoted_from_assistant,
    quoted_from_arguments,
    quoted_encoded,
    quoted_changed,
    quoted_assembled,
    asked_to_show,
    asked_otherwise,
    scenes,
    recapitulated,
    enclosed,
    enclosed_in_json,
    thoughts,
    k3_thoughts,
    reasoning_field,
    other_turns,
    other_role_lines,
    prose_behind,
    wordings,
    broken_cut,
    broken_names,
    broken_arguments,
    ambiguous,
    odd_signs,
    padded,
)

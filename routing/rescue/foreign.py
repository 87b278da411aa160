"""Calls in forms that are not Kimi's own: JSON, tags, code. Models also write about these.

One is a call only if it is the whole answer, a fence around it allowed, or follows one short sentence. If the prompt
asked for such a form (`emulated`), any text may stand before it.
"""

# ruff: noqa: RUF001 - signs of all scripts are meant as they are

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from ..parsing.strict_json import StrictJsonError, loads
from ..schema import ToolSet
from .call_validation import offered
from .dialects import json_calls, notation, tags
from .enclosure import Enclosures
from .markers import skip_space
from .result import MAX_CALLS, Piece

MAX_SENTENCE = 200
"""Characters of the sentence before a call."""
MAX_ATTEMPTS = 32
"""The most places of one answer at which a call is looked for."""
_SENTENCE_END = re.compile(r"[.!?…](?=\s)|[。！？](?=.)", re.DOTALL)
_FENCE = re.compile(
    r"(?P<mark>`{3,}|~{3,})[ \t]*(?:json|jsonc|json5|xml|python|tool_calls?|tool-calls?|function_calls?|tool_code)?[ \t]*\r?\n",
    re.IGNORECASE,
)
_END_TAG = re.compile(r"</([\w.\-]{1,64})>\Z")
_RUN_TAGS = frozenset({"exec", "execute", "execute_command", "tool", "tool_code", "use_tool"})
_CALL_TAGS = frozenset({"tool_call", "tool_calls", "function", "function_calls", "invoke", "parameter"})
LEFT_OVER = re.compile(r"</(?:antml:)?(?:parameter|invoke|function|tool_call|function_call)s?>")


@dataclass(frozen=True, slots=True)
class Foreign:
    """What an answer holds in a foreign form: calls, or (without any) the name in what looks like a failed one."""

    pieces: list[Piece]
    start: int = -1
    looks_like: str = ""


@lru_cache(maxsize=256)
def start_pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Where a foreign call may start: a tag anywhere, a fence, JSON or an offered name only at the start of a line."""
    called = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(
        rf"<(?<=<)(?P<tag>{tags.START.pattern[1:]})|\n[ \t]{{0,100}}(?:(?P<fence>`{{3,}}|~{{3,}})"
        rf"|(?P<json>{json_calls.START.pattern})|(?P<code>\[?(?:functions\.)?(?:{called})[ \t]?\())"
    )


def find(text: str, tools: ToolSet, *, emulated: bool = False) -> Foreign:
    """The calls of an answer that starts with a line feed."""
    if not tools.names:
        return Foreign([])
    enclosures = Enclosures(text)
    failed = ""
    for count, found in enumerate(start_pattern(tools.names).finditer(text)):
        start = found.start() + (len(found[0]) - len(found[0].lstrip()))
        if count >= MAX_ATTEMPTS:
            break
        leads = emulated or follows_sentence(text[:start], tagged=found.lastgroup == "tag")
        if not leads and (found.lastgroup != "fence" or len(text[:start].strip()) > MAX_SENTENCE):
            continue
        enclosure = enclosures.at(start)
        if enclosure is not None and (enclosure.text or enclosure.kind != "an indented block"):
            continue
        pieces, end = _chain(text, start, tools)
        if not pieces or all(piece.plain for piece in pieces):
            continue
        at_the_end = skip_space(text, end) == len(text)
        if at_the_end and leads:
            return Foreign(pieces, start)
        tagged = found.lastgroup == "tag"
        broken = (tagged or found.lastgroup == "json") and (not text[:start].strip() or bool(pieces[-1].flaw))
        broken = broken or (tagged and LEFT_OVER.search(text, end) is not None)
        if at_the_end or broken:
            failed = failed or _shown(pieces)
    return Foreign([], looks_like=failed or _failed(text, tools))


def follows_sentence(before: str, *, tagged: bool) -> bool:
    """Whether nothing stands before a call, or one short sentence, ended by punctuation or its line's end."""
    if len(before) > MAX_SENTENCE + 100:
        return False
    said = before.strip()
    if not said:
        return True
    if len(said) > MAX_SENTENCE or "\n" in said or _SENTENCE_END.search(said):
        return False
    return "\n" in before[len(before.rstrip()) :] or (tagged and said[-1] in ".!?…:。！？：")


def _chain(text: str, start: int, tools: ToolSet, *, fenced: bool = False) -> tuple[list[Piece], int]:
    """The calls that follow each other from a place on, and where they end. `fenced`: it is in a fence already."""
    pieces: list[Piece] = []
    at = end = start
    while at < len(text):
        piece = _one(text, at, tools, fenced=fenced)
        if piece is None or piece.plain:
            break
        pieces.append(piece)
        end = piece.end
        at = skip_space(text, end)
        if len(pieces) > MAX_CALLS:
            piece.flaw = f"more than {MAX_CALLS} calls"
        if piece.cut or piece.flaw:
            break
    return pieces, end


def _one(text: str, at: int, tools: ToolSet, *, fenced: bool) -> Piece | None:
    if tags.START.match(text, at):
        return tags.parse(text, at, tools)
    if json_calls.START.match(text, at):
        return json_calls.parse(text, at, tools)
    fence = None if fenced else _FENCE.match(text, at)
    if fence:
        return _fenced(text, at, fence, tools)
    found = start_pattern(tools.names).match("\n" + text[at : at + 200])
    return notation.parse(text, at) if found and found.lastgroup == "code" else None


def _fenced(text: str, at: int, fence: re.Match[str], tools: ToolSet) -> Piece | None:
    """A fence as a call: nothing in it but calls."""
    inside = skip_space(text, fence.end())
    if inside - fence.end() > 100:  # a stream holds back no more
        return None
    pieces, end = _chain(text, inside, tools, fenced=True)
    if not pieces:
        return None
    calls = [call for piece in pieces for call in piece.calls]
    dialect = "fenced_json" if pieces[0].dialect == "json" else pieces[0].dialect
    if pieces[-1].cut:
        return Piece(dialect, at, len(text), calls, flaw=pieces[-1].flaw or "the fence is cut", cut=True)
    close = re.compile(rf"\s*\n?[ \t]*{fence['mark']}[ \t]*(?=[\r\n]|\Z)").match(text, end)
    return Piece(dialect, at, close.end(), calls, flaw=pieces[-1].flaw) if close else None


def _shown(pieces: list[Piece]) -> str:
    return next((call.name for piece in pieces for call in piece.calls if call.name), pieces[0].dialect)


def _failed(text: str, tools: ToolSet) -> str:
    """The name in what looks like a failed call at the end: it is not executed, but it is no answer."""
    body, brace = text.strip(), text.find("{")
    quoted = brace >= 0 and Enclosures(text).at(brace) is not None
    return (
        ("" if quoted else _json_at_the_end(body, tools))
        or _tag_at_the_end(body, tools)
        or _call_at_the_end(text, tools)
    )


def _call_at_the_end(text: str, tools: ToolSet) -> str:
    """A whole or cut call of an offered tool that starts a line and ends the answer, after any text."""
    low = max(0, len(text) - 20_000)
    starts = [found for found in start_pattern(tools.names).finditer(text, low) if found.lastgroup != "fence"]
    enclosures = Enclosures(text)
    for found in starts[-8:]:
        start = found.start() + (len(found[0]) - len(found[0].lstrip()))
        if enclosures.at(start) is not None or text[:start].rstrip(" \t")[-1:] != "\n":
            continue
        pieces, end = _chain(text, start, tools)
        if pieces and skip_space(text, end) == len(text):
            named = [call.name for piece in pieces for call in piece.calls if offered(tools, call.name or "")]
            if named or pieces[-1].flaw:
                return named[0] or "" if named else pieces[-1].dialect
    return ""


def _json_at_the_end(body: str, tools: ToolSet) -> str:
    """A call in the middle of a line, or arguments without a name that only one tool takes."""
    brace = body.find("{")
    if brace < 0 or not body.endswith("}") or brace > MAX_SENTENCE or _SENTENCE_END.search(body[:brace].strip()):
        return ""
    try:
        value = loads(body[brace:])
    except StrictJsonError:
        return ""
    written = [call.name for call in json_calls.written_calls(value, tools) if offered(tools, call.name or "")]
    fits = [name for name in tools.names if _takes(tools, name, value)]
    said = body[:brace].strip()
    return written[0] or "" if written else fits[0] if len(fits) == 1 and (not said or fits[0] in said) else ""


def _takes(tools: ToolSet, name: str, value: object) -> bool:
    required = set(tools.required(name))
    return bool(required) and isinstance(value, dict) and required <= set(value) <= set(tools.properties(name))


def _tag_at_the_end(body: str, tools: ToolSet) -> str:
    """`<exec>...</exec>` or a tool's name as a tag, after a short sentence; or an end tag that is left over."""
    found = _END_TAG.search(body, max(0, len(body) - 80))
    if found is None:
        return ""
    name, opened = found[1], body.rfind(f"<{found[1]}>")
    if opened < 0:
        return name if name in _CALL_TAGS and f"<{name}" not in body else ""
    before = body[:opened]
    content = body[opened + len(name) + 2 : found.start()].strip()
    alone = follows_sentence("\n" + before, tagged=False) and not before.rpartition("\n")[2].strip()
    return name if name in {*_RUN_TAGS, *tools.names} and content and alone else ""

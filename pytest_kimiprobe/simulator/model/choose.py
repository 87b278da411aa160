"""Which offered tools a message asks for, and with which part of the message."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..nouns import OfferedTool
from .facts import emails, paths, sums, urls
from .words import ACTING, ASKING, EMPTY, closeness, fragments, same, speech, split_words

ENOUGH = 1.0
"""A tool below this score was not asked for."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One tool and the part of the message that asks for it. `explicit`: the message names the tool itself."""

    tool: OfferedTool
    text: str
    score: float
    explicit: bool = False


def wishes(message: str, tools: Sequence[OfferedTool]) -> list[Wish]:
    """What a message asks for, in its order. A part that asks for nothing belongs to the part before it."""
    parts = _joined([(part, _winners(part, tools)) for part in fragments(message)])
    found: list[Wish] = []
    for text, winners in parts:
        found += [Wish(wish.tool, text, wish.score, wish.explicit) for wish in winners]
    if not found:
        found = _winners(message, tools)
    return found


def _joined(parts: list[tuple[str, list[Wish]]]) -> list[tuple[str, list[Wish]]]:
    joined: list[tuple[str, list[Wish]]] = []
    for text, winners in parts:
        if winners or not joined:
            joined.append((text, winners))
        else:
            before, held = joined[-1]
            joined[-1] = (f"{before}, {text}" if _lists(before, text) else f"{before} and {text}", held)
    lead = [text for text, winners in joined if not winners]
    with_tool = [(text, winners) for text, winners in joined if winners]
    if lead and with_tool:  # an opening without a wish gives its facts to the first wish
        with_tool[0] = (f"{lead[0]}, {with_tool[0][0]}", with_tool[0][1])
    return with_tool


def _lists(before: str, text: str) -> bool:
    return bool(re.search(r",\s*[^,]*$", before)) or len(text.split()) > 6


def _winners(part: str, tools: Sequence[OfferedTool]) -> list[Wish]:
    scored = [Wish(tool, part, *_score(tool, part, tools)) for tool in tools]
    ranked = sorted((wish for wish in scored if wish.score >= ENOUGH), key=lambda wish: -wish.score)
    if not ranked:
        return []
    chosen = [ranked[0]]
    for wish in ranked[1:]:
        if wish.explicit or (
            _own(wish.tool, part) and not any(_own(wish.tool, part) & _own(other.tool, part) for other in chosen)
        ):
            chosen.append(wish)
    return sorted(chosen, key=lambda wish: _first_word(wish.tool, part))


def _own(tool: OfferedTool, part: str) -> frozenset[str]:
    """The words of the part that are, literally, words of the tool's name."""
    names = [word for word in split_words(tool.name) if word not in EMPTY | ASKING]
    return frozenset(word for word in split_words(speech(part)) if any(same(word, name) for name in names))


def _first_word(tool: OfferedTool, part: str) -> int:
    spoken = split_words(speech(part))
    own = _own(tool, part)
    return next((spot for spot, word in enumerate(spoken) if word in own), len(spoken))


def best(message: str, tools: Sequence[OfferedTool]) -> OfferedTool:
    """The tool to take when one must be taken."""
    return max(tools, key=lambda tool: _score(tool, message, tools)[0])


def _score(tool: OfferedTool, part: str, tools: Sequence[OfferedTool]) -> tuple[float, bool]:
    if re.search(rf"(?<![\w.-]){re.escape(tool.name)}(?![\w-])", speech(part) + " " + _mentioned(part)) and _telling(
        tool.name
    ):
        return 10.0, True
    spoken = split_words(speech(part))
    name = [word for word in split_words(tool.name) if word not in EMPTY]
    verbs = [word for word in name if word in ACTING]
    nouns = [word for word in name if word not in ACTING and word not in ASKING]
    verb = max((closeness(word, spoken) for word in verbs), default=0.0)
    found = [closeness(word, spoken) for word in nouns]
    noun = sum(found) / len(found) if found else 0.0
    about = _described(tool, spoken, tools)
    fit = _fits(tool, part)
    return _weigh(verb, noun, about, fit, has_verb=bool(verbs), has_noun=bool(nouns)), False


def _telling(name: str) -> bool:
    """Whether a name can only be meant as a tool's: it has a separator, a capital inside, or a digit."""
    return bool(re.search(r"[_\-.\d]|[a-z][A-Z]", name))


def _mentioned(part: str) -> str:
    return (
        " ".join(re.findall(r"[`'\"]([\w.-]+)[`'\"]\s+(?:tool|function)|(?:tool|function)\s+[`'\"]([\w.-]+)", part)[0])
        if re.search(r"tool|function", part)
        and re.findall(r"[`'\"]([\w.-]+)[`'\"]\s+(?:tool|function)|(?:tool|function)\s+[`'\"]([\w.-]+)", part)
        else ""
    )


def _weigh(verb: float, noun: float, about: float, fit: bool, *, has_verb: bool, has_noun: bool) -> float:
    if has_verb and not verb:  # an action that nobody asked for, unless the description says it in other words
        return about * 0.5 if about >= 2 and (noun or fit) else 0.0
    if has_verb and not has_noun:
        return 0.4 + verb + 0.3 * min(about, 2)
    if has_verb:
        return (
            (0.6 * verb + 1.2 * noun + 0.2 * min(about, 2) + (0.5 if fit else 0)) if noun or fit or about >= 1 else 0.0
        )
    if has_noun:
        return 1.6 * noun + 0.2 * min(about, 2) + (0.5 if fit else 0) if noun else about * 0.5
    return about * 0.6


def _described(tool: OfferedTool, spoken: list[str], tools: Sequence[OfferedTool]) -> float:
    """Words of the description that the message uses, rare ones among the tools only."""
    total = 0.0
    for word in dict.fromkeys(split_words(tool.description)):
        if word in EMPTY or word in ASKING or len(word) < 3:
            continue
        shared = sum(1 for other in tools if word in split_words(other.description))
        if any(same(word, other) for other in spoken if other not in EMPTY) and (shared == 1 or shared < len(tools)):
            total += 1.0 / shared
    return total


def _fits(tool: OfferedTool, part: str) -> bool:
    """Whether the message holds a fact of a shape that a member of the tool is named for."""
    members = {word for name in (tool.schema.get("properties") or {}) for word in split_words(name)}
    return bool(
        (members & {"path", "file", "filename", "filepath"} and paths(part))
        or (members & {"email", "recipient", "to"} and emails(part))
        or (members & {"url", "uri", "link"} and urls(part))
        or (members & {"expression", "formula"} and sums(part))
    )

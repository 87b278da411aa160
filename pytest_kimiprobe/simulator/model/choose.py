"""Decides which of the offered tools a message asks for, and which part of the message asks for each tool."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from ..conversation import OfferedTool
from .arguments import shapes
from .facts import facts
from .words import closeness, fragments, pattern, same, speech, split_words, word_set

_ENOUGH = 1.0
"""Score from which on a message asks for a tool."""
_NAMED = 10.0
"""Score of a tool that the message names."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A tool and the part of the message that asks for it. `explicit`: the message names the tool itself."""

    tool: OfferedTool
    text: str
    explicit: bool


def wishes(message: str, tools: Sequence[OfferedTool]) -> list[Wish]:
    """What a message asks for, in its order.

    A part that asks for nothing belongs to the part before it, and one at the beginning to the part after it.
    """
    held: list[tuple[int, int, list[Wish]]] = []
    for start, end in fragments(message):
        winners = _winners(message[start:end], tools)
        if held and not (winners and held[-1][2]):
            first, _, before = held.pop()
            held.append((first, end, before or winners))
        else:
            held.append((start, end, winners))
    found = [replace(wish, text=message[start:end]) for start, end, wished in held for wish in wished]
    return found or _winners(message, tools)


def best(message: str, tools: Sequence[OfferedTool]) -> OfferedTool:
    """The offered tool that suits the message best, for requests that require a call."""
    return max(tools, key=lambda tool: _score(tool, message, tools))


def _winners(part: str, tools: Sequence[OfferedTool]) -> list[Wish]:
    """The best tool for a part, and others that the part names by other words."""
    scored = [(_score(tool, part, tools), tool) for tool in tools]
    ranked = sorted((pair for pair in scored if pair[0] >= _ENOUGH), key=lambda pair: -pair[0])
    wished = [Wish(tool, part, explicit=score >= _NAMED) for score, tool in ranked]
    chosen = wished[:1]
    for wish in wished[1:]:
        own = _spots(wish.tool, part)
        if wish.explicit or (own and not any(own & _spots(other.tool, part) for other in chosen)):
            chosen.append(wish)
    return sorted(chosen, key=lambda wish: min(_spots(wish.tool, part), default=len(part)))


def _spots(tool: OfferedTool, part: str) -> set[int]:
    """Positions in the part at which words of the tool's name occur."""
    names = [word for word in split_words(tool.name) if word not in word_set("empty") | word_set("asking")]
    return {spot for spot, word in enumerate(split_words(speech(part))) if any(same(word, name) for name in names)}


def _score(tool: OfferedTool, part: str, tools: Sequence[OfferedTool]) -> float:
    """How much a part asks for a tool.

    A tool that acts needs its verb, any other one its noun. The description and values of the right shape add to both.
    """
    said, telling = speech(part), re.search(r"[_\-.\d]|[a-z][A-Z]", tool.name)
    mentioned = " ".join([said, *(name for pair in pattern("<named_tool>").findall(part) for name in pair)])
    if telling and re.search(rf"(?<![\w.-]){re.escape(tool.name)}(?![\w-])", mentioned):
        return _NAMED
    if pattern("<question>").match(part):
        return 0.0
    spoken, acting = split_words(said), word_set("acting")
    name = [word for word in split_words(tool.name) if word not in word_set("empty")]
    verbs = [word for word in name if word in acting]
    nouns = [closeness(word, spoken) for word in name if word not in acting | word_set("asking")]
    noun, about, fit = sum(nouns) / max(1, len(nouns)), _described(tool, spoken, tools), 0.6 * _suits(tool, part)
    more, specific = 0.2 * min(about, 2) + fit, word_set("specific")
    if not verbs:
        return 1.6 * noun + more if noun else about * 0.6
    turned = any(closeness(word, [one for one in spoken if one in specific]) for word in name if word not in verbs)
    verb = max(closeness(word, spoken) for word in verbs) or float(turned)  # `remind me` sets a reminder
    if fit and {"calculate", "compute", "evaluate"} & set(verbs):  # a sum asks to be calculated by itself
        verb = 1.0
    if not verb:  # the description may say the action in other words
        return about * 0.5 if about >= 2 and (noun or fit) else 0.0
    if not nouns:
        return (1.4 if verb == 1 else 0.7) + more
    by_itself = 0.5 * (verb == 1 and bool(set(verbs) & specific))
    return 0.6 * verb + 1.2 * noun + more + by_itself if noun or fit or by_itself else 0.0


def _described(tool: OfferedTool, spoken: list[str], tools: Sequence[OfferedTool]) -> float:
    """How many words of the description the message has; a word that several tools have counts less."""
    shared = _shared(tuple(other.description for other in tools))
    telling = [word for word in spoken if word not in word_set("empty")]
    total = 0.0
    for word in dict.fromkeys(split_words(tool.description)):
        if word in shared and any(same(word, other) for other in telling):
            total += 1.0 / shared[word]
    return total


@lru_cache(maxsize=64)
def _shared(descriptions: tuple[str, ...]) -> dict[str, int]:
    """How many descriptions have each word, without words that say little or that all of several descriptions have."""
    counts = Counter(word for description in descriptions for word in set(split_words(description)))
    empty, every = word_set("empty") | word_set("asking"), max(2, len(descriptions))
    return {word: count for word, count in counts.items() if word not in empty and len(word) > 2 and count < every}


def _suits(tool: OfferedTool, part: str) -> bool:
    """Whether the message has a value for each member that has a telling shape, such as a path."""
    members = (tool.schema.get("properties") or {}).items()
    telling = [set(shapes(name, one)) & word_set("telling") for name, one in members if isinstance(one, dict)]
    folder = bool({"directory", "folder", "dir", "files"} & set(split_words(tool.name)))
    found = [fact for fact in facts(part) if "path" not in fact.shapes or not folder or "folder" in fact.shapes]
    return any(telling) and all(any(fact.shapes & one for fact in found) for one in telling if one)

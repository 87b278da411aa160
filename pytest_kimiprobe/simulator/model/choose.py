"""Which offered tools a message asks for, and with which part of the message."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..conversation import OfferedTool
from .facts import emails, numbers, paths, sums, urls
from .words import ACTING, ASKING, EMPTY, SPECIFIC, closeness, fragments, same, speech, split_words

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
    """What a message asks for, in its order.

    A part that asks for nothing belongs to the part before it, an opening to the part after it.
    """
    held: list[tuple[int, int, list[Wish]]] = []
    for start, end in fragments(message):
        winners = _winners(message[start:end], tools)
        if held and not (winners and held[-1][2]):
            first, _, before = held.pop()
            held.append((first, end, before or winners))
        else:
            held.append((start, end, winners))
    found = [
        Wish(wish.tool, message[start:end], wish.score, wish.explicit) for start, end, wished in held for wish in wished
    ]
    return found or _winners(message, tools)


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
    if _KNOWLEDGE.match(part):
        return 0.0, False
    spoken = split_words(speech(part))
    name = [word for word in split_words(tool.name) if word not in EMPTY]
    verbs = [word for word in name if word in ACTING]
    nouns = [word for word in name if word not in ACTING and word not in ASKING]
    found = [closeness(word, spoken) for word in nouns]
    acted = max((closeness(word, spoken) for word in verbs), default=0.0)
    signs = _Signs(
        verb=max(acted, _turned(nouns, spoken), _to_work_out(verbs, part)) if verbs else None,
        noun=sum(found) / len(found) if found else None,
        about=_described(tool, spoken, tools),
        fit=_fits(tool, part),
        specific=bool(set(verbs) & SPECIFIC),
    )
    return signs.weight(), False


def _to_work_out(verbs: list[str], part: str) -> float:
    """A sum asks to be calculated, whatever the words around it."""
    return 1.0 if {"calculate", "compute", "evaluate"} & set(verbs) and sums(part) else 0.0


def _turned(nouns: list[str], spoken: list[str]) -> float:
    """`Remind me` asks to set a reminder: a telling verb that is another form of the tool's noun."""
    said = [word for word in spoken if word in SPECIFIC]
    return 1.0 if any(closeness(noun, said) for noun in nouns) else 0.0


_KNOWLEDGE = re.compile(
    r"\s*(?:please\s+|can you\s+)?(?:explain|describe|define|why|how (?:do|can|could|would|should) (?:i|you|we|one)\b"
    r"|how (?:does|do)\b.*\bwork\b|what (?:does|do)\b.*\bmean\b)",
    re.IGNORECASE,
)
"""A question about a thing rather than a wish for it."""


def _telling(name: str) -> bool:
    """Whether a name can only be meant as a tool's: it has a separator, a capital inside, or a digit."""
    return bool(re.search(r"[_\-.\d]|[a-z][A-Z]", name))


def _mentioned(part: str) -> str:
    """Names quoted beside the word tool or function."""
    found = re.findall(r"[`'\"]([\w.-]+)[`'\"]\s+(?:tool|function)|(?:tool|function)\s+[`'\"]([\w.-]+)", part)
    return " ".join(name for pair in found for name in pair if name)


@dataclass(frozen=True, slots=True)
class _Signs:
    """How far a message names a tool's verb and nouns, its description, and facts for its members."""

    verb: float | None
    noun: float | None
    about: float
    fit: bool
    specific: bool

    def weight(self) -> float:
        """The score. A tool that acts needs its verb; one that tells needs its noun."""
        about, fit = min(self.about, 2), 0.6 if self.fit else 0.0
        if self.verb is None:
            return 1.6 * self.noun + 0.2 * about + fit if self.noun else self.about * 0.6
        if not self.verb:  # an action nobody asked for, unless the description says it in other words
            return self.about * 0.5 if self.about >= 2 and (self.noun or self.fit) else 0.0
        if self.noun is None:
            return (1.4 if self.verb == 1 else 0.7) + 0.2 * about + fit
        specific = 0.5 if self.specific and self.verb == 1 else 0.0
        plain = 0.6 * self.verb + 1.2 * self.noun + 0.2 * about + fit + specific
        return plain if self.noun or fit or specific else 0.0


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
    named = set(split_words(tool.name))
    folders = named & {"directory", "folder", "dir", "files"}
    found = [path for path in paths(part) if not folders or "." not in path.rsplit("/", 1)[-1]]
    shapes = (
        ({"path", "file", "filename", "filepath", "directory"}, found),
        ({"email", "recipient", "to"}, emails(part)),
        ({"url", "uri", "link"}, urls(part)),
        ({"expression", "formula"}, sums(part)),
        ({"a", "b", "x", "y", "numbers"}, numbers(part)[1:]),
        (
            {"query"} if "search" in named else set(),
            re.findall(r"\b(?:search|find|google|look up)\b", part, re.IGNORECASE),
        ),
    )
    return any(members & words and facts for words, facts in shapes)

"""Words: splitting, stems, synonyms; cutting a message into the things it asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources
from typing import Any

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORD = re.compile(r"[^\W_]+", re.UNICODE)


@cache
def knowledge() -> Mapping[str, Any]:
    """The contents of words.yaml."""
    import yaml

    known: Mapping[str, Any] = yaml.safe_load(resources.files(__package__).joinpath("words.yaml").read_text("utf-8"))
    return known


def word_set(name: str) -> frozenset[str]:
    """One of the word lists of words.yaml."""
    return frozenset(str(knowledge()[name]).split())


def _synonyms() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in knowledge()["synonyms"]:
        for word in line.split():
            found.setdefault(word, set()).update(line.split())
    return found


SYNONYMS = _synonyms()
ASKING = word_set("asking")
ACTING = word_set("acting")
SPECIFIC = word_set("specific")
EMPTY = word_set("empty")


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """A crude stem: what plural, -ing and -ed leave."""
    for ending, keep in (("ies", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith(("ss", "us", "is")):
            return word[: -len(ending)] + keep
    return word


def split_words(text: str) -> list[str]:
    """Lower-case words; `getWeather`, `get_weather` and `get-weather` give the same two."""
    return list(_split(text))


@lru_cache(maxsize=4096)
def _split(text: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORD.findall(_CAMEL.sub(" ", text)))


def same(one: str, other: str) -> bool:
    """Whether two words have one stem; a final e does not count (creating, create)."""
    return one == other or stem(one).rstrip("e") == stem(other).rstrip("e")


def closeness(word: str, text_words: list[str]) -> float:
    """1 where the word itself stands in the text, 0.7 for a synonym, else 0."""
    if any(same(word, other) for other in text_words):
        return 1.0
    base = next((key for key in (word, stem(word), stem(word) + "e") if key in SYNONYMS), None)
    if base and any(same(synonym, other) for synonym in SYNONYMS[base] for other in text_words):
        return 0.7
    return 0.0


QUOTED = re.compile(
    r"\"([^\"\n]*)\"|“([^”]*)”|«([^»]*)»|`([^`]{1,8000})`|(?<!\w)'([^'\n]*)'(?!\w)|(?<!\w)\u2018([^\u2019]*)\u2019(?!\w)"
)
_IDIOM = re.compile(
    r"\b(?:same|one|first|last|next|every|each|this|any|some|no|long|full|real)[ -]time\b|\b(?:at|of) (?:a|the) time\b",
    re.IGNORECASE,
)
_NEGATED = re.compile(
    r"\b(?:do not|don't|don\u2019t|never|without|no need to|instead of|rather than|not (?:to )?(?:use|call))\b[^.,:;!?\n]*",
    re.IGNORECASE,
)
_CUT = re.compile(
    r"(?<=[.!?;])\s+(?=\S)|\n+|,?\s+\b(?:and then|and also|and|then|also|plus|as well as|after that|afterwards)\b\s+|[,;]\s+",
    re.IGNORECASE,
)


def quoted(text: str) -> list[str]:
    """What stands between quotation marks, in order."""
    return [next(filter(None, match.groups()), "") for match in QUOTED.finditer(text)]


@lru_cache(maxsize=1024)
def speech(text: str) -> str:
    """The text without what it only quotes, idioms with `time`, and what it forbids: that much is a request."""
    said = re.sub(r"(?<=\d) times (?=\d)", " multiply ", QUOTED.sub(" “” ", text))
    return _NEGATED.sub(" ", _IDIOM.sub(" ", said))


def permitted(text: str) -> str:
    """The text without what it forbids."""
    return _NEGATED.sub(" ", text)


def fragments(text: str) -> list[tuple[int, int]]:
    """Spans of a message between the places where one request may end and the next begin; quotations stay whole."""
    spans = [match.span() for match in QUOTED.finditer(text)]
    cuts = [cut for cut in _CUT.finditer(text) if not any(start <= cut.start() < end for start, end in spans)]
    edges = [0, *(edge for cut in cuts for edge in cut.span()), len(text)]
    return list(zip(edges[::2], edges[1::2], strict=True))

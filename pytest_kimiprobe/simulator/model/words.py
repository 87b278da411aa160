"""Words of a text: splitting, stems and synonyms, and the parts of a message that each ask for something.

words.yaml holds what the model knows of languages, patterns.yaml its regular expressions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from importlib import resources
from typing import Any


@cache
def knowledge(file: str = "words.yaml") -> Mapping[str, Any]:
    """The contents of one of the two files."""
    import yaml

    known: Mapping[str, Any] = yaml.safe_load(resources.files(__package__).joinpath(file).read_text("utf-8"))
    return known


@cache
def word_set(name: str) -> frozenset[str]:
    """One of the lists of words of words.yaml."""
    return frozenset(str(knowledge()[name]).split())


@lru_cache(maxsize=1024)
def pattern(text: str) -> re.Pattern[str]:
    """The regular expression in which `<NAME>` is replaced by that expression of patterns.yaml."""
    months = f"(?:{str(knowledge()['months']).replace(' ', '|')})"
    whole = re.sub(r"<([a-z_]+)>", lambda name: str(knowledge("patterns.yaml")[name[1]]), text)
    return re.compile(whole.replace("MONTH", months), re.IGNORECASE | re.VERBOSE)


@lru_cache(maxsize=4096)
def synonyms(word: str) -> frozenset[str]:
    """The words that can replace a word, itself included."""
    lines = [line.split() for line in knowledge()["synonyms"]]
    return frozenset({word}.union(*(line for line in lines if {word, stem(word), f"{stem(word)}e"} & set(line))))


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """The word without the endings of plurals and of -ing and -ed forms."""
    for ending, keep in (("ies", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith(("ss", "us", "is")):
            return word[: -len(ending)] + keep
    return word


def same(one: str, other: str) -> bool:
    """Whether two words have one stem. A final e does not count (creating, create)."""
    return one == other or stem(one).rstrip("e") == stem(other).rstrip("e")


def closeness(word: str, text_words: list[str]) -> float:
    """1 if the word itself occurs in the text, 0.7 for a synonym, else 0."""
    if any(same(word, other) for other in text_words):
        return 1.0
    return 0.7 if any(same(one, other) for one in synonyms(word) for other in text_words) else 0.0


@lru_cache(maxsize=4096)
def _split(text: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)))


def split_words(text: str) -> list[str]:
    """Lower-case words; `getWeather`, `get_weather` and `get-weather` give the same two."""
    return list(_split(text))


def _outside(text: str, change: Callable[[str], str]) -> str:
    """The text with `change` applied to all that is not quoted."""
    changed, end = [], 0
    for quotation in pattern("<quoted>").finditer(text):
        changed += [change(text[end : quotation.start()]), quotation.group()]
        end = quotation.end()
    return "".join([*changed, change(text[end:])])


@cache
def _unspaced() -> re.Pattern[str]:
    known = {word for line in [*knowledge()["synonyms"], knowledge()["empty"]] for word in line.split()}
    return re.compile("|".join(sorted((word for word in known if word > "\u3000"), key=len, reverse=True)))


@lru_cache(maxsize=64)
def readable(text: str) -> str:
    """The text without what it forbids, and with blanks around the known words of scripts that have none.

    Quotations are left alone.
    """
    return _outside(text, lambda part: _unspaced().sub(r" \g<0> ", pattern("<negated>").sub(" ", part)))


@lru_cache(maxsize=1024)
def speech(text: str) -> str:
    """The text without what it only quotes, and without idioms with `time`."""
    said = re.sub(r"(?<=\d) times (?=\d)", " multiply ", pattern("<quoted>").sub(" , ", text))
    return pattern("<idiom>").sub(" ", said)


def fragments(text: str) -> list[tuple[int, int]]:
    """Spans of a message between the places where one request may end and the next begin. Quotations stay whole."""
    spans = [match.span() for match in pattern("<quoted>").finditer(text)]
    cuts = [cut.span() for cut in pattern("<cut>").finditer(text)]
    edges = [0, *(edge for cut in cuts if not any(a <= cut[0] < b for a, b in spans) for edge in cut), len(text)]
    return list(zip(edges[::2], edges[1::2], strict=True))

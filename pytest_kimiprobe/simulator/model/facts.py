"""Facts of a message: paths, numbers, dates, names and other values, each found by its shape."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from .words import knowledge, pattern, split_words, synonyms, word_set

_MASK = "¤"
"""This sign replaces each character of a quotation, so that no other expression matches inside of it."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One value of a message, with the shapes that it has and its span."""

    shapes: frozenset[str]
    value: Any
    start: int
    end: int


@lru_cache(maxsize=256)
def facts(text: str) -> tuple[Fact, ...]:
    """All facts of a text in their order."""
    patterns = {name[6:]: pattern(f"<{name}>") for name in knowledge("patterns.yaml") if name.startswith("shape_")}
    exclusive = knowledge("patterns.yaml")["exclusive"].split()
    found = []
    for match in pattern("<quoted>").finditer(text):
        value = next(filter(None, match.groups()), "")
        inside = {shape for shape, one in patterns.items() if shape not in ("said", "topic") and one.fullmatch(value)}
        found.append(Fact(frozenset({"quoted"} | inside), value, *match.span()))
    masked = quotes = mask(text)
    for shape in (*exclusive, *(name for name in patterns if name not in exclusive)):
        source = quotes if shape in ("said", "topic") else text if shape == "list" else masked
        found += [fact for match in patterns[shape].finditer(source) if (fact := _fact(shape, text, source, match))]
        if shape in exclusive:
            masked = patterns[shape].sub(lambda match: _MASK * len(match.group()), masked)
    found += [
        Fact(frozenset({"number"}), number, *match.span())
        for number, word in enumerate(knowledge()["counted"].split())
        for match in re.finditer(rf"\b{word}\b", masked, re.IGNORECASE)
    ]
    return tuple(sorted([*found, *_names(masked)], key=lambda fact: fact.start))


@lru_cache(maxsize=256)
def mask(text: str) -> str:
    """The text with a sign in place of each character of a quotation."""
    return pattern("<quoted>").sub(lambda match: _MASK * len(match.group()), text)


def _fact(shape: str, text: str, source: str, match: re.Match[str]) -> Fact | None:
    """The fact of a match; None for a sum without an operator, and for a text that is a quotation or a pronoun."""
    start, end = match.span(match.lastindex or 0)
    value: Any = text[start:end].strip(" ,").rstrip("." if shape == "path" else "")
    if shape == "sum" and not pattern("<operation>").search(value):
        return None
    if shape in ("said", "topic") and (
        not source[start:end].strip(f" {_MASK}") or pattern("<pronoun>").fullmatch(value)
    ):
        return None
    if shape == "number":
        value = int(value.replace(",", "")) if re.fullmatch(r"[-+]?[\d,]+", value) else float(value.replace(",", ""))
    folder = {"folder"} if shape == "path" and "." not in value.rsplit("/", 1)[-1] else set()
    return Fact(frozenset({shape, *folder}), _iso(value) if shape == "date" else value, start, end)


def _iso(text: str) -> str:
    """`March 5, 2027` as an ISO date; any other date as it is."""
    months, parts = str(knowledge()["months"]).lower().split(), split_words(text)
    month = next((months.index(part) + 1 for part in parts if part in months), 0)
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    try:
        return date(numbers[1], month, numbers[0]).isoformat() if month and len(numbers) > 1 else text
    except ValueError:
        return text


def _names(text: str) -> Iterator[Fact]:
    """Capitalised phrases, and words of scripts without capitals. `Rio de Janeiro` is one of them."""
    run: list[tuple[str, int, int]] = []
    for match in pattern("<token>").finditer(f"{text} ."):
        word = pattern("<ending>").sub("", match.group())
        if _is_name(word) or (run and word in word_set("joining")):
            run.append((word, match.start(), match.start() + len(word)))
            if not match.group().endswith(".") or len(word) < 3:
                continue
        while run and run[-1][0] in word_set("joining"):
            run.pop()
        name = " ".join(word for word, _, _ in run)
        if len(run) > 1 or (run and len(synonyms(name.lower())) < 2):
            yield Fact(frozenset({"name"}), name, run[0][1], run[-1][2])
            if name in knowledge()["zones"]:
                yield Fact(frozenset({"zone"}), knowledge()["zones"][name], run[0][1], run[-1][2])
        run = []


def _is_name(word: str) -> bool:
    if not word[:1].isalpha() or word in word_set("not_a_name") or word.lower() in word_set("acting"):
        return False
    cased = word[0].lower() != word[0].upper()
    return word[0].isupper() if cased else len(synonyms(word)) < 2 and word not in word_set("empty")


def listed(found: list[Fact], text: str) -> list[Fact]:
    """The first facts that form one list: between them are only commas and words such as `and`."""
    run = found[:1]
    for fact in found[1:]:
        if set(split_words(mask(text)[run[-1].end : fact.start].replace(_MASK, ""))) - word_set("between"):
            break
        run.append(fact)
    place_of = len(run) == 2 and re.fullmatch(r",\s*", text[run[0].end : run[1].start])  # `Florence, Italy`
    return run[:1] if place_of else run

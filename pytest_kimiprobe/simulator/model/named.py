"""What a message says for a member of a tool, by the member's name: candidates, best first."""

from __future__ import annotations

import re
from typing import Any, Final

from . import facts
from .schemas import Schema
from .words import EMPTY, SYNONYMS, closeness, knowledge, quoted, split_words

NOTHING: Final = object()
"""The message does not tell."""


def loose_texts(name: str, text: str) -> list[str]:
    """A content is only ever quoted; anything else may be a code, a name, a path or a counted thing."""
    if "content" in kinds_of(split_words(name)):
        return quoted(text)
    counted = re.findall(r"(?<![\w.-])\d+\s+([^\W\d_]{3,})", text)
    return [*quoted(text), *_query(name, text), *facts.codes(text), *facts.names(text), *facts.paths(text), *counted]


def mentions(name: str, text: str) -> bool:
    """Whether the message uses a word of the member's name."""
    return any(closeness(word, split_words(text)) for word in split_words(name) if word not in EMPTY)


def listed(name: str, text: str) -> list[str]:
    """`tags red, green and blue` or `tags: ...`: the list after the member's name."""
    words = "|".join(re.escape(word) for word in split_words(name) if word not in EMPTY)
    if not words:
        return []
    item = r"(?:\"[^\"]+\"|'[^']+'|[\w@.+/-]+(?: [\w@.+/-]+)??)"
    match = re.search(
        rf"\b(?:{words})s?\b(?:\s*[:=]\s*|\s+(?:are\s+|of\s+|is\s+|named\s+)?)({item}(?:,\s*(?:and\s+)?{item}|\s+and\s+{item})+)",
        text,
        re.IGNORECASE,
    )
    if not match:
        return []
    return [
        part.strip(" \"'.") for part in re.split(r",\s*(?:and\s+)?|\s+and\s+", match.group(1)) if part.strip(" \"'.")
    ]


def truth(name: str, text: str) -> Any:
    """True where the message mentions the member, False where it does so with a no; else NOTHING."""
    words = [
        word
        for word in split_words(name)
        if word not in EMPTY and word not in ("is", "has", "enable", "enabled", "include", "use")
    ]
    if not words or not all(closeness(word, split_words(text)) for word in words):
        return NOTHING
    stems = "|".join(re.escape(word[:5]) for word in words)
    return not re.search(
        rf"\b(?:no|not|non|without|don't|never|disable|skip|off)\b[\w\s-]{{0,20}}?\b(?:{stems})", text, re.IGNORECASE
    )


def numbers_named(name: str, text: str) -> list[Any]:
    """Numbers that stand beside the member's name: `limit 5`, `width of 3`, `5 guests`."""
    found: list[Any] = []
    for word in split_words(name):
        if word in EMPTY and word != "number":
            continue
        forms = "|".join(sorted({re.escape(form) for form in {word, *SYNONYMS.get(word, ())}}, key=len, reverse=True))
        number = r"[-+]?\d[\d,]*(?:\.\d+)?"
        for pattern in (
            rf"\b(?:{forms})\b\s*(?:is|of|to|as|=|:|at|for)?\s*(?:the\s+)?({number})(?![\d:]*:\d|\w)",
            rf"(?<![\w.])({number})\s*(?:%|percent|degrees)?\s*-?\s*(?:{forms.replace('|', 's?|')}s?)\b",
        ):
            found += [
                facts.numbers(match)[0] for match in re.findall(pattern, text, re.IGNORECASE) if facts.numbers(match)
            ]
    return found


def texts_named(name: str, schema: Schema, text: str) -> list[str]:
    """Candidates for a text member, best first, by what its name (or else its description) calls it."""
    own = split_words(name)
    kinds = kinds_of(own) or kinds_of(split_words(str(schema.get("description", ""))))
    named = [word for word in own if word not in EMPTY or word in ("name", "value", "type", "to", "from")]
    forms = "|".join(re.escape(word) for word in ([" ".join(own)] if len(own) > 1 else []) + named[-1:])
    found = [value for kind in kinds for value in of_kind(kind, own, text)]
    spoken = facts.after(forms, text) if forms and not {"path", "place", "content"} & set(kinds) else []
    if schema.get("format") in ("date", "date-time"):
        found = [*facts.dates(text), *found]
    elif schema.get("format") in ("uri", "url"):
        found = [*facts.urls(text), *found]
    elif schema.get("format") == "email":
        found = [*facts.emails(text), *found]
    return [*found, *spoken] if kinds else spoken


def kinds_of(words: list[str]) -> list[str]:
    """What a member is, by the words of its name."""
    listed = {kind: set(str(names).split()) for kind, names in knowledge()["kinds"].items()}
    return [kind for kind, names in listed.items() if any({word, word.rstrip("s")} & names for word in words)]


def of_kind(kind: str, own: list[str], text: str) -> list[str]:
    """Candidates of one kind of words.yaml; `own` are the words of the member's name."""
    match kind:
        case "path":
            return _paths(own, text)
        case "place":
            return _places(own, text)
        case "query":
            return _query("query", text)
        case "title":
            return _titles(own, text)
        case "language":
            return [word for word in facts.names(text) if word.endswith(("ish", "an", "ese", "ch", "ic", "i", "ian"))]
        case "money":
            return _directed(
                own, re.findall(r"\b(?:USD|EUR|GBP|JPY|CHF|CNY|INR|AUD|CAD|SEK|NOK|BRL|MXN|KRW)\b", text), text
            )
        case "ticker":
            return re.findall(r"\b[A-Z]{2,5}\b", text)
        case "command":
            return [value for value in quoted(text) if value] or facts.after("run|execute|command", text)
    simple = {
        "content": facts.contents,
        "zone": facts.zones,
        "url": facts.urls,
        "email": facts.emails,
        "date": facts.dates,
        "clock": facts.clocks,
        "sum": facts.sums,
        "code": facts.codes,
    }
    return simple[kind](text)


def _paths(own: list[str], text: str) -> list[str]:
    found = facts.paths(text)
    folders = [
        *facts.after("directory|folder", text),
        *re.findall(r"\b(?:the\s+)?([\w.-]+)\s+(?:directory|folder)\b", text),
    ]
    if {"directory", "folder", "dir"} & set(own):
        return [*found, *(value for value in folders if value.lower() not in EMPTY)]
    if {"destination", "target", "to", "new"} & set(own):
        return _directed(["to"], found, text)
    called = [value for value in facts.after("called|named", text) if " " not in value]
    return [*found, *called, *(value for value in facts.after("file", text) if "." in value), *(found or folders)]


def _places(own: list[str], text: str) -> list[str]:
    found = [place for place in facts.places(text) if not facts.is_qualifier(place, text)]
    if {"origin", "destination", "departure", "arrival", "from", "to", "source", "target"} & set(own):
        return _directed(own, found, text)
    if {"location", "address", "place"} & set(own):
        return [facts.qualified(place, text) for place in found]
    return found


def _directed(own: list[str], found: list[str], text: str) -> list[str]:
    """Order candidates by direction: after `from` for an origin, after `to` for a destination."""
    backward = {"origin", "from", "departure", "source", "base", "old"} & set(own)
    forward = {"destination", "to", "arrival", "target", "quote", "new"} & set(own)
    if not backward and not forward:
        return found
    word = "from|of" if backward else "to|into|in|as|for"
    hits = [value for value in found if re.search(rf"\b(?:{word})\s+(?:the\s+)?{re.escape(value)}", text)]
    return hits or (found[:1] if backward else found[1:])


def _titles(own: list[str], text: str) -> list[str]:
    if {"title", "subject", "name", "label", "summary", "event"} & set(own):
        words = "|".join(re.escape(word) for word in own)
        return [*facts.after(f"called|named|titled|entitled|{words}", text), *quoted(text)]
    named = facts.names(text)
    people = [
        name for name in named if re.search(rf"\b(?:to|for|with|by|from|user|customer)\s+{re.escape(name)}", text)
    ]
    own = [*own, *(word.removesuffix("name") for word in own if word.endswith("name") and word != "name")]
    spoken = [value for value in facts.after("|".join(map(re.escape, own)), text) if value in quoted(text)]
    return [*spoken, *people, *(name for name in named if people and facts.follows_in_list(name, text)), *named]


def _query(name: str, text: str) -> list[str]:
    """What shall be searched: a quotation, else what follows `for` or `about`, else the request without its verb."""
    if "query" not in kinds_of(split_words(name)):
        return []
    text = re.sub(r",?\s*(?:limit|max|top)\s*(?:of\s*)?\d+.*$", "", text)
    match = re.search(r"\b(?:for|about|on|regarding)\s+(.+?)\s*[.?!]?\s*$", text, re.IGNORECASE | re.DOTALL)
    rest = re.sub(
        r"^\W*(?:please\s+|can you\s+|could you\s+)*(?:search|look up|find|google|look|query)(?:\s+(?:the\s+)?(?:web|internet|online))?\s+",
        "",
        text,
        flags=re.IGNORECASE,
    )
    return [*quoted(text), *([match.group(1)] if match else []), rest.strip(" .?!")]

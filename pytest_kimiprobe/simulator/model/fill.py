"""Arguments for a tool, read from a message.

First what the message says plainly, then what can be meant, then anything valid.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from . import facts
from .schemas import Schema, branches, fits, invent, resolve, type_of
from .words import EMPTY, SYNONYMS, closeness, knowledge, permitted, quoted, same, split_words

NOTHING: Final = object()
"""The message does not tell."""


@dataclass(frozen=True, slots=True)
class Filled:
    """Arguments, with the required members nobody told and the number of members read from the message."""

    arguments: dict[str, Any]
    missing: tuple[str, ...]
    told: int


@dataclass(slots=True)
class _Reading:
    """One pass over a message; a fact that went into one member is not used for the next."""

    text: str
    root: Schema
    used: list[Any] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    told: int = 0

    def take(self, options: list[Any], schema: Schema) -> Any:
        """The first option that is free and fits; a quoted or typed number counts once."""
        for option in options:
            if (
                option not in (None, "")
                and not any(option is used or option == used for used in self.used)
                and fits(option, schema)
            ):
                self.used.append(option)
                return option
        return NOTHING


def fill(schema: Schema, text: str, *, without: tuple[str, ...] = ()) -> Filled:
    """Arguments of a tool with this parameter schema for a message; facts in `without` belong to other calls."""
    reading = _Reading(text.replace("°C", " celsius").replace("°F", " fahrenheit"), schema, list(without))
    root = resolve(schema, schema)
    value = _object(_best_branch(root, reading), reading)
    return Filled(value, tuple(reading.missing), reading.told)


def alternatives(schema: Schema, text: str) -> list[str]:
    """The facts of one kind that a message lists for a tool's one required text member: each is a call of its own."""
    root = resolve(schema, schema)
    members = {name: resolve(root.get("properties", {}).get(name), schema) for name in root.get("required") or ()}
    texts = [name for name, member in members.items() if type_of(member) == "string" and "enum" not in member]
    if len(texts) != 1:
        return []
    own = split_words(texts[0])
    kinds = _kinds(own) or _kinds(split_words(str(members[texts[0]].get("description", ""))))
    found = next((values for kind in kinds if kind in _MANY and (values := _of_kind(kind, own, text))), [])
    return _in_one_list(list(dict.fromkeys(found)), text)


_MANY = ("path", "place", "zone", "url", "ticker", "code", "email")


def _in_one_list(found: list[str], text: str) -> list[str]:
    listed = found[:1]
    for before, value in itertools.pairwise(found):
        gap = text[text.find(before) + len(before) : text.find(value)]
        if not re.fullmatch(
            r"[\s,'\"”“]*(?:(?:,|&|and|or|vs\.?|as well as|versus)[\s'\"”“]*)+(?:(?:in|for|the|of|file)\s+)*['\"“]?",
            gap,
        ):
            break
        listed.append(value)
    return listed if len(listed) > 1 else []


def _best_branch(schema: Schema, reading: _Reading) -> Schema:
    parts = [part for part in branches(schema, reading.root) if type_of(part) != "null"] or [schema]
    if len(parts) == 1:
        return parts[0]

    def score(part: Schema) -> tuple[float, int]:
        trial = _Reading(reading.text, reading.root, list(reading.used))
        if type_of(part) == "object":
            _object(part, trial)
        else:
            trial.told = int(_plain("", part, trial) is not NOTHING)
        return trial.told - 1.5 * len(trial.missing), trial.told

    return max(parts, key=score)


def _object(schema: Schema, reading: _Reading) -> dict[str, Any]:
    members: Mapping[str, Any] = schema.get("properties") or {}
    required = [name for name in schema.get("required") or () if isinstance(name, str)]
    told: dict[str, Any] = {}
    for name, member in members.items():
        if (value := _member(name, member, reading, needed=name in required)) is not NOTHING:
            told[name] = value
    for name in required:
        if name not in told and (value := _loosely(name, members.get(name, {}), reading)) is not NOTHING:
            told[name] = value
    reading.told += len(told)
    for name in required:
        if name not in told:
            told[name] = invent(members.get(name, {}), reading.root)
            _note_missing(name, members.get(name, {}), reading)
    return {name: told[name] for name in [*members, *required] if name in told}


def _note_missing(name: str, member: Any, reading: _Reading) -> None:
    plain = resolve(member, reading.root)
    if not any(key in plain for key in ("const", "default", "enum")) and type_of(plain) not in ("boolean", "null"):
        reading.missing.append(name)


def _member(name: str, member: Any, reading: _Reading, *, needed: bool) -> Any:
    """What the message says plainly about one member."""
    schema = resolve(member, reading.root)
    if "const" in schema:
        return schema["const"] if needed else NOTHING
    schema = _best_branch(schema, reading)
    kind = type_of(schema)
    if isinstance(schema.get("enum"), list):
        return _option(schema["enum"], reading, name)
    if kind == "object" and needed and schema.get("properties"):
        return _object(schema, reading)
    if kind == "object":
        return _optional_object(name, schema, reading)
    if kind == "array":
        return _array(name, schema, reading, needed=needed)
    return _plain(name, schema, reading)


def _optional_object(name: str, schema: Schema, reading: _Reading) -> Any:
    if not any(closeness(word, split_words(reading.text)) for word in split_words(name) if word not in EMPTY):
        return NOTHING
    trial = _Reading(reading.text, reading.root, list(reading.used))
    value = _object(schema, trial)
    if trial.missing or not trial.told:
        return NOTHING
    reading.used = trial.used
    return value


def _plain(name: str, schema: Schema, reading: _Reading) -> Any:
    kind = type_of(schema)
    if kind == "boolean":
        return _truth(name, reading.text)
    if kind in ("integer", "number"):
        return reading.take(_numbers_named(name, reading.text), schema)
    if kind == "string":
        return reading.take(_texts_named(name, schema, reading.text), schema)
    return NOTHING


def _loosely(name: str, member: Any, reading: _Reading) -> Any:
    """What may be meant: the next free number, quotation or name."""
    schema = _best_branch(resolve(member, reading.root), reading)
    kind = type_of(schema)
    if "enum" in schema or "const" in schema:
        return NOTHING
    if kind in ("integer", "number"):
        return reading.take(list(facts.numbers(reading.text)), schema)
    if kind == "string":
        return reading.take(_loose_texts(name, reading.text), schema)
    return NOTHING


def _loose_texts(name: str, text: str) -> list[str]:
    """A content is only ever quoted; anything else may be a code, a name, a path or a counted thing."""
    if "content" in _kinds(split_words(name)):
        return quoted(text)
    counted = re.findall(r"(?<![\w.-])\d+\s+([^\W\d_]{3,})", text)
    return [*quoted(text), *_query(name, text), *facts.codes(text), *facts.names(text), *facts.paths(text), *counted]


def _option(options: list[Any], reading: _Reading, name: str) -> Any:
    """The enum value that the message names: the longest, then the first named."""
    text_words = split_words(permitted(reading.text))
    hits: list[tuple[int, int, Any]] = []
    for option in options:
        words = split_words(str(option))
        spots = [next((spot for spot, word in enumerate(text_words) if same(part, word)), None) for part in words]
        known = [spot for spot in spots if spot is not None]
        if words and len(known) == len(words):
            hits.append((-len(words), known[0], option))
    if hits:
        return min(hits, key=lambda hit: hit[:2])[2]
    for option in options:
        if (
            isinstance(option, str)
            and len(option) > 2
            and closeness(option.lower(), text_words)
            and split_words(name) != [option.lower()]
        ):
            return option
    return NOTHING


def _array(name: str, schema: Schema, reading: _Reading, *, needed: bool) -> Any:
    items = _best_branch(resolve(schema.get("items", {}), reading.root), reading)
    values = _elements(name, items, reading, needed=needed)
    most = schema.get("maxItems")
    values = values[:most] if isinstance(most, int) else values
    if not values or len(values) < schema.get("minItems", 0):
        return NOTHING
    return values


def _elements(name: str, items: Schema, reading: _Reading, *, needed: bool) -> list[Any]:
    text = reading.text
    if isinstance(items.get("enum"), list):
        return [option for option in items["enum"] if _option([option], reading, name) is not NOTHING]
    if type_of(items) == "object":
        return _objects(items, reading) if needed or _mentions(name, text) else []
    if type_of(items) in ("integer", "number"):
        found: list[Any] = facts.numbers(text) if needed or _mentions(name, text) else []
    elif type_of(items) == "string":
        found = (
            _listed(name, text)
            or _texts_named(name, items, text)
            or (quoted(text) or facts.names(text) if needed else [])
        )
    else:
        found = []
    values = [value for value in dict.fromkeys(found) if fits(value, items) and value not in reading.used]
    reading.used += values
    return values


def _mentions(name: str, text: str) -> bool:
    return any(closeness(word, split_words(text)) for word in split_words(name) if word not in EMPTY)


def _objects(items: Schema, reading: _Reading) -> list[Any]:
    """One object for each part of a list; where no part is complete, one for the whole."""
    found: list[Any] = []
    for part in re.split(r",\s*(?:and\s+)?|\s+and\s+|;\s*|\n", reading.text):
        trial = _Reading(part, reading.root)
        value = _object(items, trial)
        if trial.told and not trial.missing:
            found.append(value)
    return found or [_object(items, reading)]


def _listed(name: str, text: str) -> list[str]:
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


def _truth(name: str, text: str) -> Any:
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


def _numbers_named(name: str, text: str) -> list[Any]:
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


def _texts_named(name: str, schema: Schema, text: str) -> list[str]:
    """Candidates for a text member, best first, by what its name (or else its description) calls it."""
    own = split_words(name)
    kinds = _kinds(own) or _kinds(split_words(str(schema.get("description", ""))))
    named = [word for word in own if word not in EMPTY or word in ("name", "value", "type", "to", "from")]
    forms = "|".join(re.escape(word) for word in ([" ".join(own)] if len(own) > 1 else []) + named[-1:])
    found = [value for kind in kinds for value in _of_kind(kind, own, text)]
    spoken = facts.after(forms, text) if forms and not {"path", "place", "content"} & set(kinds) else []
    if schema.get("format") in ("date", "date-time"):
        found = [*facts.dates(text), *found]
    elif schema.get("format") in ("uri", "url"):
        found = [*facts.urls(text), *found]
    elif schema.get("format") == "email":
        found = [*facts.emails(text), *found]
    return [*found, *spoken] if kinds else spoken


def _kinds(words: list[str]) -> list[str]:
    """What a member is, by the words of its name."""
    listed = {kind: set(str(names).split()) for kind, names in knowledge()["kinds"].items()}
    return [kind for kind, names in listed.items() if any({word, word.rstrip("s")} & names for word in words)]


def _of_kind(kind: str, own: list[str], text: str) -> list[str]:
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
    return [*people, *(name for name in named if people and facts.follows_in_list(name, text)), *named]


def _query(name: str, text: str) -> list[str]:
    """What shall be searched: a quotation, else what follows `for` or `about`, else the request without its verb."""
    if "query" not in _kinds(split_words(name)):
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

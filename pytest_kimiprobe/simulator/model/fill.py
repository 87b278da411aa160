"""Arguments for a tool, read from a message.

First what the message says plainly, then what can be meant, then anything valid.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..validity import checker, is_schema
from . import facts
from .named import NOTHING, kinds_of, listed, loose_texts, mentions, numbers_named, of_kind, texts_named, truth
from .schemas import Schema, branches, fits, invent, resolve, type_of
from .words import closeness, permitted, quoted, same, split_words

_DEEP = 4
"""Deeper objects are not read from the message, only made valid."""


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
    depth: int = 0

    def trial(self) -> _Reading:
        """A pass of which nothing may come."""
        return _Reading(self.text, self.root, list(self.used), depth=self.depth + 1)

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
    """Arguments of a tool with this parameter schema for a message; facts in `without` belong to other calls.

    They satisfy the schema, if anything that can be made up here does; without a sound schema they are empty.
    """
    if not is_schema(schema):
        return Filled({}, (), 0)
    reading = _Reading(text.replace("°C", " celsius").replace("°F", " fahrenheit"), schema, list(without))
    value = _object(_best_branch(_as_object(schema), reading), reading)
    valid = checker(schema)
    made_up = value if valid(value) else invent(schema, schema)
    arguments = made_up if isinstance(made_up, dict) and valid(made_up) else value
    return Filled(arguments, tuple(reading.missing), reading.told)


def _as_object(schema: Schema) -> Schema:
    """The root: of several branches those that are objects, since arguments are one."""
    root = resolve(schema, schema)
    objects = [part for part in branches(root, schema) if type_of(part) == "object"]
    return {"anyOf": objects} if objects else root


def alternatives(schema: Schema, text: str) -> list[str]:
    """The facts of one kind that a message lists for a tool's one required text member: each is a call of its own."""
    if not is_schema(schema):
        return []
    root = resolve(schema, schema)
    members = {name: resolve(root.get("properties", {}).get(name), schema) for name in root.get("required") or ()}
    texts = [name for name, member in members.items() if type_of(member) == "string" and "enum" not in member]
    if len(texts) != 1:
        return []
    own = split_words(texts[0])
    kinds = kinds_of(own) or kinds_of(split_words(str(members[texts[0]].get("description", ""))))
    found = next((values for kind in kinds if kind in _MANY and (values := of_kind(kind, own, text))), [])
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
        trial = reading.trial()
        if type_of(part) == "object":
            _object(part, trial)
        else:
            trial.told = int(_plain("", part, trial) is not NOTHING)
        return trial.told - 1.5 * len(trial.missing), trial.told

    return max(parts, key=score)


def _object(schema: Schema, reading: _Reading) -> dict[str, Any]:
    if reading.depth > _DEEP:
        made_up = invent(schema, reading.root)
        return made_up if isinstance(made_up, dict) else {}
    reading.depth += 1
    try:
        return _members(schema, reading)
    finally:
        reading.depth -= 1


def _members(schema: Schema, reading: _Reading) -> dict[str, Any]:
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
        if name not in told and _nullable(members.get(name, {}), reading):
            told[name] = None
        elif name not in told:
            told[name] = invent(members.get(name, {}), reading.root)
            _note_missing(name, members.get(name, {}), reading)
    return {name: told[name] for name in [*members, *required] if name in told}


def _nullable(member: Any, reading: _Reading) -> bool:
    """Whether null says that nobody told."""
    plain = resolve(member, reading.root)
    return "default" not in plain and any(type_of(part) == "null" for part in branches(plain, reading.root))


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
    if not mentions(name, reading.text):
        return NOTHING
    if not schema.get("properties"):
        return _map(schema, reading)
    trial = reading.trial()
    value = _object(schema, trial)
    if trial.missing or not trial.told:
        return NOTHING
    reading.used = trial.used
    return value


def _map(schema: Schema, reading: _Reading) -> Any:
    """`team is core and stage is beta`, `team=core`: a map with the message's own keys."""
    values = resolve(schema.get("additionalProperties"), reading.root)
    after_colon = reading.text.partition(": ")[2] or reading.text
    pairs = re.findall(r"\b([A-Za-z_][\w-]*)\s*(?:=|\bis\b|:)\s*([\w.-]*\w)", after_colon)
    found = {key: value for key, value in pairs if fits(value, values)} if type_of(values) == "string" else {}
    return found or NOTHING


def _plain(name: str, schema: Schema, reading: _Reading) -> Any:
    kind = type_of(schema)
    if kind == "boolean":
        return truth(name, reading.text)
    if kind in ("integer", "number"):
        return reading.take(numbers_named(name, reading.text), schema)
    if kind == "string":
        return reading.take(texts_named(name, schema, reading.text), schema)
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
        return reading.take(loose_texts(name, reading.text), schema)
    return NOTHING


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
        return _objects(name, items, reading) if needed or mentions(name, text) else []
    if type_of(items) in ("integer", "number"):
        found: list[Any] = facts.numbers(text) if needed or mentions(name, text) else []
    elif type_of(items) == "string":
        found = (
            listed(name, text)
            or texts_named(name, items, text)
            or (quoted(text) or facts.names(text) if needed else [])
        )
    else:
        found = []
    values = [value for value in dict.fromkeys(found) if fits(value, items) and value not in reading.used]
    reading.used += values
    return values


def _objects(name: str, items: Schema, reading: _Reading) -> list[Any]:
    """One object for each part of a list, which a colon may announce; where no part is complete, one for the whole."""
    found: list[Any] = []
    announced = re.search(
        rf"\b{re.escape(split_words(name)[-1])}\w*\s*:\s+(.+)", reading.text, re.IGNORECASE | re.DOTALL
    )
    text = announced.group(1) if announced else reading.text
    for part in re.split(r",\s*(?:and\s+)?|\s+and\s+|;\s*|\n", text):
        trial = _Reading(part, reading.root, depth=reading.depth + 1)
        value = _object(items, trial)
        if trial.told and not trial.missing:
            found.append(value)
    return found or [_object(items, reading)]

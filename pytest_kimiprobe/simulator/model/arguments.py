"""Arguments for a tool, read from a message: each member gets the fact that its name, kind and schema suit best."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..validity import checker, is_schema
from .facts import Fact, facts, listed, mask
from .schemas import Schema, branches, fits, invent, resolve, type_of
from .words import closeness, knowledge, pattern, same, split_words, synonyms, word_set

_NOTHING: Final = object()
"""Marker: the message gives no value for a member."""
_DEEP = 4
"""Objects below this level are not read from the message, only made valid."""


@dataclass(frozen=True, slots=True)
class Filled:
    """Arguments, the required members that the message does not give, and the number of members that it gives."""

    arguments: dict[str, Any]
    missing: tuple[str, ...]
    given: int


def fill(schema: Schema, text: str, *, without: tuple[Any, ...] = ()) -> Filled:
    """Arguments of a tool with this parameter schema for a message. Values in `without` belong to other calls.

    The arguments satisfy the schema if values can be made up that do. If the schema is invalid, they are empty.
    """
    if not is_schema(schema):
        return Filled({}, (), 0)
    text = text.replace("°C", " celsius").replace("°F", " fahrenheit")
    reading = _MessageReading(text, schema, [fact for fact in facts(text) if fact.value in without])
    root = resolve(schema, schema)
    objects = [part for part in branches(root, schema) if type_of(part) == "object"]
    value = reading.members(reading.best({"anyOf": objects} if objects else root))
    valid = checker(schema)
    made_up = value if valid(value) else invent(schema, schema)
    arguments = made_up if isinstance(made_up, dict) and valid(made_up) else value
    return Filled(arguments, tuple(reading.missing), reading.given)


def alternatives(schema: Schema, text: str) -> list[Any]:
    """The values that a message lists for a tool's one required text member; each needs a separate call."""
    root = resolve(schema, schema)
    members = {name: resolve(root.get("properties", {}).get(name), schema) for name in root.get("required") or ()}
    texts = [name for name, member in members.items() if type_of(member) == "string" and "enum" not in member]
    for shape in shapes(texts[0], members[texts[0]]) if len(texts) == 1 else ():
        found = [fact for fact in facts(text) if shape in fact.shapes]
        if found and shape in word_set("repeatable"):
            values = list(dict.fromkeys(fact.value for fact in listed(found, text)))
            return values if len(values) > 1 else []
    return []


def shapes(name: str, schema: Schema) -> list[str]:
    """The shapes that a value of a member can have, by its type, its format, and the words of name or description."""
    if type_of(schema) in ("integer", "number"):
        return ["number"]
    form = knowledge()["form_shapes"].get(schema.get("format"))
    for words in (split_words(name), split_words(str(schema.get("description", "")))):
        own = {one for word in words for one in (word, word.rstrip("s"))}
        rows = [row["shapes"].split() for row in knowledge()["kinds"].values() if own & set(row["words"].split())]
        if rows:
            return [*([form] if form else []), *(shape for row in rows for shape in row)]
    return [form] if form else []


def _mentions(name: str, text: str) -> bool:
    return any(closeness(word, split_words(text)) for word in split_words(name) if word not in word_set("empty"))


@dataclass(slots=True)
class _MessageReading:
    """One pass over a message. A fact that is the value of one member is not used for the next."""

    text: str
    root: Schema
    used: list[Fact] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    given: int = 0
    depth: int = 0

    def best(self, schema: Schema) -> Schema:
        """The branch of a schema for which the message gives most."""
        parts = [part for part in branches(schema, self.root) if type_of(part) != "null"] or [schema]

        def score(part: Schema) -> float:
            trial = _MessageReading(self.text, self.root, list(self.used), depth=self.depth + 1)
            if type_of(part) != "object":
                return float(trial.plain("", part, needed=True) is not _NOTHING)
            trial.members(part)
            return trial.given * 1.01 - 1.5 * len(trial.missing)

        return max(parts, key=score) if len(parts) > 1 else parts[0]

    def members(self, schema: Schema) -> dict[str, Any]:
        """The members of an object: those that the message gives, then what it may mean, then made-up ones."""
        known: Mapping[str, Any] = schema.get("properties") or {}
        required = [name for name in schema.get("required") or () if isinstance(name, str)]
        if self.depth > _DEEP:
            return {name: invent(known.get(name), self.root) for name in required}
        self.depth += 1
        found = {name: self.member(name, known[name], needed=name in required) for name in known}
        for name in required:
            if found.get(name, _NOTHING) is _NOTHING:
                found[name] = self.loosely(name, self.best(resolve(known.get(name), self.root)))
        self.depth -= 1
        self.given += sum(value is not _NOTHING for value in found.values())
        for name in required:
            if found[name] is _NOTHING:
                found[name] = self.made_up(name, resolve(known.get(name), self.root))
        return {name: found[name] for name in [*known, *required] if found[name] is not _NOTHING}

    def made_up(self, name: str, schema: Schema) -> Any:
        parts = branches(schema, self.root)
        if "default" not in schema and any(type_of(part) == "null" for part in parts):
            return None
        fixed = any(key in part for part in (schema, parts[0]) for key in ("const", "default", "enum"))
        self.missing += [] if fixed or type_of(schema) == "boolean" else [name]
        return invent(schema, self.root)

    def member(self, name: str, member: Any, *, needed: bool) -> Any:
        """What the message says about one member."""
        schema = self.best(resolve(member, self.root))
        kind = type_of(schema)
        if "const" in schema:
            return schema["const"] if needed else _NOTHING
        if isinstance(schema.get("enum"), list):
            return self.option(schema["enum"], name)
        if kind == "object":
            return self.object(name, schema, needed=needed)
        if kind == "array":
            values = self.items(name, self.best(resolve(schema.get("items"), self.root)), needed=needed)
            values = list(dict.fromkeys(values) if all(map(_is_plain, values)) else values)[: schema.get("maxItems")]
            return values if len(values) >= max(1, schema.get("minItems", 0)) else _NOTHING
        return self.plain(name, schema, needed=needed)

    def object(self, name: str, schema: Schema, *, needed: bool) -> Any:
        if not schema.get("properties"):  # `team is core, stage=beta`: an object with the message's own keys
            pairs = pattern("<pair>").findall(self.text.partition(": ")[2] or self.text)
            values = resolve(schema.get("additionalProperties"), self.root)
            found = {key: value for key, value in pairs if fits(value, values)}
            return found if found and _mentions(name, self.text) else _NOTHING
        if needed:
            return self.members(schema)
        trial = _MessageReading(self.text, self.root, list(self.used), depth=self.depth + 1)
        value = trial.members(schema) if _mentions(name, self.text) else {}
        return value if value and trial.given and not trial.missing else _NOTHING

    def items(self, name: str, items: Schema, *, needed: bool) -> list[Any]:
        """The items of a list: named options, objects, the list beside the member's name, or all values that suit."""
        if isinstance(items.get("enum"), list):
            return [option for option in items["enum"] if self.option([option], name) is not _NOTHING]
        if type_of(items) == "object":
            return self.objects(name, items) if needed or _mentions(name, self.text) else []
        beside = next((fact for fact in self.of_shapes("list") if self.near(name, fact)), None)
        if beside and type_of(items) == "string":
            return [part.strip(" \"'.") for part in pattern("<separator>").split(beside.value)]
        wanted = shapes(name, items)
        if not wanted and not needed:
            return []
        suitable = [fact for fact in self.of_shapes(*(wanted or ("quoted", "name"))) if self.value(fact, items) != ""]
        return [self.take(fact, items) for fact in suitable]

    def objects(self, name: str, items: Schema) -> list[Any]:
        """One object for each part of a list that a colon may announce; if no part is complete, one for the whole."""
        word = re.escape(split_words(name)[-1]) if split_words(name) else ""
        announced = re.search(rf"\b{word}\w*\s*:\s+(.+)", self.text, re.IGNORECASE | re.DOTALL)
        found = []
        for part in pattern("<part>").split(announced[1] if announced else self.text):
            trial = _MessageReading(part, self.root, depth=self.depth + 1)
            value = trial.members(items)
            found += [value] if trial.given and not trial.missing else []
        return found or [self.members(items)]

    def of_shapes(self, *wanted: str) -> list[Fact]:
        return [fact for fact in facts(self.text) if fact not in self.used and fact.shapes & set(wanted)]

    def plain(self, name: str, schema: Schema, *, needed: bool) -> Any:
        """The value of a text, a number or a truth value."""
        if type_of(schema) == "boolean":
            return self.truth(name)
        wanted = set(shapes(name, schema))
        free = [fact for fact in facts(self.text) if fact not in self.used and fact.shapes != {"list"}]
        scored = [(self.score(name, fact, wanted), fact) for fact in free]
        good = [pair for pair in scored if pair[0] >= (1 if needed else 2) and self.value(pair[1], schema) != ""]
        return self.take(max(good, key=lambda pair: pair[0])[1], schema) if good else _NOTHING

    def score(self, name: str, fact: Fact, wanted: set[str]) -> float:
        """How well a fact suits a member: by its shapes, and by the words before and after it."""
        shared, near, vague = fact.shapes & wanted, self.near(name, fact), word_set("vague")
        if ("number" in wanted and not near) or (wanted and not shared and not fact.shapes & vague):
            return 0
        return near + (0 if not shared else 3.5 if "said" in shared else 1 if fact.shapes <= vague else 2)

    def near(self, name: str, fact: Fact) -> float:
        """4 beside the member's name, 3 beside a word of it or after its preposition (`from` for an origin), else 0."""
        own, masked = split_words(name), mask(self.text)
        before, after = masked[max(0, fact.start - 120) : fact.start], masked[fact.end : fact.end + 60]
        if len(own) > 1 and re.search(rf"\b{re.escape(' '.join(own))}\W*$", before, re.IGNORECASE):
            return 4
        words = (
            {one for word in own for one in (*synonyms(word), word.removesuffix("name"))} - word_set("unnamed") - {""}
        )
        rows = knowledge()["prepositions"].items()
        prepositions = {word for words, names in rows if {*own} & {*names.split()} for word in words.split()}
        forms, leading = ("|".join(sorted(map(re.escape, one), reverse=True)) for one in (words, words | prepositions))
        if fact.shapes & {"said", "topic"}:  # these are found by the words beside them
            return 0
        told = leading and pattern(rf"(?:^|\W)(?:{leading})s?<filler>").search(before)
        told = told or (forms and pattern(rf"<unit>(?:{forms})s?\b").match(after))
        return 3.0 if told else 0.0

    def value(self, fact: Fact, schema: Schema) -> Any:
        """The value of a fact for a schema; an empty text if it does not fit."""
        text = type_of(schema) == "string" and not isinstance(fact.value, str)
        value = self.text[fact.start : fact.end] if text else fact.value
        return value if fits(value, schema) else ""

    def take(self, fact: Fact, schema: Schema) -> Any:
        self.used += [one for one in facts(self.text) if fact.start <= one.start and one.end <= fact.end]
        return self.value(fact, schema)

    def loosely(self, name: str, schema: Schema) -> Any:
        """What may be meant for a required member: the next free number, quotation, name or other text."""
        order = {"integer": "number", "number": "number", "string": knowledge()["loose"]}.get(type_of(schema), "")
        if "enum" in schema or "const" in schema:
            return _NOTHING
        order = "quoted" if order and "said" in shapes(name, schema) else order
        free = (fact for shape in order.split() for fact in self.of_shapes(shape) if self.value(fact, schema) != "")
        return next((self.take(fact, schema) for fact in free), _NOTHING)

    def option(self, options: Iterable[Any], name: str) -> Any:
        """The value of an enum that the message names: the longest one, then the first one, then a synonym."""
        spoken, ranked = split_words(self.text), []
        for option in options:
            words = split_words(str(option))
            spots = [next((spot for spot, word in enumerate(spoken) if same(part, word)), -1) for part in words]
            if words and min(spots) >= 0:
                ranked.append((0, -len(words), spots[0], option))
            elif len(str(option)) > 2 and words != split_words(name) and closeness(str(option).lower(), spoken):
                ranked.append((1, 0, len(ranked), option))
        return min(ranked, key=lambda row: row[:3])[3] if ranked else _NOTHING

    def truth(self, name: str) -> Any:
        """True if the message mentions the member, false if it does so after a negation."""
        words = [word for word in split_words(name) if word not in word_set("empty") | word_set("auxiliary")]
        if not words or not all(closeness(word, split_words(self.text)) for word in words):
            return _NOTHING
        stems = "|".join(re.escape(word[:5]) for word in words)
        return not pattern(rf"\b(?:no|not|non|never|disable|skip|off)\b[\w\s-]{{0,20}}?\b(?:{stems})").search(self.text)


def _is_plain(value: Any) -> bool:
    return not isinstance(value, dict | list)

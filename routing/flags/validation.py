"""Problems of a flags file as sentences: violations of its JSON Schema, and of rules that a schema cannot express."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, Literal

from ..evidence.model import parse_utc
from ..parsing.schema_files import loaded, shown, violations
from ..parsing.strict_yaml import Document, Path

_SCHEMA = ("flags.schema.json", "routing")
_MAX_TOLD = 100
_MAX_GLOBS = 1000
_MAX_NAME = 100


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One problem of a flags file, at 1-based `line` and `column`.

    `path` is the key, such as `flags.NAME.percent`; "" means the whole file. The level `error` means that the file
    cannot be read, or that the problem is a step that a human must decide. The level `warning` means that a reviewer
    should look at it.
    """

    line: int
    column: int
    level: Literal["error", "warning"]
    path: str
    message: str

    @property
    def text(self) -> str:
        """The problem as a sentence: its path, then its message."""
        return f"{self.path}: {self.message}" if self.path else self.message

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.level}: {self.text}"


def problems(document: Document, models: Collection[str] = ()) -> list[Problem]:
    """All errors of a parsed flags file, in the order of the file; empty if it has none.

    `models` are the models of the catalogue; if it is empty, names of models are not checked. Rules beyond the schema
    are checked only if the file satisfies the schema. At most 100 errors are returned.
    """
    data = document.data
    told = list(islice(_violations(data), _MAX_TOLD)) or list(islice(_rules(data, models), _MAX_TOLD))
    return sorted({problem_at(document, path, message) for path, message in told})


def problem_at(document: Document, path: Path, message: str, level: Literal["error", "warning"] = "error") -> Problem:
    """A `Problem` at the line and column of the value at `path`."""
    line, column = document.position(path)
    return Problem(line, column, level, _dotted(path), message)


def _dotted(path: Path) -> str:
    """The path as text, such as `flags.NAME.controls[0]`.

    Names from the file are escaped and cut, because they may hold any character.
    """
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{ascii(step)[1:-1][:_MAX_NAME]}" for step in path)
    return text.removeprefix(".")


# ---------------------------------------------------------------------------------------------------------- schema


def _violations(data: Any) -> Iterator[tuple[Path, str]]:
    flags, most = (
        data.get("flags") if isinstance(data, dict) else None,
        schema()["properties"]["flags"]["maxProperties"],
    )
    if isinstance(flags, dict) and len(flags) > most:  # the validator would collect the errors of all of them first
        yield ("flags",), f"has {len(flags)} flags; at most {most} are read"
        return
    # To JSON Schema 10.0 and 1e1 are integers, to a reviewer they are typing errors.
    floats = set(_floats(data, ()))
    for steps, message in violations(data, *_SCHEMA):
        if tuple(steps) not in floats:
            yield tuple(steps), message
    for path in sorted(floats, key=str):
        yield path, "must be a whole number, without point or exponent"
    yield from _bad_names(data)


def _bad_names(data: Any) -> Iterator[tuple[Path, str]]:
    flags = data.get("flags") if isinstance(data, dict) else None
    allowed = schema()["definitions"]["name"]
    for name in flags if isinstance(flags, dict) else ():
        if not re.fullmatch(allowed["pattern"], name):
            yield ("flags", name), f"is not {allowed['title']}"


def _floats(data: Any, path: Path) -> Iterator[Path]:
    if isinstance(data, float):
        yield path
    children = data.items() if isinstance(data, Mapping) else enumerate(data) if isinstance(data, list) else ()
    for step, value in children:
        yield from _floats(value, (*path, step))


def schema() -> dict[str, Any]:
    """The JSON Schema (draft-07) of flags.yaml."""
    data, _ = loaded(*reversed(_SCHEMA))
    return data


# ----------------------------------------------------------------------------------------------- beyond the schema


def _rules(data: Mapping[str, Any], models: Collection[str]) -> Iterator[tuple[Path, str]]:
    if data.get("rollback_from", data["serial"] + 1) <= data["serial"]:
        yield ("rollback_from",), f"must be more than the serial, {data['serial']}: it allows the serial to go back"
    for name, flag in data["flags"].items():
        yield from _flag_rules(("flags", name), flag)
    yield from _ambiguous(data["flags"])
    named: list[tuple[Path, str]] = [(("default_model",), data["default_model"])]
    named += [(("fallback_models", number), name) for number, name in enumerate(data.get("fallback_models", ()))]
    for path, name in named if models else ():
        if name not in models:
            close = difflib.get_close_matches(name, models, n=1)
            hint = f"did you mean {close[0]}?" if close else f"available: {', '.join(models)}"
            yield path, f"{shown(name)} is not a model of the catalogue; {hint}"


def _flag_rules(path: Path, flag: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    ladder = flag.get("ladder", [100])
    if ladder[-1] != 100 or any(low >= high for low, high in pairwise(ladder)):
        yield (*path, "ladder"), "must rise and end at 100"
    evidence = flag.get("evidence", {"judged": 0, "passed": 0})
    if evidence["passed"] > evidence["judged"]:
        yield (*path, "evidence", "passed"), f"{evidence['passed']} passed of {evidence['judged']} judged"
    for key, node in schema()["definitions"]["flag"]["properties"].items():
        if key in flag and node.get("$ref") == "#/definitions/time":
            try:
                parse_utc(flag[key])
            except ValueError:
                yield (*path, key), f"{shown(flag[key])} is not a date"


def specificity(glob: str) -> tuple[bool, int]:
    """Sort key of an endpoint glob: a higher key is more specific.

    A glob without `*` is above all globs with one. Otherwise the glob with more characters other than `*` is above.
    """
    return "*" not in glob, len(glob) - glob.count("*")


def overlap(one: str, other: str) -> bool:
    """Whether some endpoint id can match both globs. Either both must have a `*`, or both must have none.

    Two globs with `*` have a common match under two conditions. Of their texts before the first `*`, one begins with
    the other. Of their texts after the last `*`, one ends with the other. The middle parts can then follow each other.
    """
    if "*" not in one or "*" not in other:
        return one == other
    heads = sorted((one[: one.index("*")], other[: other.index("*")]), key=len)
    tails = sorted((one[one.rindex("*") + 1 :], other[other.rindex("*") + 1 :]), key=len)
    return heads[1].startswith(heads[0]) and tails[1].endswith(tails[0])


def _ambiguous(flags: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """The first conflict of two flags: equally specific globs of both can match the same endpoint.

    More than `_MAX_GLOBS` globs are a problem as well, because the comparison takes quadratic time.
    """
    ranks: dict[tuple[bool, int], list[tuple[str, int, str]]] = {}
    total = 0
    for name, flag in flags.items():
        for number, glob in enumerate(flag["controls"]):
            total += 1
            if total > _MAX_GLOBS:  # the comparison below is quadratic
                yield ("flags", name, "controls"), f"more than {_MAX_GLOBS} globs in all flags"
                return
            equals = ranks.setdefault(specificity(glob), [])
            for other, _, rival in equals:
                if other != name and overlap(glob, rival):
                    told = f"{shown(glob)} of {name} and {shown(rival)} of {other} claim the same endpoints"
                    yield ("flags", name, "controls", number), f"{told}; make one of them more specific"
                    return
            equals.append((name, number, glob))

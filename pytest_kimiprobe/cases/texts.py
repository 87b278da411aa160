"""Generates long requests from short descriptions: repeated texts, plain pictures, many tools, long contexts. Pure.

Generation is deterministic, so that a case always sends the same request.
"""

from __future__ import annotations

import base64
import itertools
import re
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from routing.types import JsonObject, Message, Tool

LONGEST = 1 << 20
"""Largest number of characters of one generated text."""
_PLACE = re.compile(r"<<([a-z0-9_-]{1,40})>>")
_VERBS = ("archive", "export", "tag", "approve", "merge", "lock", "audit", "rank", "clone", "publish", "pin")
_NOUNS = (
    "invoice contract shipment campaign coupon survey payroll vendor ledger badge warehouse podcast".split()  # noqa: SIM905
)
_CLERKS = ("Anders", "Beatriz", "Chen", "Dalia", "Emeka", "Farah", "Goran")


class TextError(ValueError):
    """A text that cannot be generated; the message says why."""


def texts_of(rows: Mapping[str, Any]) -> dict[str, str]:
    """Texts of a case by name: as given, repeated, or a picture as data URL. Raises TextError if one is too long."""
    made: dict[str, str] = {}
    for name, row in rows.items():
        if isinstance(row, str):
            made[name] = row
        elif "repeat" in row:
            if len(row["repeat"]) * row["times"] > LONGEST:
                raise TextError(f"text {name!r} would have more than {LONGEST} characters")
            made[name] = row["repeat"] * row["times"]
        else:
            made[name] = picture(tuple(row["picture"]), row.get("size", 64))
    return made


def filled(value: Any, texts: Mapping[str, str]) -> Any:
    """`value` with each `<<name>>` in its strings replaced by the text `name`. Raises TextError for an unknown name."""
    if isinstance(value, str):
        return _PLACE.sub(lambda found: _named(found[1], texts), value)
    if isinstance(value, Mapping):
        return {key: filled(inner, texts) for key, inner in value.items()}
    return [filled(inner, texts) for inner in value] if isinstance(value, list) else value


def _named(name: str, texts: Mapping[str, str]) -> str:
    if name not in texts:
        raise TextError(f"<<{name}>> is not under `texts`; available: {', '.join(texts) or 'none'}")
    return texts[name]


def picture(colour: tuple[int, ...], size: int) -> str:
    """Data URL of a square PNG in one colour (red, green, blue)."""
    row = b"\0" + bytes(colour) * size
    head = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    parts = (("IHDR", head), ("IDAT", zlib.compress(row * size, 9)), ("IEND", b""))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name.encode(), body) for name, body in parts)
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def among(own: Iterable[Tool], count: int) -> list[Tool]:
    """`count` tools: those of the case in the middle of generated ones, which never fit what a case asks."""
    mine = list(own)
    taken = {tool["function"]["name"] for tool in mine}
    made = (tool for tool in _others() if tool["function"]["name"] not in taken)
    others = list(itertools.islice(made, max(count - len(mine), 0)))
    middle = len(others) // 2
    return [*others[:middle], *mine, *others[middle:]]


def _others() -> Iterable[Tool]:
    for noun, verb in itertools.product(_NOUNS, _VERBS):
        parameters: JsonObject = {
            "type": "object",
            "properties": {f"{noun}_id": {"type": "string", "description": f"Id of the {noun}, for example {noun}-17"}},
            "required": [f"{noun}_id"],
            "additionalProperties": False,
        }
        about = f"{verb.capitalize()} one {noun} of the back office, by its id."
        yield {
            "type": "function",
            "function": {"name": f"{verb}_{noun}", "description": about, "parameters": parameters},
        }


def context(words: int) -> Message:
    """A system message of about `words` words: minutes of an office that contain no request."""
    lines = ["Minutes of the back office, for reference only. Nothing in them is a request."]
    for number in range(1, words // 16 + 1):
        clerk, noun = _CLERKS[number % len(_CLERKS)], _NOUNS[number % len(_NOUNS)]
        lines.append(
            f"Entry {number}: {clerk} filed {noun} number {number * 37} in cabinet {number % 9} before noon, and "
            "nobody objected."
        )
    return {"role": "system", "content": "\n".join(lines)}

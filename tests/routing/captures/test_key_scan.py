"""Keys are found however they are encoded or cut, and answers without keys are accepted."""

from __future__ import annotations

import base64
import gzip
import json
import urllib.parse
import zlib
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_data import DATA, needs_data

from routing.captures.key_scan import holds_key, places

OURS = "canary-4711-Kq8Zr2Lm9Xv3"
ENVIRONMENT = {"MOONSHOT_API_KEY": OURS}
FOREIGN = "sk-or-v1-0123456789abcdef0123456789abcdef"


def coded(data: str | bytes) -> str:
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def streamed(pieces: Iterable[str]) -> str:
    events = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events)


def cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


FORMS: dict[str, Callable[[str], str | bytes]] = {
    "plain": lambda key: f"Your key {key} is wrong",
    "base64": coded,
    "base64, one byte late": lambda key: coded(f":{key}"),
    "base64, two bytes late": lambda key: coded(f"u:{key}."),
    "base64 behind letters": lambda key: f"pre_{coded(key)}",
    "base64 twice": lambda key: coded(coded(key)),
    "base64 over lines": lambda key: base64.encodebytes(f"{'x' * 60} {key} {'y' * 60}".encode()).decode(),
    "gzip": lambda key: gzip.compress(key.encode()),
    "gzip in the middle": lambda key: b"abc" + gzip.compress(b"hi " + key.encode()) + b"def",
    "gzip as base64 in JSON": lambda key: json.dumps({"a": [coded(gzip.compress(json.dumps({"k": key}).encode()))]}),
    "zlib": lambda key: zlib.compress(key.encode()),
    "url": lambda key: urllib.parse.quote(key).replace("-", "%2D"),
    "every character escaped": lambda key: "".join(f"\\u{ord(char):04x}" for char in key),
    "entities": lambda key: "".join(f"&#{ord(char)};" for char in key),
    "hexadecimal": lambda key: key.encode().hex(),
    "UTF-16": lambda key: key.encode("utf-16-le"),
    "arguments in arguments": lambda key: json.dumps({"arguments": json.dumps({"a": json.dumps({"b": key})})}),
    "a letter an event": streamed,
    "base64 over events": lambda key: streamed(cut(coded(key), 5)),
    "Replicate's events": lambda key: "".join(f"event: output\ndata: {piece}\n\n" for piece in cut(key, 4)),
    "a list of tokens": lambda key: json.dumps({"output": cut(key, 3)}),
    "parts of a message": lambda key: json.dumps({"content": [{"text": key[:9]}, {"text": key[9:]}]}),
    "a name": lambda key: json.dumps({key: 1}),
}


@pytest.mark.parametrize("key", [OURS, FOREIGN], ids=["ours", "foreign"])
@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_found_in_any_form(form: str, key: str) -> None:
    """Configured keys are found whatever they look like, other keys by their usual form."""
    assert holds_key(FORMS[form](key), ENVIRONMENT)


def test_the_path_of_a_key_is_reported_without_the_key() -> None:
    """The finding is a path into the cassette's data; a `!!binary` value is searched as bytes."""
    data = {"interactions": [{"response": {"body": {"string": gzip.compress(OURS.encode())}, "status": {"code": 200}}}]}
    assert list(places(data, ENVIRONMENT)) == ["interactions[0].response.body.string"]
    assert list(places({"a": {OURS: 1}}, ENVIRONMENT)) == ["a (a name)"]


def test_data_that_decodes_to_too_much_counts_as_a_key() -> None:
    """A decompression bomb in base64 cannot be searched completely, so it counts as a key."""
    assert holds_key(" ".join(coded(gzip.compress(bytes([at]) * (1 << 20))) for at in range(10)), {})


@given(st.text() | st.binary())
def test_any_value_can_be_scanned(value: str | bytes) -> None:
    """The scan never raises, and returns a result for every value."""
    assert holds_key(value, ENVIRONMENT) in {True, False}


@pytest.mark.parametrize("piece", ["token=", "eyJ", "\\\\", "%41", "&#1;", "bearer ", "a."])
def test_a_text_full_of_key_prefixes_is_scanned_in_linear_time(piece: str) -> None:
    """A text full of prefixes of keys is scanned in linear time."""
    assert not holds_key(piece * 50_000, {})


@needs_data
def test_no_key_is_found_in_real_traffic() -> None:
    """305 recorded exchanges of six providers contain no key, and the scan finds none."""
    found = []
    for line in (DATA / "recorded.jsonl").read_text("utf-8").splitlines()[::10]:
        row = json.loads(line)
        found += [row["id"] for part in ("request", "response") if holds_key(json.dumps(row[part]), ENVIRONMENT)]
    assert found == []

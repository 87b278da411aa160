"""Recordings are untrusted: a broken row is reported in a sentence, and the others are judged."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from pytest_kimiprobe.judging.judge import judge_any
from pytest_kimiprobe.recording.cassettes import RecordingError
from pytest_kimiprobe.recording.recordings import RecordedRow, files, read
from routing.parsing.strict_yaml import MAX_DEPTH
from routing.transport.limits import MAX_BODY

CALL = {"id": "functions.f:0", "type": "function", "function": {"name": "f", "arguments": '{"a": "ü"}'}}
BODY = json.dumps({"choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"tool_calls": [CALL]}}]})
ASKED: dict[str, Any] = {
    "model": "kimi-k2.6",
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
}
URI = "https://api.moonshot.ai/v1/chat/completions"


def a_row(**more: Any) -> dict[str, Any]:
    response = {"status": 200, "content_type": "application/json", "body": BODY}
    return {"id": "a", "provider": "moonshot", "url_path": "/v1/chat/completions", "request": ASKED} | {
        "response": response,
        **more,
    }


def written(folder: Path, *rows: Any) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n", "utf-8")
    return path


def verdict(row: RecordedRow) -> tuple[str, str, str]:
    word = judge_any(row.exchange(), row.tools)
    return word.verdict, word.reason, word.detail


def cassette(body: str, encoding: str = "", *, uri: str = URI, request: str | None = None) -> str:
    """One interaction, as vcrpy writes it; `body` is YAML."""
    asked = json.dumps(json.dumps(ASKED)) if request is None else request
    return (
        f"interactions:\n- request: {{method: POST, uri: {uri}, body: {asked}}}\n  response:\n"
        f"    status: {{code: 200, message: OK}}\n    body: {{string: {body}}}\n"
        f"    headers: {{Content-Type: [application/json], Content-Encoding: ['{encoding}']}}\nversion: 1\n"
    )


def binary(data: bytes) -> str:
    return f'!!binary "{base64.b64encode(data).decode()}"'


def tape(folder: Path, text: str, name: str = "tape.yaml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


# ---------------------------------------------------------------- rows that cannot be read


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"id": "b"}, "response is missing"),
        ([1], "the row must be an object"),
        ('{"id": "b"', "is not JSON"),
        ("[" * 100_000, "is nested deeper than 64 levels"),
        ('{"a": ' * 65 + "1" + "}" * 65, "is nested deeper than 64 levels"),
        ("1" * 5000, "is not JSON"),
        (a_row(response={"status": 200}), "response.body must be text or JSON"),
        (a_row(response={"status": 200, "body": 3_000_000_000}), "response.body must be text or JSON"),
        (a_row(response={"status": "x", "body": ""}), "response.status must be an HTTP status"),
        (a_row(response={"status": float("inf"), "body": ""}), "Infinity is not a number"),
        (a_row(response={"body": ""}), "response.status is missing"),
        (a_row(response=[]), "response must be an object"),
        (a_row(request="x"), "request must be an object"),
        (a_row(url_path=None), "url_path is missing"),
        (a_row(url_path=7), "url_path must be text"),
    ],
)
def test_a_malformed_row_is_an_item_that_names_file_line_and_field(tmp_path: Path, bad: Any, told: str) -> None:
    """Only that row has the verdict `error`, without blame of a provider; the others are judged."""
    good, wrong, last = read(written(tmp_path, a_row(), bad, a_row(id="c")))
    assert verdict(good)[0] == verdict(last)[0] == "pass"
    word, reason, detail = verdict(wrong)
    assert (word, reason) == ("error", "not_recorded")
    assert detail.startswith("rows.jsonl:2: ")
    assert told in detail
    assert judge_any(wrong.exchange(), ()).error_class is None


def test_a_file_of_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    """A file without any readable row is not a recording; the message names the first line."""
    with pytest.raises(RecordingError, match=r"rows\.jsonl:1: is not JSON"):
        read(written(tmp_path, "not", "json"))


# ---------------------------------------------------------------- names out of recordings


def test_ids_providers_and_models_are_one_printable_line(tmp_path: Path) -> None:
    """They become node ids and workflow output, so escapes, surrogates and workflow commands are removed."""
    hostile = "\x1b]0;pwned\x07\x1b[2Jx\n::error::y\ud800\x00 ##[stop]\u202e"
    (row,) = read(written(tmp_path, a_row(id=hostile, provider=hostile, model=hostile, url_path=hostile)))
    for text in (row.id, row.provider, row.model, row.path):
        assert text.isprintable()
        assert text.encode()
        assert " ::error" not in text
        assert "##[" not in text
        assert len(text) <= 80


def test_ids_are_cut_and_missing_ones_are_numbered(tmp_path: Path) -> None:
    """An id of invisible characters counts as missing."""
    rows = read(written(tmp_path, a_row(id="x" * 9999), a_row(id="\x00"), a_row(id=None), a_row(id=[1])))
    assert [len(rows[0].id), *(row.id for row in rows[1:])] == [200, "rows#2", "rows#3", "rows#4"]


def test_a_second_row_of_an_id_gets_a_number(tmp_path: Path) -> None:
    """No result replaces another, even if an id already ends in a number."""
    rows = read(written(tmp_path, *(a_row(id=name) for name in ("a", "a#2", "a", "a"))))
    assert [row.id for row in rows] == ["a", "a#2", "a#3", "a#4"]


# ---------------------------------------------------------------- cassettes: what vcrpy writes


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", gzip.compress(BODY.encode())),
        ("GZIP", gzip.compress(BODY.encode())),
        ("deflate", zlib.compress(BODY.encode())),
        ("deflate", zlib.compress(BODY.encode())[2:-4]),
        ("", BODY.encode()),
        ("gzip", BODY.encode()),
        ("br", BODY.encode()),
    ],
)
def test_compressed_bodies_are_decompressed(tmp_path: Path, encoding: str, data: bytes) -> None:
    """vcrpy stores compressed bodies; if it stored the decompressed body, the header may remain."""
    (row,) = read(tape(tmp_path, cassette(binary(data), encoding)))
    assert verdict(row) == ("pass", "ok", "")
    assert row.endpoint == "moonshot/kimi-k2.6"


@pytest.mark.parametrize(
    ("encoding", "data", "expected", "told"),
    [
        ("br", b"\x0b\x02\x80", ("unsupported", "other_protocol"), "decode_compressed_response=True"),
        ("zstd", b"\x28\xb5\x2f\xfd", ("unsupported", "other_protocol"), "'zstd' is not read here"),
        ("gzip", b"\xff\xfe", ("error", "bad_encoding"), "declares gzip, but is not"),
        ("gzip", gzip.compress(BODY.encode())[:-9], ("error", "bad_encoding"), "ends early"),
        ("gzip", gzip.compress(bytes(MAX_BODY + 1)), ("error", "body_too_large"), "more than"),
        ("deflate", zlib.compress(bytes(MAX_BODY + 1)), ("error", "body_too_large"), "more than"),
    ],
)
def test_a_body_that_cannot_be_decompressed_says_why(
    tmp_path: Path, encoding: str, data: bytes, expected: tuple[str, str], told: str
) -> None:
    """An unknown encoding is unsupported and named; damaged data and decompression bombs are errors."""
    (row,) = read(tape(tmp_path, cassette(binary(data), encoding)))
    assert verdict(row)[:2] == expected
    assert told in verdict(row)[2]


def test_a_json_cassette_is_read(tmp_path: Path) -> None:
    """vcrpy also writes JSON; in a folder, cassettes are distinguished from other JSON files."""
    request = {"uri": URI, "body": json.dumps(ASKED)}
    answer = {"status": {"code": 200}, "headers": {}, "body": {"string": BODY}}
    text = json.dumps({"version": 1, "interactions": [{"request": request, "response": answer}]})
    path = tape(tmp_path, text, "tape.json")
    tape(tmp_path, "{}", "package.json")
    assert files(tmp_path) == [path]
    assert [verdict(row)[0] for row in read(path)] == ["pass"]


def test_a_request_of_another_kind_is_unsupported(tmp_path: Path) -> None:
    """A request that is not a chat is named as unsupported, and other rows are judged."""
    (row,) = read(tape(tmp_path, cassette("'[]'", uri="https://x.example/v1/models", request="null")))
    assert verdict(row)[:2] == ("unsupported", "other_protocol")


# ---------------------------------------------------------------- cassettes: what nobody should write


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("interactions: 5\n", "not a cassette: no list `interactions`"),
        ("- 1\n", "not a cassette"),
        ("", "not a cassette"),
        ("interactions: " + "[" * 100_000, f"tape.yaml:1: is nested deeper than {MAX_DEPTH} levels"),
        ("interactions: " + "[" * 900 + "]" * 900, f"nested deeper than {MAX_DEPTH} levels"),
        ("a: &a [x]\ninteractions: *a\n", "tape.yaml:2: the alias 'a' is not read here"),
        ("interactions:\n- !!python/object:os.system x\n", "tape.yaml:2: the tag 'tag:yaml.org,2002:python/object"),
        ("interactions:\n- !!set {a}\n", "the tag"),
        ("interactions:\n- !!binary '*'\n", "!!binary is not base64"),
        ("? [a]\n: b\n", "a key that is not text"),
        ("interactions: [\n", "is not YAML"),
        ("interactions: []\n---\na: 1\n", "a second document"),
        ("\x01", "is not YAML"),
        (cassette("3000000000"), "interaction 1: response.body must be text or bytes"),
        (cassette("x", request="{string: 3000000000}"), "interaction 1: request.body must be text or bytes"),
        (cassette("x", uri="[a]"), "interaction 1: request.uri must be text"),
        (cassette("x", uri="'http://[x'"), "interaction 1: request.uri is not a URL"),
        ("interactions:\n- 2026-99-99\n", "interaction 1: it must be an object"),
        ("interactions:\n- request: {uri: x}\n", "interaction 1: response is missing"),
    ],
)
def test_a_hostile_cassette_is_refused_with_one_sentence(tmp_path: Path, text: str, told: str) -> None:
    """Recursion, expansion, huge numbers and dates raise a RecordingError that names the place."""
    with pytest.raises(RecordingError) as raised:
        read(tape(tmp_path, text))
    assert told in str(raised.value)


def test_dates_and_keywords_stay_text(tmp_path: Path) -> None:
    """A value that YAML would read as a date stays text."""
    (row,) = read(tape(tmp_path, "a: 2026-99-99\n" + cassette(json.dumps(BODY))))
    assert verdict(row)[0] == "pass"


def test_a_device_or_a_folder_is_no_recording(tmp_path: Path) -> None:
    """It is refused without waiting for data."""
    (tmp_path / "x.yaml").symlink_to("/dev/zero")
    with pytest.raises(RecordingError, match="not a regular file"):
        read(tmp_path / "x.yaml")


# ---------------------------------------------------------------- judged as the live judge does


def said(text: str, finish: str = "stop") -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": finish, "message": {"content": text}}
    return {"status": 200, "content_type": "application/json", "body": {"choices": [choice]}}


LEAK = "<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{}<|tool_call_end|>"


@pytest.mark.parametrize(
    ("asked", "response", "expected"),
    [
        ({"tool_choice": "required"}, said("half a sen", "length"), ("fail", "missing_call")),
        ({"tool_choice": {"type": "any"}}, said("no"), ("fail", "missing_call")),
        ({"tool_choice": {"type": "tool", "name": "f"}}, said("no"), ("fail", "missing_call")),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, said("no"), ("fail", "missing_call")),
        ({"tool_choice": "none"}, {**said(""), "body": json.loads(BODY)}, ("fail", "unexpected_call")),
        ({"messages": [{"role": "user", "content": LEAK}]}, said(LEAK), ("fail", "leaked_call")),
        ({"tool_choice": 5, "messages": 7, "parallel_tool_calls": "x"}, said("fine"), ("pass", "ok")),
        ({}, said("half a sen", "length"), ("pass", "ok")),
        ({}, said("", "length"), ("fail", "length")),
    ],
)
def test_a_row_is_checked_against_its_request_as_a_live_answer_is(
    tmp_path: Path, asked: dict[str, Any], response: dict[str, Any], expected: tuple[str, str]
) -> None:
    """`tool_choice`, quoted calls and `max_tokens` of the request decide, as in a live run."""
    (row,) = read(written(tmp_path, a_row(request=ASKED | asked, response=response)))
    word = judge_any(row.exchange(), row.tools, row.asked)
    assert (word.verdict, word.reason) == expected

"""Bodies: encodings, sizes, broken HTTP, and JSON that means something else than it seems to."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from asking import CATALOG, FIRST, STRICT_TOOL, TOOL, Asker, routed
from faulty_server import USAGE, Behaviour, FaultyServer, call, chat, delta, head, reply, stream

from routing import AllAttemptsFailed
from routing.tokens import prompt_tokens_of
from routing.transport.limits import MAX_BODY, MAX_MARKS
from routing.types import Reply, Usage

Faulty = Callable[..., FaultyServer]
PACKED = gzip.compress(json.dumps(chat()).encode())


def reason(asker: Asker, server: FaultyServer, **options: Any) -> str:
    """The reason code with which an exchange failed."""
    done = asker.ask(server.url, **options)
    assert done.error is not None
    assert done.answer is None
    assert done.error.error_class == "provider"
    return done.error.reason


# --------------------------------------------------------------------------------------------------------------- body


@pytest.mark.parametrize("speak", ["gzip_bomb", "gzip_bomb_stream"])
def test_bdy_04_a_gzip_bomb(faulty: Faulty, asker: Asker, speak: str) -> None:
    """It is stopped at the cap on what is decoded (test_faults_memory measures what that costs)."""
    assert reason(asker, faulty(speak)) == "body_too_large"


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "deflate", "gzip\r\nContent-Encoding: gzip", "x-unknown"])
def test_bdy_05_more_than_one_layer_of_gzip(faulty: Faulty, asker: Asker, encoding: str) -> None:
    """Only identity and one layer of gzip are taken, in whatever way more is declared."""
    assert reason(asker, faulty("gzip_chain")) == "bad_encoding"
    assert reason(asker, faulty(reply(PACKED, f"Content-Encoding: {encoding}"))) == "bad_encoding"


@pytest.mark.parametrize("raw", [b"not gzip", PACKED[:-20], PACKED + b"more", PACKED[:40]])
def test_bdy_06_declared_gzip_but_not(faulty: Faulty, asker: Asker, raw: bytes) -> None:
    """Other bytes, cut gzip and bytes after its end are told as a bad encoding."""
    assert reason(asker, faulty(reply(raw, "Content-Encoding: gzip"))) == "bad_encoding"


@pytest.mark.parametrize("packed", [PACKED, gzip.compress(b"\n\n") + PACKED])
def test_bdy_06_gzip_that_is_gzip(faulty: Faulty, asker: Asker, packed: bytes) -> None:
    """The counterpart: one layer is unfolded, also where it has several members."""
    answer = asker.ask(faulty(reply(packed, "Content-Encoding: GZIP")).url).answer
    assert answer is not None
    assert answer.text == "hello"


@pytest.mark.parametrize("speak", ["many_headers", "no_http"])
def test_bdy_08_headers_without_end(faulty: Faulty, asker: Asker, speak: str) -> None:
    """They are off the protocol, and so is what is no HTTP at all."""
    assert reason(asker, faulty(speak)) == "malformed_body"


def test_bdy_09_informational_answers_without_end(faulty: Faulty, asker: Asker) -> None:
    """They end with the deadline, or the answer comes after them."""
    done = asker.ask(faulty("informational").url, timeout_s=2.0)
    assert done.answer is not None or (done.error is not None and done.error.reason == "timeout")
    assert done.total_ms < 8_000


@pytest.mark.parametrize(
    "speak",
    [
        reply(json.dumps(chat(None, [call('{"note": "@"}')])).encode().replace(b"@", b"\xff\xfe")),
        stream(json.dumps(delta("stop", content="@")).encode().replace(b"@", b"\xc3\x28")),
    ],
    ids=["plain", "stream"],
)
def test_bdy_13_bytes_that_are_not_utf8(faulty: Faulty, asker: Asker, speak: Behaviour) -> None:
    """A replacement character could stand for anything, so nothing is replaced."""
    assert reason(asker, faulty(speak)) == "bad_encoding"


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_bdy_14_a_utf16_body(faulty: Faulty, asker: Asker, codec: str) -> None:
    """JSON between systems is UTF-8 (RFC 8259); another encoding is refused, never guessed."""
    assert reason(asker, faulty(reply(json.dumps(chat()).encode(codec)))) in {"bad_encoding", "malformed_body"}


def test_a_body_over_the_cap_and_one_just_under_it(faulty: Faulty, asker: Asker) -> None:
    """The cap is on decoded bytes, and what is under it is taken."""
    small = json.dumps(chat("x" * (MAX_BODY // 2 - 400))).encode()
    assert asker.ask(faulty(reply(small)).url).answer
    assert reason(asker, faulty(reply(b" " * MAX_BODY + small))) == "body_too_large"


def test_a_body_that_would_unfold_when_parsed(faulty: Faulty, asker: Asker) -> None:
    """A small body of very many JSON values is refused before it is parsed."""
    raw = json.dumps({**chat(), "x": [[]] * (MAX_MARKS // 2)}, separators=(",", ":")).encode()
    assert len(raw) < MAX_BODY
    assert reason(asker, faulty(reply(raw))) == "body_too_large"


def test_less_than_was_promised(faulty: Faulty, asker: Asker) -> None:
    """A body that ends before its length is cut, not malformed."""
    assert reason(asker, faulty("short_body")) == "connection_cut"


# --------------------------------------------------------------------------------------------------------------- json


@pytest.fixture
def judged(
    faulty: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[str, Any], dict[str, Any]], Reply]:
    """Router's reply where the only endpoint answers with one message."""

    def judge(answer: dict[str, Any], tool: dict[str, Any] = TOOL) -> Reply:
        with routed(tmp_path, monkeypatch, faulty(reply(answer)).url) as router:
            return router.complete("Call f.", tools=[tool])

    return judge


Judged = Callable[..., Reply]
INTEGER = 999999999999999999999999999999


def test_jsn_03_a_thirty_digit_integer(judged: Judged) -> None:
    """It arrives exactly, never rounded."""
    got = judged(chat(None, [call(f'{{"amount": {INTEGER}}}')]))
    assert got.tool_calls[0].arguments == {"amount": INTEGER}


@pytest.mark.parametrize("name", ["f\0", "f\x1b[31m", "\u202ef", "f\x7f"])
def test_jsn_07_control_characters_in_a_name(judged: Judged, name: str) -> None:
    """Such a call names no tool that was offered; nothing of it reaches a terminal."""
    with pytest.raises(AllAttemptsFailed) as caught:
        judged(chat(None, [call(name=name)]))
    assert {attempt.reason for attempt in caught.value.attempts} == {"unknown_tool"}
    assert str(caught.value).replace("\n", "").isprintable()


def test_jsn_07_control_characters_in_an_id(judged: Judged) -> None:
    """An id is given back to the host, so it is kept or replaced, but never printed raw."""
    got = judged(chat(None, [call(call_id="a\0b\x1b[31m")]))
    assert [one.name for one in got.tool_calls] == ["f"]
    assert "\x1b" not in repr(got)


def test_jsn_08_arguments_as_an_object(judged: Judged) -> None:
    """They are taken as rescued, and the attempt says so."""
    got = judged(chat(None, [call({"amount": 7})]))
    assert got.tool_calls[0].arguments == {"amount": 7}
    assert got.rescued
    assert got.attempts[-1].reason == "rescued_structure"
    assert "arguments_not_a_string" in got.notes


def test_jsn_09_arguments_encoded_twice(judged: Judged) -> None:
    """They are unwrapped once, and the attempt says so; three times is nobody's honest mistake."""
    once = json.dumps(json.dumps({"amount": 7}))
    got = judged(chat(None, [call(once)]))
    assert got.tool_calls[0].arguments == {"amount": 7}
    assert (got.rescued, got.attempts[-1].reason) == (True, "rescued_structure")
    with pytest.raises(AllAttemptsFailed):
        judged(chat(None, [call(json.dumps(json.dumps(once)))]))


@pytest.mark.parametrize("arguments", ["", None])
def test_jsn_10_no_arguments_at_all(judged: Judged, arguments: str | None) -> None:
    """For a tool that requires none they are `{}`, noted; where one is required it is missing."""
    got = judged(chat(None, [call(arguments)]))
    assert (got.tool_calls[0].arguments, got.rescued) == ({}, True)
    with pytest.raises(AllAttemptsFailed) as caught:
        judged(chat(None, [call(arguments)]), STRICT_TOOL)
    assert caught.value.error_class == "answer"


JUNK: tuple[Any, ...] = (None, "", "x", -1, 1.5, True, [], {}, [[]], [None], {"a": 1})


def mutations(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The answer with one of its values replaced by junk or taken out, each in turn."""

    def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, below in inner:
            yield (*path, key)
            yield from places(below, (*path, key))

    for *way, last in places(whole):
        for junk in (*JUNK, KeyError):
            copy = deepcopy(whole)
            holder = copy
            for step in way:
                holder = holder[step]
            if junk is KeyError:
                del holder[last]
            else:
                holder[last] = junk
            yield copy


def test_jsn_13_every_field_missing_or_of_another_type(faulty: Faulty, asker: Asker) -> None:
    """The answer is taken or has a reason; nonsense in usage makes the cost unknown, never a number."""
    bodies = [*mutations(chat("hello", id="g", model="m")), *mutations(chat(None, [call()]))]

    def speak(line: Any) -> None:
        while line.request():
            raw = json.dumps(bodies.pop()).encode()
            line.send(head(length=len(raw)), raw)

    server, seen = faulty(speak), set()
    while bodies:
        usage = bodies[-1].get("usage")
        done = asker.ask(server.url)
        seen.add(done.error.reason if done.error else "answered")
        assert done.error is None or done.error.reason in {"malformed_body", "server_error", "bad_request"}
        if done.answer is not None and usage != USAGE and done.answer.usage is None:
            assert (done.cost_usd, done.cost_origin) == (None, "unknown")
    assert seen >= {"answered", "malformed_body"}


@pytest.mark.parametrize("choices", [None, [], {}, "x", [None], [{}]])
def test_jsn_13_no_choices(faulty: Faulty, asker: Asker, choices: Any) -> None:
    """A 200 without an answer is off the protocol."""
    assert reason(asker, faulty(reply({"choices": choices}))) == "malformed_body"


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -1, "completion_tokens": 2}, {"prompt_tokens": "3"}])
def test_jsn_13_no_usable_usage(faulty: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, usage: Any) -> None:
    """The answer counts, its cost is an estimate and marked as one, and a budget takes the most it may have cost."""
    with routed(tmp_path, monkeypatch, faulty(reply(chat() | {"usage": usage})).url) as router:
        got = router.complete("hi", max_cost_usd=0.02)
    assert got.text == "hello"
    assert (got.attempts[0].cost_origin, got.cost_estimated) == ("estimated", True)
    price = CATALOG.endpoint(FIRST).prices[-1]
    assert got.cost_usd == price.cost(Usage(prompt_tokens_of([{"role": "user", "content": "hi"}], ()), 2)) > 0

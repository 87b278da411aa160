"""Account data is removed from recorded answers, and the answer that is judged is kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kimiprobe.engine.capture import CapturedExchange, CapturedRequest
from pytest_kimiprobe.recording.recorder import scrubbed
from routing.captures.account_data import clean_body
from routing.redaction import REDACTED

HOME = "https://api.moonshot.ai/v1"


@pytest.mark.parametrize(
    ("body", "kept", "gone"),
    [
        ('{"error":{"message":"limit of organization `org_01hx2m9k3jfaz` reached"}}', "limit of organization", "org_01hx"),
        ('{"error":{"message":"account org-0f3e4d5c6b7a<ak-f00dbabe1234> at its max"}}', "at its max", "f00dbabe"),
        ('{"error":{"message":"no credit"},"user_id":"somebody"}', "no credit", "somebody"),
        ('{"type":"error","error":{"type":"x"},"request_id":"req_011CSHoEeqs5"}', '"type":"x"', "011CSHo"),
        ('{"error":{"message":"Incorrect key: sk-proj-********abcd"}}', "Incorrect key", "abcd"),
        ('{"error":{"message":"10.1.2.3 is not allowed, write to me@firm.example"}}', "is not allowed", "firm"),
        ('{"error":{"metadata":{"raw":"{\\"user\\":\\"user-1234567890\\"}","provider_name":"X"}}}', "provider_name", "34567"),
        ("<html>request 6a3f0b1c-aaaa-4bbb-8ccc-0123456789ab failed</html>", "<html>request", "6a3f0b1c"),
        ('{"choices":[{"error":{"message":"org_01hx2m9k3jfaz"},"finish_reason":"error"}]}', "finish_reason", "01hx"),
    ],
)  # fmt: skip
def test_account_data_is_removed_from_an_error(body: str, kept: str, gone: str) -> None:
    """Ids of accounts and requests, addresses and masked keys are removed; the message stays readable."""
    clean = clean_body(body.encode(), 429, "application/json").decode()
    assert kept in clean
    assert gone not in clean
    assert REDACTED in clean


def test_the_answer_itself_is_kept_byte_for_byte() -> None:
    """A tool may be asked about an organization, so only data around the answer is replaced."""
    answer = '"choices" : [{"message":{"content":"org_01hx2m9k3jfaz, me@x.example, 10.1.2.3","user":"u"}}]'
    body = f'  {{"id":"gen-1","user":"u1", {answer},"x_groq":{{"id":"req_01kkht58t5"}}, "usage":{{"a":1}}}}\n'
    clean = clean_body(body.encode(), 200, "application/json").decode()
    assert clean == body.replace('"u1"', f'"{REDACTED}"').replace("req_01kkht58t5", REDACTED)


def test_events_are_cleaned_one_by_one() -> None:
    """Line ends, comments and lines that are not JSON are kept unchanged."""
    event = '{"choices":[{"delta":{"content":"user_12345678"}}],"user_id":"u1"}'
    body = f": for org_01hx2m9k3jfaz\r\ndata: {event}\r\n\r\nevent: done\ndata: user_12345678\n\ndata: [DONE]"
    clean = clean_body(body.encode(), 200, "text/event-stream; charset=utf-8").decode()
    assert clean == body.replace("org_01hx2m9k3jfaz", REDACTED).replace('"u1"', f'"{REDACTED}"')


@given(st.binary(), st.sampled_from([200, 500]), st.sampled_from(["application/json", "text/event-stream", ""]))
def test_any_bytes_can_be_cleaned(body: bytes, status: int, content_type: str) -> None:
    """Cleaning never raises, and bytes without ids are returned unchanged."""
    clean = clean_body(body, status, content_type)
    assert clean == body or REDACTED.encode() in clean


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    )
)
def test_what_was_json_stays_json(value: object) -> None:
    """A JSON document is still a JSON document after cleaning, however deeply it nests."""
    body = json.dumps({"a": value, "user_id": "x"}).encode()
    assert json.loads(clean_body(body, 200, "application/json"))["user_id"] == REDACTED


def test_only_listed_headers_stay_and_the_address_is_the_providers_own() -> None:
    """Set-Cookie, request ids and unknown headers are removed; a gateway's private address appears nowhere."""
    here = "http://10.0.0.7:8080/v1"
    step = CapturedRequest(
        "POST",
        f"{here}/chat/completions",
        {"authorization": "Bearer x", "content-type": "application/json", "cookie": "a=b"},
        b"{}",
        200,
        {
            "Content-Type": "application/json",
            "set-cookie": "s=1",
            "x-request-id": "r",
            "retry-after": "1",
            "x-org": "o",
        },
        f'{{"urls":{{"get":"{here}/p/1"}}}}'.encode(),
    )
    (clean,) = scrubbed(CapturedExchange((step,)), here, HOME).steps
    assert clean.url == f"{HOME}/chat/completions"
    assert clean.headers == {"content-type": "application/json"}
    assert clean.answer_headers == {"content-type": "application/json", "retry-after": "1"}
    assert clean.body == f'{{"urls":{{"get":"{HOME}/p/1"}}}}'.encode()


@pytest.mark.parametrize("piece", ["a.", "sk-", "org-", "user-", "1234.", "a@", "@a", "\\\\", "req_req"])
def test_a_body_full_of_id_prefixes_is_cleaned_in_linear_time(piece: str) -> None:
    """A body full of prefixes of ids is cleaned in linear time and kept."""
    body = (piece * 200_000).encode()
    assert clean_body(body, 500, "text/html") == body

"""What of a recorded answer is account data and goes, and what is evidence and stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kimiprobe.recording.account_data import clean_body, scrubbed
from pytest_kimiprobe.recording.tape import Step, Take
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
def test_who_asked_is_taken_out_of_an_error(body: str, kept: str, gone: str) -> None:
    """Ids of accounts and requests, addresses and masked keys; what happened stays readable."""
    clean = clean_body(body.encode(), 429, "application/json").decode()
    assert kept in clean
    assert gone not in clean
    assert REDACTED in clean


def test_what_was_answered_stays_byte_for_byte() -> None:
    """A tool may be asked about an organization: only what stands around the answer is cleaned, in place."""
    answer = '"choices" : [{"message":{"content":"org_01hx2m9k3jfaz, me@x.example, 10.1.2.3","user":"u"}}]'
    body = f'  {{"id":"gen-1","user":"u1", {answer},"x_groq":{{"id":"req_01kkht58t5"}}, "usage":{{"a":1}}}}\n'
    clean = clean_body(body.encode(), 200, "application/json").decode()
    assert clean == body.replace('"u1"', f'"{REDACTED}"').replace("req_01kkht58t5", REDACTED)


def test_events_are_cleaned_one_by_one() -> None:
    """Line ends, comments and what is no JSON stay as they came."""
    event = '{"choices":[{"delta":{"content":"user_12345678"}}],"user_id":"u1"}'
    body = f": for org_01hx2m9k3jfaz\r\ndata: {event}\r\n\r\nevent: done\ndata: user_12345678\n\ndata: [DONE]"
    clean = clean_body(body.encode(), 200, "text/event-stream; charset=utf-8").decode()
    assert clean == body.replace("org_01hx2m9k3jfaz", REDACTED).replace('"u1"', f'"{REDACTED}"')


@given(st.binary(), st.sampled_from([200, 500]), st.sampled_from(["application/json", "text/event-stream", ""]))
def test_no_bytes_are_too_strange(body: bytes, status: int, content_type: str) -> None:
    """Nothing is raised, and bytes without ids stay."""
    clean = clean_body(body, status, content_type)
    assert clean == body or REDACTED.encode() in clean


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    )
)
def test_what_was_json_stays_json(value: object) -> None:
    """However it nests."""
    body = json.dumps({"a": value, "user_id": "x"}).encode()
    assert json.loads(clean_body(body, 200, "application/json"))["user_id"] == REDACTED


def test_only_listed_headers_stay_and_the_address_is_the_providers_own() -> None:
    """Set-Cookie, request ids and whatever a host invents go; a gateway's private address stands nowhere."""
    here = "http://10.0.0.7:8080/v1"
    step = Step(
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
    (clean,) = scrubbed(Take((step,)), here, HOME).steps
    assert clean.url == f"{HOME}/chat/completions"
    assert clean.headers == {"content-type": "application/json"}
    assert clean.answer_headers == {"content-type": "application/json", "retry-after": "1"}
    assert clean.body == f'{{"urls":{{"get":"{HOME}/p/1"}}}}'.encode()


@pytest.mark.parametrize("piece", ["a.", "sk-", "org-", "user-", "1234.", "a@", "@a", "\\\\", "req_req"])
def test_a_long_body_of_beginnings_costs_no_more_than_another(piece: str) -> None:
    """Each place is looked at once, not once for every place before it; what is no id stays."""
    body = (piece * 200_000).encode()
    assert clean_body(body, 500, "text/html") == body

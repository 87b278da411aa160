"""Keys are removed from bytes in any pieces and from text in any spelling; everything else stays."""

from __future__ import annotations

import base64
import json
import logging
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.redaction import REDACTED, LogFilter, Secrets, environment_secrets, known, redact, shown_url

KEY = "sk-or-v1-" + "0a1b2c3d" * 8
ODD = "p/a+s s%w&ör<d>" * 2
SECRETS = Secrets([KEY, ODD])
PRINTABLE = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Z"]), max_size=40)


def spellings(key: str) -> list[str]:
    """The forms in which a host may echo a key."""
    raw = key.encode()
    based = [base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode().rstrip("=")]
    return [key, *based, quote(key), quote(key, safe=""), json.dumps(key)[1:-1], raw.hex(), raw.hex().upper()]


@pytest.mark.parametrize("key", [KEY, ODD])
@given(PRINTABLE, PRINTABLE, st.data())
def test_a_key_is_found_in_any_spelling_and_any_pieces(key: str, before: str, after: str, data: st.DataObject) -> None:
    """Whole or streamed, the key is removed and the text around it stays."""
    spelling = data.draw(st.sampled_from(spellings(key)))
    text = f"{before} {spelling} {after}"
    assert spelling not in SECRETS.text(text)
    raw, stream, out = text.encode(), SECRETS.stream(), b""
    while raw:
        size = data.draw(st.integers(1, len(raw)))
        out, raw = out + stream.feed(raw[:size]), raw[size:]
    out += stream.finish()
    assert spelling.encode() not in out
    assert out.startswith(before.encode())
    assert out.endswith(after.encode())
    assert REDACTED.encode() in out


@given(st.binary(max_size=200), st.integers(1, 50))
def test_what_holds_no_key_is_not_changed(data: bytes, size: int) -> None:
    """No byte of an answer is lost, and none is held back at its end."""
    stream = SECRETS.stream()
    out = b"".join(stream.feed(data[at : at + size]) for at in range(0, len(data), size)) + stream.finish()
    assert out == SECRETS.data(data) == data


def test_only_what_may_be_the_beginning_of_a_key_is_held_back() -> None:
    """Events of a stream end in a line break, so they are passed on immediately."""
    stream = SECRETS.stream()
    assert stream.feed(b'data: {"a": "sk"}\n\n') == b'data: {"a": "sk"}\n\n'
    assert stream.feed(b"the key sk-or-v") == b"the key "
    assert stream.feed(b"alue") == b"sk-or-value"


def test_a_key_without_its_prefix_is_removed_too() -> None:
    """The prefix is known to everybody, so the rest is the key."""
    assert KEY[9:] not in SECRETS.text(f"bad key {KEY[9:]}")
    assert SECRETS.text("sk-or-v1- keys begin so") == "sk-or-v1- keys begin so"


def test_a_placeholder_is_not_redacted() -> None:
    """Self-hosted servers accept any key; removing `EMPTY` from answers would damage them."""
    assert Secrets(["EMPTY", "", "x"]).text("EMPTY x") == "EMPTY x"


@pytest.mark.parametrize(
    "secret",
    [
        "sk-or-v1-" + "0a" * 32,
        "sk-ant-api03-" + "aB3_" * 23 + "AA",
        "gsk_" + "a1B2" * 13,
        "r8_" + "a1B2" * 9 + "c",
        "tgp_v1_" + "aB3-" * 11,
        "sk-" + "a1B2" * 12,
        "ghp_" + "a1B2" * 9,
        "ghs_" + "a1B2" * 9,
        "github_pat_" + "a1" * 41,
        "xoxb-" + "1234567890-" * 3,
        "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
    ],
)
def test_what_looks_like_a_key_is_removed_from_our_own_texts(secret: str) -> None:
    """Errors, logs and reports hold no key, known or not."""
    for text in (secret, f"key={secret},", f"Bearer {secret}", f'{{"k": "{secret}"}}'):
        assert secret not in redact(text, {})


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Authorization: Basic dXNlcjpwYXNzd29yZDE=", f"Authorization: Basic {REDACTED}"),
        ("api_key='0123456789abcdef0123'", f"api_key='{REDACTED}'"),
        ("https://hooks.slack.com/services/T0/B0/abc", f"https://hooks.slack.com/services/{REDACTED}"),
        ("https://hooks.slack.com/triggers/T0/1/abc", f"https://hooks.slack.com/triggers/{REDACTED}"),
        ("the token context_length_exceeded", "the token context_length_exceeded"),
        ("moonshotai/kimi-k2.6+novita/fp8: HTTP 429", "moonshotai/kimi-k2.6+novita/fp8: HTTP 429"),
    ],
)
def test_a_value_after_a_credential_name_is_a_key(text: str, clean: str) -> None:
    """A value after a word such as "token" is removed; similar text that is not a key stays."""
    assert redact(text, {}) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://user:PASS@h/x?sig=SECRET", f"https://{REDACTED}@h/x?sig={REDACTED}"),
        ("GET https://PASS@h/x failed", f"GET https://{REDACTED}@h/x failed"),
        ("http://user:PA@SS@h:3128", f"http://{REDACTED}@h:3128"),
        ("https://h/x?page=2&access_token=SECRET#top", f"https://h/x?page=2&access_token={REDACTED}#top"),
        ("https://h/x?X-Amz-Credential=SECRET&X-Amz-Date=1", f"https://h/x?X-Amz-Credential={REDACTED}&X-Amz-Date=1"),
        ("https://h/x?X-Goog-Signature=SECRET", f"https://h/x?X-Goog-Signature={REDACTED}"),
        ("https://h/x?api_key=SECRET&key=SECRET", f"https://h/x?api_key={REDACTED}&key={REDACTED}"),
        ("https://h/@user/x?page=2, a@b.example", "https://h/@user/x?page=2, a@b.example"),
        ("user:PASS@h without a scheme", "user:PASS@h without a scheme"),
    ],
)
def test_credentials_in_urls_are_removed(text: str, clean: str) -> None:
    """User, password, and values of the query that are secret by their name; the rest of the URL stays."""
    assert redact(text, {}) == clean


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:PASS@h/x?sig=SECRET&v=SECRET#SECRET", f"https://{REDACTED}@h/x?sig={REDACTED}&v={REDACTED}"),
        ("https://h/x?SECRET", f"https://h/x?{REDACTED}"),
        ("https://h/latest.json", "https://h/latest.json"),
        ("https://user:PASS?x@h/", f"https://{REDACTED}"),
        ("https://user:PASS/x@h/", f"https://{REDACTED}"),
        ("https://[PASS", f"https://{REDACTED}"),
    ],
)
def test_a_url_is_shown_without_anything_that_may_be_secret(url: str, shown: str) -> None:
    """Every value of the query may be."""
    assert shown_url(url) == shown


def test_the_values_of_secret_variables_are_known() -> None:
    """They are recognised by their names, and only if they are long enough to be a key."""
    environment = {
        "MY_API_KEY": "plainwords-one",
        "A_TOKEN": "short",
        "PATH": "/usr/local/bin",
        "X_PASSWORD": "hunter2hunter2",
    }
    assert redact("plainwords-one short /usr/local/bin hunter2hunter2", environment) == (
        f"{REDACTED} short /usr/local/bin {REDACTED}"
    )
    assert environment_secrets(environment) is environment_secrets(dict(environment))


def test_no_representation_shows_them() -> None:
    """Keys do not show as locals of a frame either."""
    assert KEY not in f"{SECRETS!r} {SECRETS.stream()!r} {known(frozenset({KEY}))!r} {LogFilter()!r}"


def test_a_log_record_loses_its_keys_and_nothing_else() -> None:
    """Arguments are filled in first, because a key may be one of them."""
    keep = LogFilter()
    keep.learn(frozenset({ODD}))
    record = logging.LogRecord("httpx2", 10, __file__, 1, "GET %s %d", (f"/x?{ODD}&{KEY}", 200), None)
    assert keep.filter(record)
    assert record.getMessage() == f"GET /x?{REDACTED}&{REDACTED} 200"

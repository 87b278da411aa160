"""What bounds a response, piece by piece: sizes, gzip, JSON that unfolds, and the names of failures."""

from __future__ import annotations

import gzip
import importlib
import socket
import ssl
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.errors import ProviderFailure
from routing.transport import limits
from routing.transport.failures import RequestProgress, failure_of, timed_out
from routing.transport.limits import BodyLimit, GzipDecoder
from routing.wire import answer_stream as text_limits
from routing.wire.openai_answer import OpenAIStream


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The data in pieces of these sizes, again and again."""
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        yield data[at : at + size]
        at, turn = at + size, turn + 1


SIZES = st.lists(st.integers(1, 3000), min_size=1, max_size=5)


def measured(pieces: Iterator[bytes], *, stream: bool, most: int = 1 << 30) -> str:
    """The detail of the limit's error; empty if the pieces are accepted."""
    limit = BodyLimit(stream=stream, max_bytes=most)
    try:
        for piece in pieces:
            limit.feed(piece)
    except ProviderFailure as failure:
        assert failure.reason == "body_too_large"
        return failure.detail
    return ""


@given(st.integers(0, 3000), SIZES)
def test_a_body_is_measured_the_same_in_any_pieces(over: int, sizes: list[int]) -> None:
    """What is over the cap is over it, however it arrives."""
    body = b"x" * (2000 + over - 1000)
    assert bool(measured(cut(body, sizes), stream=False, most=2000)) == (len(body) > 2000)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
@given(SIZES)
def test_an_event_ends_with_an_empty_line_wherever_it_is_cut(end: bytes, sizes: list[int]) -> None:
    """A long stream of short events is taken; one event is not, once it is too long."""
    short = b'data: {"choices":[{}]}' + end
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "MAX_EVENT", 6_200)
        patch.setattr(limits, "MAX_MARKS", 60)
        assert not measured(cut(short * 300, sizes), stream=True)
        assert "an event of more than" in measured(cut(b"data: " + b"x" * 9_500, sizes), stream=True)
        assert "JSON values" in measured(cut(b"data: " + b"[" * 61 + b"]" * 3_000, sizes), stream=True)


@given(st.binary(max_size=5000), SIZES)
def test_gzip_is_unfolded_the_same_in_any_pieces(data: bytes, sizes: list[int]) -> None:
    """Also with several members."""
    packed = gzip.compress(data) + gzip.compress(data[::-1])
    decoder = GzipDecoder()
    whole = b"".join(piece for raw in cut(packed, sizes) for piece in decoder.feed(raw))
    decoder.finish()
    assert (whole, decoder.problem) == (data + data[::-1], "")


@given(st.binary(min_size=1, max_size=300), SIZES)
def test_what_is_not_gzip_has_a_problem(data: bytes, sizes: list[int]) -> None:
    """Never an exception, never silence."""
    decoder = GzipDecoder()
    for raw in cut(data, sizes):
        list(decoder.feed(raw))
    decoder.finish()
    try:
        zlib.decompress(data, wbits=31)
    except zlib.error:
        assert decoder.problem


def test_gzip_comes_out_in_small_pieces() -> None:
    """A gzip bomb is stopped by the limit before all of it is decoded."""
    decoder = GzipDecoder()
    pieces = decoder.feed(gzip.compress(b"\0" * (1 << 24)))
    assert all(len(next(pieces)) <= 1 << 16 for _ in range(50))


def test_an_empty_body_is_no_gzip_and_no_problem() -> None:
    """Hosts declare gzip for answers without a body."""
    decoder = GzipDecoder()
    assert list(decoder.feed(b"")) == []
    decoder.finish()
    assert decoder.problem == ""


def test_limit_for_text_is_used_up_by_characters_and_by_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both cost memory."""
    monkeypatch.setattr(text_limits, "MAX_TEXT", 10)
    monkeypatch.setattr(text_limits, "MAX_PIECES", 3)
    limit = OpenAIStream()
    assert [limit.take(text) for text in ("x" * 8, "", "yz")] == ["x" * 8, "", "yz"]
    with pytest.raises(ProviderFailure, match="body_too_large"):
        limit.take("")
    with pytest.raises(ProviderFailure, match="body_too_large"):
        OpenAIStream().take("x" * 11)


def test_limit_for_a_value_is_used_up_by_what_it_unfolds_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two characters of JSON can become an object."""
    monkeypatch.setattr(text_limits, "MAX_PIECES", 5)
    assert OpenAIStream().take_value([{}, "é"]) == '[{}, "é"]'
    with pytest.raises(ProviderFailure, match="body_too_large"):
        OpenAIStream().take_value([[], [], []])


# ----------------------------------------------------------------------------------------------------------- failures


@pytest.fixture(params=["httpx", "httpx2"])
def http(request: pytest.FixtureRequest) -> Any:
    """Both HTTP libraries."""
    return importlib.import_module(request.param)


def caused(error: Exception, cause: BaseException) -> Exception:
    """The error as the library raises it."""
    error.__cause__ = cause
    return error


def certificate(code: int) -> ssl.SSLCertVerificationError:
    """A refused certificate."""
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "text of OpenSSL"
    return error


def tls(reason: str) -> ssl.SSLError:
    """A failed handshake."""
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("cause", "reason", "detail"),
    [
        (ConnectionRefusedError(), "connect_refused", ""),
        (OSError("All connection attempts failed"), "connect_failed", ""),
        (ExceptionGroup("x", [OSError("unreachable"), ConnectionRefusedError()]), "connect_refused", ""),
        (socket.gaierror(-2, "x"), "dns", ""),
        (UnicodeError("label too long"), "dns", ""),
        (certificate(10), "tls", "tls_expired: certificate: text of OpenSSL"),
        (certificate(9), "tls", "tls_not_yet_valid: certificate"),
        (certificate(62), "tls", "tls_wrong_host: certificate"),
        (certificate(20), "tls", "tls_untrusted: certificate"),
        (certificate(23), "tls", "tls_revoked: certificate"),
        (certificate(999), "tls", "tls_certificate: certificate"),
        (tls("WRONG_VERSION_NUMBER"), "tls", "tls_plaintext"),
        (tls("TLSV1_ALERT_PROTOCOL_VERSION"), "tls", "tls_handshake: TLSV1_ALERT_PROTOCOL_VERSION"),
    ],
    ids=repr,
)
def test_a_connection_that_fails_is_named_by_its_cause(http: Any, cause: Exception, reason: str, detail: str) -> None:
    """Both libraries fold them into one class."""
    for error in (caused(http.ConnectError("x"), cause), caused(http.ConnectError("x"), caused(OSError("y"), cause))):
        failure = failure_of(error, RequestProgress(fresh=True))
        assert (failure.reason, failure.error_class, failure.phase) == (reason, "provider", "connect")
        assert failure.detail.startswith(detail)


@pytest.mark.parametrize(
    ("name", "message", "reason", "retryable"),
    [
        ("ReadError", "", "connection_cut", True),
        ("WriteError", "", "connection_cut", True),
        ("RemoteProtocolError", "Server disconnected without sending a response.", "connection_cut", True),
        ("RemoteProtocolError", "peer closed connection without sending complete message body", "connection_cut", True),
        ("RemoteProtocolError", "illegal status line: bytearray(b'sk-Canary7')", "malformed_body", False),
        ("LocalProtocolError", "Illegal header value b'Bearer sk-Canary7'", "bad_request", False),
        ("UnsupportedProtocol", "", "bad_request", False),
        ("ProxyError", "407", "bad_request", False),
    ],
)
def test_other_failures_are_named_without_the_librarys_words(
    http: Any, name: str, message: str, reason: str, retryable: bool
) -> None:
    """Those may quote headers, and what the host sent."""
    failure = failure_of(getattr(http, name)(message), RequestProgress(phase="headers", fresh=True))
    assert (failure.reason, failure.retryable) == (reason, retryable)
    assert "Canary" not in f"{failure} {failure!r}"


@pytest.mark.parametrize("phase", ["connect", "send", "headers", "body"])
def test_a_deadline_says_what_it_waited_for(phase: Any) -> None:
    """In words, and as phase."""
    failure = timed_out(0.25, RequestProgress(phase))
    assert (failure.reason, failure.phase, failure.retryable) == ("timeout", phase, True)
    assert "after 0.25 s, " in failure.detail

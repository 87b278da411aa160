"""What the HTTP library raises, told in our own errors: which part failed, whose doing it was, without any foreign word.

httpx and httpx2 name their exceptions alike, so that names are enough, and nothing here imports either. Their messages
may quote headers or bytes of a response; none of them is passed on.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import ExchangeError, ProviderFailure, RequestRejected
from .types import Phase

_WAITING: dict[Phase, str] = {
    "connect": "while connecting",
    "send": "while sending the request",
    "headers": "before the answer began",
    "body": "before the answer was complete",
    "parse": "",
    "verify": "",
}
_CERTIFICATE = {
    9: "tls_not_yet_valid",
    10: "tls_expired",
    18: "tls_untrusted",
    19: "tls_untrusted",
    20: "tls_untrusted",
    21: "tls_untrusted",
    23: "tls_revoked",
    62: "tls_wrong_host",
    64: "tls_wrong_host",
}
"""OpenSSL's X509_V_ERR codes (include/openssl/x509_vfy.h)."""
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})
_CUT = ("disconnected without", "closed connection without", "incomplete chunked")


@dataclass(slots=True)
class Progress:
    """How far an exchange has come."""

    phase: Phase = "connect"
    fresh: bool = False
    """A connection was made for it; otherwise it went over a kept one."""
    handshake: bool = False
    """The TLS handshake began and has not ended."""
    tunnel: bool = False
    """A proxy has let it through."""
    stale: bool = False
    """A kept connection failed before anything came back: the server had closed it."""
    heard: bool = False
    """Something came back."""

    def begin(self) -> None:
        """Once more from the start, on another connection."""
        self.phase = "connect"
        self.fresh = self.handshake = self.tunnel = self.stale = self.heard = False


def failure_of(error: BaseException, progress: Progress, *, proxied: bool = False) -> ExchangeError:
    """The error for an exception of the HTTP library."""
    names = {kind.__name__ for kind in type(error).__mro__}
    phase = progress.phase
    if names & {"LocalProtocolError", "InvalidURL", "UnsupportedProtocol"}:
        return RequestRejected("bad_request", "the request cannot be written as HTTP", phase="send")
    if "ProxyError" in names or (proxied and progress.fresh and not progress.tunnel):
        return _proxy_failure()
    if names & {"ConnectError", "OSError", "UnicodeError"}:
        return _connect_failure(error, handshake=progress.handshake)
    if "RemoteProtocolError" in names and not any(words in str(error) for words in _CUT):
        return ProviderFailure("malformed_body", "the answer is not HTTP, or its headers are too long", phase=phase)
    return ProviderFailure("connection_cut", _WAITING[phase], phase=phase, retryable=True)


def timed_out(timeout_s: float, phase: Phase) -> ProviderFailure:
    """The total deadline passed in `phase`."""
    return ProviderFailure("timeout", f"after {timeout_s:g} s, {_WAITING[phase]}", phase=phase, retryable=True)


def forget_frames(error: BaseException) -> None:
    """Take the tracebacks from an error and its causes: the library's frames hold headers, and so keys."""
    for each in _chain(error):
        each.__traceback__ = None


def _connect_failure(error: BaseException, *, handshake: bool) -> ExchangeError:
    causes = tuple(_chain(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return ProviderFailure("tls", _tls_words(cause), phase="connect")
    if handshake:
        return ProviderFailure("tls", "tls_cut: the handshake was cut", phase="connect", retryable=True)
    reason = "connect_failed"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        reason = "connect_refused"
    elif any(isinstance(cause, socket.gaierror | UnicodeError) for cause in causes):
        reason = "dns"
    return ProviderFailure(reason, phase="connect", retryable=True)


def _proxy_failure() -> ExchangeError:
    """Ours, not the provider's: it must never move a flag."""
    return RequestRejected(
        "bad_request", "the proxy does not let it through", phase="connect", advice="check KIMIPROBE_PROXY"
    )


def _tls_words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        name = _CERTIFICATE.get(error.verify_code, "tls_certificate")
        return f"{name}: certificate: {error.verify_message}"
    if error.reason in _NO_TLS:
        return "tls_plaintext: the port does not speak TLS"
    return f"tls_handshake: {error.reason or 'cut'}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what caused it, and the members of groups."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for member in error.exceptions:
                yield from _chain(member)
        error = error.__cause__ or error.__context__

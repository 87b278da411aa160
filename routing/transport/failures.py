"""Translates exceptions of the HTTP library and of this machine into errors of this package.

httpx and httpx2 name their exceptions alike, so names are enough, and nothing here imports either. The library's
messages may quote headers or bytes of a response, so none of them is passed on.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import ExchangeError, ProviderFailure, RequestRejected
from ..types import Phase

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
"""Names of the certificate's faults, by OpenSSL's X509_V_ERR code (include/openssl/x509_vfy.h)."""
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})
_CUT = ("disconnected without", "closed connection without", "incomplete chunked")
_LIBRARY = frozenset({"NetworkError", "ProtocolError", "TimeoutException", "ProxyError", "OSError", "UnicodeError"})
"""Names of the base classes of those exceptions that a host can cause."""
_LOCAL_ERRNO = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOBUFS,
        errno.EADDRNOTAVAIL,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.EACCES,
        errno.EPERM,
    }
)
"""Errors of the kernel that say nothing about a host: no descriptor, memory, local port, network or permission."""
_LOCAL_LOOKUP = {getattr(socket, name, None) for name in ("EAI_AGAIN", "EAI_MEMORY", "EAI_SYSTEM")}
"""Errors of `getaddrinfo` that mean that no name server was reached."""


@dataclass(slots=True)
class RequestProgress:
    """How far one request has come."""

    phase: Phase = "connect"
    fresh: bool = False
    """Whether a new connection was made for the request."""
    handshake: bool = False
    """Whether the TLS handshake has begun and has not ended."""
    proxy: bool = False
    """Whether the new connection leads to a proxy that has not opened a tunnel."""
    heard: bool = False
    """Whether at least one byte of an answer has come."""
    queued: bool = False
    """Whether the request waits for a free connection, because the pool has reached its limit."""
    begun: float | None = None
    """Time on the monotonic clock at which the request was first given a connection."""

    def begin(self) -> None:
        """Reset the fields about the connection, because the request starts on a new one."""
        self.phase = "connect"
        self.fresh = self.handshake = self.proxy = self.heard = False
        self.begun = self.begun or time.monotonic()


def failure_of(error: Exception, progress: RequestProgress) -> ExchangeError:
    """This package's error for an exception that was raised while sending or receiving."""
    names = {kind.__name__ for kind in type(error).__mro__}
    phase = progress.phase
    if names & {"LocalProtocolError", "InvalidURL", "UnsupportedProtocol"}:
        return RequestRejected("bad_request", "the request cannot be written as HTTP", phase="send")
    if not names & _LIBRARY or _is_local(error):
        return local_failure(error, phase)
    if "ProxyError" in names or progress.proxy:
        return RequestRejected(  # it must never move a flag
            "bad_request", "the proxy refuses the connection", phase="connect", advice="check KIMIPROBE_PROXY"
        )
    if names & {"ConnectError", "OSError", "UnicodeError"}:
        return _connect_failure(error, handshake=progress.handshake)
    if "RemoteProtocolError" in names and not any(words in str(error) for words in _CUT):
        return ProviderFailure("malformed_body", "the answer is not HTTP, or its headers are too long", phase=phase)
    return ProviderFailure("connection_cut", _WAITING[phase], phase=phase, retryable=True)


def local_failure(error: Exception, phase: Phase) -> ExchangeError:
    """This package's error for an exception that this machine caused.

    Causes are, for example, no free descriptor, no network, a patched function or a bug.
    """
    for cause in _chain(error):
        if isinstance(cause, socket.gaierror):
            return RequestRejected("local_failure", "no name server was reached", phase=phase, retryable=True)
        if isinstance(cause, OSError) and cause.errno is not None:
            name = errno.errorcode.get(cause.errno, type(cause).__name__)
            return RequestRejected("local_failure", name, phase=phase, retryable=True)
    return RequestRejected("local_failure", f"unexpected {type(error).__name__}", phase=phase)


def timed_out(timeout_s: float, progress: RequestProgress, waiting: str = "") -> ExchangeError:
    """This package's error for a time limit that passed; `waiting` says for what the exchange waited.

    If the request still waited for one of this program's connections, the error is ours.
    """
    phase = progress.phase
    if progress.queued:
        told = f"after {timeout_s:.3g} s, while all connections that this program may have were in use"
        return RequestRejected("local_failure", told, phase="connect", retryable=True)
    detail = f"after {timeout_s:.3g} s, {waiting or _WAITING[phase]}"
    return ProviderFailure("timeout", detail, phase=phase, retryable=True)


def forget_frames(error: BaseException) -> None:
    """Remove the tracebacks of an error and its causes: frames of the library hold headers, and with them keys."""
    for each in _chain(error):
        each.__traceback__ = None


def _is_local(error: Exception) -> bool:
    """Whether this machine, not a host, caused the error.

    That is so if every cause with an error number has one of this machine, and there is at least one.
    """
    causes = [cause for cause in _chain(error) if isinstance(cause, OSError) and cause.errno is not None]
    return bool(causes) and all(
        cause.errno in (_LOCAL_LOOKUP if isinstance(cause, socket.gaierror) else _LOCAL_ERRNO)
        and not isinstance(cause, ssl.SSLError)
        for cause in causes
    )


def _connect_failure(error: Exception, *, handshake: bool) -> ExchangeError:
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


def _tls_words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        name = _CERTIFICATE.get(error.verify_code, "tls_certificate")
        return f"{name}: certificate: {error.verify_message}"
    if error.reason in _NO_TLS:
        return "tls_plaintext: the port does not speak TLS"
    return f"tls_handshake: {error.reason or 'cut'}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, its causes, and the members of exception groups among them."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for member in error.exceptions:
                yield from _chain(member)
        error = error.__cause__ or error.__context__

"""Every fault is tried under both HTTP libraries."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
from asking import Asker
from faulty_server import Behaviour, FaultyServer


@pytest.fixture(params=["httpx", "httpx2"], autouse=True)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The HTTP library that the transport takes."""
    monkeypatch.setenv("KIMIPROBE_HTTP", request.param)
    return str(request.param)


@pytest.fixture
def faulty() -> Iterator[Callable[..., FaultyServer]]:
    """Starts a faulty server; all end with the test."""
    with ExitStack() as stack:

        def start(speak: str | Behaviour, tls: ssl.SSLContext | None = None) -> FaultyServer:
            return stack.enter_context(FaultyServer(speak, tls))

        yield start


@pytest.fixture
def asker(library: str) -> Iterator[Asker]:
    """Asks over one transport."""
    asker = Asker()
    yield asker
    asker.close()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority of the tests' own."""
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """The authority, trusted by clients that are made from now on."""
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return authority

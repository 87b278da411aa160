"""Keys: where they may go, and where they must never be seen, whatever a host does with them."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from asking import CATALOG, FIRST, KEY, Asker, routed
from canary import leaking_files, leaks
from faulty_server import FaultyServer, call, chat, redirect, reply, tls_of, tunnel

from routing import AllAttemptsFailed, CatalogError, ConfigError, FlagsError, KeyMissing, catalog
from routing.exchange import Exchange, Target
from routing.flags.model import Flags
from routing.redaction import REDACTED
from routing.transport import HttpRequest, Transport

Faulty = Callable[..., FaultyServer]
ROOT = Path(__file__).resolve().parents[2]
ECHOES = ("echo", "echo_gzip", "echo_stream", "echo_forms")


def words(done: Exchange) -> str:
    """Everything that an exchange says of itself."""
    error = done.error
    told = "" if error is None else "".join([str(error), repr(error), repr(error.__dict__), *chained(error)])
    return f"{done!r} {done.body!r} {done.answer!r} {done.request!r} {told}"


def chained(error: BaseException) -> list[str]:
    """The error as printed, and all that it was caused by or came after, with the locals of every frame."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True, compact=False)
    lines = list(told.format())
    if error.__context__ is not None:
        lines += chained(error.__context__)
    return lines


# ---------------------------------------------------------------------------------------------------- where they may go


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_crd_01_a_redirect_to_another_origin(faulty: Faulty, asker: Asker, status: int) -> None:
    """It is refused: the other origin sees nothing, and the error says what to do."""
    other = faulty(reply(chat()))
    done = asker.ask(faulty(redirect(status, other.url)).url)
    assert done.error is not None
    assert (done.error.reason, done.error.error_class) == ("redirected", "provider")
    assert done.error.advice
    assert other.connections == 0


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Sets every variable by which libraries are told of a proxy or of passwords."""

    def told(url: str) -> None:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, url)
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    return told


def test_crd_03_a_proxy_in_the_environment(faulty: Faulty, proxies: Callable[[str], None]) -> None:
    """It is ignored, and so is netrc."""
    proxy, server = faulty("silent"), faulty(reply(chat()))
    proxies(proxy.url)
    asker = Asker()
    assert asker.ask(server.url).answer
    asker.close()
    assert proxy.connections == 0
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_crd_03_a_proxy_that_was_configured(
    faulty: Faulty, trusted: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for a tunnel, through which it cannot see; what stays on this machine does not go there."""
    server = faulty(reply(chat()), tls_of(trusted.issue_cert("api.faulty.example")))
    proxy, local = faulty(tunnel(server.port)), faulty(reply(chat()))
    monkeypatch.setenv("KIMIPROBE_PROXY", proxy.url)
    asker = Asker()
    assert asker.ask("https://api.faulty.example/v1", hosts=["api.faulty.example"]).answer
    assert asker.ask(local.url).answer
    asker.close()
    assert [seen.path for seen in proxy.requests] == ["api.faulty.example:443"]
    assert not leaks(proxy.received, KEY)
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_no_file_gets_the_keys_of_tls_sessions(
    faulty: Faulty, trusted: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSLKEYLOGFILE would let a reader of that file decrypt the provider's key from recorded traffic."""
    log = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    asker = Asker()
    server = faulty(reply(chat()), tls_of(trusted.issue_cert("127.0.0.1")))
    done = asker.ask(server.url)
    asker.close()
    assert done.error is None
    assert not log.exists() or not [line for line in log.read_text().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize(
    "speak", ["hangs_up", reply(b"", status=407), reply(b"", status=502)], ids=["hangs up", "407", "502"]
)
def test_crd_03_a_proxy_that_fails(faulty: Faulty, speak: Any) -> None:
    """It is our own doing, never the provider's: no flag may move for it."""
    asker = Asker(proxy=faulty(speak).url)
    done = asker.ask("https://api.faulty.example/v1", hosts=["api.faulty.example"])
    asker.close()
    assert done.error is not None
    assert done.error.error_class == "request"
    assert "KIMIPROBE_PROXY" in done.error.advice


@pytest.mark.parametrize(
    "url",
    ["socks5://127.0.0.1:1", "127.0.0.1:3128", "http://", "http://[", "http://host:99999", f"ftp://user:{KEY}@host"],
)
def test_crd_03_a_proxy_that_is_none(url: str) -> None:
    """It is refused by the name of the variable; what may hold a password is not shown."""
    with pytest.raises(ConfigError, match="KIMIPROBE_PROXY") as caught:
        Transport(proxy=url)
    assert KEY not in str(caught.value)


BAD_KEYS = (f"{KEY}\n{KEY}", f"{KEY}ü", f"{KEY}\r\nX-Evil: 1", f"\u202e{KEY}", f"{KEY}\0")


@pytest.mark.parametrize("key", [*BAD_KEYS, f'"{KEY}"', f"{KEY} {KEY}", f"'{KEY}'"])
def test_crd_05_what_cannot_be_a_key(key: str) -> None:
    """It is refused by the variable's name, without being shown."""
    provider = CATALOG.providers["moonshot"]
    with pytest.raises(KeyMissing, match="MOONSHOT_API_KEY") as caught:
        provider.key({"MOONSHOT_API_KEY": key})
    assert not leaks(f"{caught.value} {caught.value!r} {caught.traceback[-1].frame.f_locals}".encode(), KEY)


@pytest.mark.parametrize("key", BAD_KEYS)
def test_crd_05_what_cannot_be_sent(faulty: Faulty, asker: Asker, key: str) -> None:
    """Given in another way, it is not sent either, and not shown by the library's own error."""
    server = faulty(reply(chat()))
    done = asker.ask(server.url, key=key)
    assert done.error is not None
    assert (done.error.reason, done.error.error_class) == ("no_key", "account")
    assert server.connections == 0
    assert not leaks(words(done).encode("utf-8", "surrogatepass"), KEY)


def test_crd_09_a_base_url_in_flags_yaml(tmp_path: Path) -> None:
    """There is no such field."""
    text = (
        (ROOT / "flags.yaml")
        .read_text("utf-8")
        .replace("    percent: 0", "    base_url: https://evil.example\n    percent: 0")
    )
    (tmp_path / "flags.yaml").write_text(text, "utf-8")
    with pytest.raises(FlagsError, match=r"base_url: unknown key"):
        Flags.load(tmp_path / "flags.yaml")


FOREIGN = (
    "https://evil.example/v1",
    "http://api.moonshot.ai/v1",
    "https://api.moonshot.ai.evil.example/v1",
    "https://api.moonshot.ai@evil.example/v1",
    "https://api.moonshot.ai\\@evil.example/v1",
    "https://evil.example#api.moonshot.ai",
    "https://evil.example?api.moonshot.ai",
    "https://evil.example/https://api.moonshot.ai",
    "//api.moonshot.ai",
    "file:///etc/passwd",
)


@pytest.mark.parametrize("url", FOREIGN)
def test_crd_09_a_base_url_in_the_environment(url: str) -> None:
    """A key goes to the hosts that the catalogue names for its provider, over https, or stays on this machine."""
    with pytest.raises(CatalogError, match="MOONSHOT"):
        catalog.load(environment={"KIMIPROBE_BASE_URL_MOONSHOT": url})


@pytest.mark.parametrize("url", [*FOREIGN, "https://127.0.0.1.evil.example", "https://api.groq.com/openai/v1"])
def test_crd_09_a_foreign_host_at_the_time_of_sending(asker: Asker, url: str, names_asked: list[Any]) -> None:
    """Even a provider that was built by hand sends its key to no other host; nobody is even looked up."""
    done = asker.ask(url, hosts=["api.moonshot.ai"])
    assert done.error is not None
    assert (done.error.reason, done.error.error_class, done.error.phase) == ("bad_request", "request", "send")
    assert not names_asked


@pytest.fixture
def names_asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the name server was asked; it knows nothing."""
    asked: list[Any] = []

    def look_up(host: Any, *_: Any, **__: Any) -> Any:
        asked.append(host)
        raise OSError("no network here")

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    return asked


# ------------------------------------------------------------------------------------------------ where they are not seen


@pytest.mark.parametrize("speak", ECHOES)
def test_crd_07_a_host_that_echoes_the_key(faulty: Faulty, asker: Asker, speak: str) -> None:
    """In headers, body, gzip and stream, in any spelling: it is taken out before anything else sees it."""
    server = faulty(speak)
    done = asker.ask(server.url, stream=speak == "echo_stream")
    assert leaks(json.dumps(server.requests[0].headers).encode(), KEY)
    assert not leaks(words(done).encode("utf-8", "surrogatepass"), KEY)
    assert REDACTED in words(done)


CUT_KEY = "".join(f"\\u{ord(char):04x}" if place % 3 == 0 else char for place, char in enumerate(KEY))
"""In JSON text with every third character escaped: it is whole again only once it was parsed."""
ANSWERED_WITH: dict[str, Any] = {
    "model": {"model": "HERE"},
    "id": {"id": "HERE"},
    "upstream": {"provider": "HERE"},
    "tried": {"openrouter_metadata": {"attempts": [{"provider": "HERE", "status": 200}]}},
    "finish reason": {"choices": [{"message": {"content": "hi"}, "finish_reason": "HERE"}]},
    "call id": chat(None, [call("{}") | {"id": "HERE"}]),
    "call name": chat(None, [{"id": "a", "function": {"name": "HERE", "arguments": "{}"}}]),
    "arguments": chat(None, [{"id": "a", "function": {"name": "f", "arguments": {"note": ["HERE"]}}}]),
}


@pytest.mark.parametrize("place", ANSWERED_WITH)
def test_crd_07_a_key_that_parsing_puts_together(faulty: Faulty, asker: Asker, place: str) -> None:
    """It is taken out of every word of the answer."""
    answer = json.dumps({**chat("hi"), **ANSWERED_WITH[place]}).replace("HERE", CUT_KEY).encode()
    done = asker.ask(faulty(reply(answer)).url)
    assert done.answer is not None
    assert not leaks(repr(done).encode(), KEY)
    assert REDACTED in repr(done.answer)


def test_crd_07_a_key_at_the_edge_of_what_is_shown(faulty: Faulty, asker: Asker) -> None:
    """Where an error's words are cut, no half of a key is left."""
    for length in range(200, 420, 7):
        body = {"error": {"message": "x" * length + " " + KEY, "metadata": {"raw": "y" * (length - 180) + KEY}}}
        done = asker.ask(faulty(reply(body, status=400)).url)
        assert not leaks(words(done).encode(), KEY)


def test_crd_07_an_error_as_pytest_prints_it(
    faulty: Faulty, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With long tracebacks, locals, captured logs at DEBUG and a JUnit file: no key, though the test holds none back."""
    monkeypatch.setenv("KIMIPROBE_BASE_URL_MOONSHOT", faulty("echo").url)
    monkeypatch.setenv("MOONSHOT_API_KEY", KEY)
    pytester.makepyfile(A_FAILING_TEST)
    told = pytester.runpytest_subprocess(
        "-l",
        "--tb=long",
        "-vv",
        "--log-level=DEBUG",
        "-p",
        "no:kimiprobe",
        "--junitxml=junit.xml",
        "-o",
        "junit_logging=all",
    )
    told.assert_outcomes(failed=6)
    assert "receive_response_headers.complete" in told.stdout.str()
    assert not leaks(told.stdout.str().encode() + told.stderr.str().encode(), KEY)
    assert leaking_files(pytester.path, KEY) == []


A_FAILING_TEST = """
import asyncio
import os
from pytest_kimiprobe.providers.account import account_of, page_of
from routing import Router, catalog
from routing.exchange import Target, exchange
from routing.transport import HttpRequest, Transport
from routing.types import ChatRequest

def test_router():
    with Router.load() as router:
        router.complete("hi", timeout=5)

def test_exchange():
    found = catalog.load()
    endpoint = found.endpoint("moonshot/kimi-k2.6")
    provider = found.provider_of(endpoint)
    target = Target(endpoint, provider, provider.key())
    done = asyncio.run(exchange(Transport(), target, ChatRequest([{"role": "user", "content": "hi"}]), timeout_s=5))
    raise done.error

def test_account():
    provider = catalog.load().providers["moonshot"]
    asyncio.run(account_of(Transport(), provider, os.environ["MOONSHOT_API_KEY"]))

def test_page():
    provider = catalog.load().providers["moonshot"]
    asyncio.run(page_of(Transport(), provider, os.environ["MOONSHOT_API_KEY"], "/key", timeout_s=5))

def test_environment():
    provider = catalog.load().providers["openrouter"]
    assert not provider.key_env in os.environ
    provider.keys(dict(os.environ))

def test_transport():
    provider = catalog.load().providers["moonshot"]
    async def sent():
        headers = {"Authorization": "Bearer " + provider.key()}
        request = HttpRequest("POST", provider.base_url, headers, b"{}", provider.hosts)
        del headers  # the test's own
        async with Transport().send(request) as response:
            chunks = [chunk async for chunk in response.chunks]
            assert response.status == 200
    asyncio.run(sent())
"""


def test_crd_07_a_run_of_probes_and_all_that_it_writes(
    faulty: Faulty, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Terminal, JSON, results, JUnit: the key is in none of them, however the host gives it back."""
    for name, speak in (("MOONSHOT", "echo"), ("OPENROUTER", "echo_stream")):
        monkeypatch.setenv(f"KIMIPROBE_BASE_URL_{name}", faulty(speak).url)
        monkeypatch.setenv(f"{name}_API_KEY", KEY)
    (pytester.path / "steady.kimiprobe.yaml").write_text(A_CASE)
    told = pytester.runpytest_subprocess(
        *("--kimiprobe", "steady.kimiprobe.yaml", f"--kimiprobe-endpoint={FIRST}"),
        *("--kimiprobe-endpoint=openrouter/moonshotai/kimi-k2.6", "--kimiprobe-json=out.json"),
        *("--kimiprobe-results=results", "--kimiprobe-verbose", "--junitxml=junit.xml"),
        *("-l", "--tb=long", "-vv", "--log-level=DEBUG", "-o", "log_cli=true", "-o", "junit_logging=all"),
    )
    assert json.loads((pytester.path / "out.json").read_text())["probes"]
    assert not leaks(told.stdout.str().encode() + told.stderr.str().encode(), KEY)
    assert leaking_files(pytester.path, KEY) == []


A_CASE = """version: 1
cases:
  - {name: steady, prompt: "Call f.", max_tokens: 64, tools: [{name: f}], expect: {calls: [{name: f}]}}
...
"""


def test_crd_11_a_key_in_a_packed_recording(faulty: Faulty, asker: Asker, tmp_path: Path) -> None:
    """The scanner of these tests reads base64 and gzip, so that it finds what a text search would miss."""
    done = asker.ask(faulty("echo_gzip").url)
    (tmp_path / "ours.yaml").write_text(f"body: !!binary |\n  {base64.encodebytes(done.body).decode()}")
    assert leaking_files(tmp_path, KEY) == []
    packed = base64.encodebytes(gzip.compress(f'{{"error": "Bearer {KEY}"}}'.encode())).decode().replace("\n", "\n  ")
    (tmp_path / "planted.yaml").write_text(f"body: !!binary |\n  {packed}")
    assert KEY not in (tmp_path / "planted.yaml").read_text()
    assert leaking_files(tmp_path, KEY) == ["planted.yaml"]


@pytest.mark.parametrize("speak", ["echo", "echo_stream", "hangs_up", "many_headers", "short_body"])
def test_crd_13_logs_at_debug(faulty: Faulty, asker: Asker, speak: str, caplog: pytest.LogCaptureFixture) -> None:
    """The HTTP library logs headers; the key is not in what it logs, though the lines are there."""
    caplog.set_level(logging.DEBUG)
    asker.ask(faulty(speak).url)
    asker.ask(faulty(redirect(307, f"http://127.0.0.1:1/{KEY}")).url)
    assert "receive_response_headers" in caplog.text
    assert REDACTED in caplog.text
    assert not leaks(caplog.text.encode(), KEY)


def test_crd_13_representations() -> None:
    """Nothing that holds a key shows it, neither printed nor copied."""
    endpoint = CATALOG.endpoint(FIRST)
    target = Target(endpoint, CATALOG.provider_of(endpoint), KEY)
    request = HttpRequest(
        "POST", f"https://host/{KEY}", {"Authorization": f"Bearer {KEY}", "x-api-key": KEY}, KEY.encode()
    )
    assert not leaks(
        f"{target} {target!r} {request} {request!r} {replace(target)!r} {copy.copy(request)!r}".encode(), KEY
    )


def test_an_error_travels_without_the_key(faulty: Faulty, asker: Asker) -> None:
    """Pickled, as between processes, it holds no key and says the same."""
    error = asker.ask(faulty("echo").url).error
    assert error is not None
    raw = pickle.dumps(error)
    assert not leaks(raw, KEY)
    assert str(pickle.loads(raw)) == str(error)


def test_all_attempts_failed_without_the_key(faulty: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The router's last word neither."""
    with (
        routed(tmp_path, monkeypatch, faulty("echo").url, faulty("echo_forms").url) as router,
        pytest.raises(AllAttemptsFailed) as caught,
    ):
        router.complete("hi")
    told = "".join(chained(caught.value)) + repr(caught.value.__dict__)
    assert len(caught.value.attempts) == 2
    assert not leaks(told.encode(), KEY)

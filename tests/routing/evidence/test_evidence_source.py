"""A router's evidence source: read from several threads, and from files that appear and disappear."""

from __future__ import annotations

import json
import logging
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer, reply

from routing import EvidenceError, Router
from routing.evidence import file_source as evidence_source
from routing.evidence.file_source import EvidenceFile
from routing.evidence.model import Evidence, utc_text
from routing.evidence.model import loads as read_evidence

HOST = "openrouter/moonshotai/kimi-k2.6+novita/fp8"
SOON_S = 0.2


def written(path: Path, status: str = "works") -> Path:
    probed = utc_text(datetime.now(UTC))
    row = {"status": status, "probed_at": probed, "judged": 60, "passed": 60}
    document = {"version": 1, "generated_at": probed, "run": "r", "source": "local", "endpoints": {HOST: row}}
    path.write_text(json.dumps(document), "utf-8")
    return path


def status_in(evidence: Evidence) -> str:
    return evidence.endpoints[HOST].status if HOST in evidence.endpoints else "nothing"


def test_a_second_thread_waits_for_the_first_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No request is routed on empty evidence because another thread is reading the file for the first time."""
    source = EvidenceFile(written(tmp_path / "latest.json"))
    others: list[Future[Evidence]] = []

    with ThreadPoolExecutor() as threads:

        def loads(text: str, **options: Any) -> Evidence:
            others.append(threads.submit(source.current))
            with pytest.raises(TimeoutError):
                others[0].result(SOON_S)
            return read_evidence(text, **options)

        monkeypatch.setattr(evidence_source, "loads", loads)
        assert status_in(source.current()) == status_in(others[0].result()) == "works"


def test_a_second_thread_goes_on_with_the_last_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later readings delay no other thread."""
    source = EvidenceFile(written(tmp_path / "latest.json"))
    source.current()
    written(tmp_path / "new.json", "broken").rename(tmp_path / "latest.json")
    with ThreadPoolExecutor() as threads:

        def loads(text: str, **options: Any) -> Evidence:
            assert status_in(threads.submit(source.current).result(10)) == "works"
            return read_evidence(text, **options)

        monkeypatch.setattr(evidence_source, "loads", loads)
        assert status_in(source.current()) == "broken"


def test_a_file_that_went_and_came_back_is_no_error(tmp_path: Path) -> None:
    """If the same file is moved away and back, it is read again; meanwhile the last evidence is used."""
    path = written(tmp_path / "latest.json")
    source = EvidenceFile(path)
    source.current()
    path.rename(tmp_path / "away.json")
    assert status_in(source.current()) == "works"
    assert source.status().error == f"{path}: not there"
    (tmp_path / "away.json").rename(path)
    assert status_in(source.current()) == "works"
    assert source.status().error is None


SECRETS = ("PASS", "SECRET")


def texts_of(error: BaseException) -> str:
    """The error as printed, with the locals of every frame of the package."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    told.stack = traceback.StackSummary.from_list([frame for frame in told.stack if "/tests/" not in frame.filename])
    return f"{error} {error!r} {''.join(told.format())}"


@pytest.mark.parametrize("by", ["argument", "variable"])
def test_credentials_of_an_evidence_url_are_sent_and_never_shown(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the status, its text, or the origin of the evidence."""
    monkeypatch.chdir(tmp_path)
    with FaultyServer(reply(written(tmp_path / "latest.json").read_bytes())) as server:
        url = f"{server.url}/latest.json?sig=SECRET"
        monkeypatch.setenv("KIMIPROBE_EVIDENCE", url if by == "variable" else "")
        with Router.load(evidence=None if by == "variable" else url) as router:
            status = router.status()
        assert server.requests[0].path == "/latest.json?sig=SECRET"
    assert (status.evidence.error, status.evidence.origin) == (None, f"{server.url}/latest.json?sig=[redacted]")
    assert not any(secret in f"{status} {status!r}" for secret in SECRETS)


@pytest.mark.parametrize("body", [b"{", b'{"version": 9}', b'{"version": 1, "source": "live"}'])
@pytest.mark.parametrize("status", [200, 403])
def test_credentials_of_an_evidence_url_are_not_in_its_errors(
    body: bytes, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the host answers; not in the log either."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG, "routing")
    with (
        FaultyServer(reply(body, status=status)) as server,
        Router.load(evidence=f"{server.url}/x?sig=SECRET") as router,
    ):
        found = router.status()
    assert found.evidence.error
    assert not any(secret in f"{found} {found!r} {caplog.text}" for secret in SECRETS)


def test_a_user_in_an_evidence_url_is_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would not be sent; the password is not shown."""
    monkeypatch.chdir(tmp_path)
    with Router.load(evidence="https://user:PASS@127.0.0.1:9/x?sig=SECRET") as router:
        error = router.status().evidence.error or ""
    assert "user and password in a URL are not sent: put a token into its query" in error
    assert not any(secret in error for secret in SECRETS)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:PASS@example.org/x?sig=SECRET",
        "ftp://user:PASS@example.org/x?sig=SECRET",
        "http://user:PASS/x@example.org/x?sig=SECRET",
        "https://[PASS/x?sig=SECRET",
        "https://user:PASS",
    ],
)
def test_a_wrong_evidence_url_is_an_error_that_hides_its_credentials(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its text nor the frames of its traceback show them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KIMIPROBE_EVIDENCE", url)
    try:
        with Router.load() as router:
            told = str(router.status())
    except EvidenceError as error:
        told = texts_of(error)
    assert not any(secret in told for secret in SECRETS)

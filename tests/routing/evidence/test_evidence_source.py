"""A router's evidence source: read from several threads, and from files that appear and disappear."""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

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

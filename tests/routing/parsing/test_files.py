"""Reading a file that another program may be writing."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import pytest

from routing.errors import ConfigError
from routing.parsing.safe_read import read_regular, signature_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small file."""
    file = tmp_path / "file"
    file.write_bytes(b"content")
    return file


def test_a_file_is_read_whole(path: Path) -> None:
    """Up to the cap, every byte."""
    assert read_regular(path) == b"content"
    assert read_regular(str(path), max_bytes=7) == b"content"
    with pytest.raises(ConfigError, match="is larger than 6 bytes"):
        read_regular(path, max_bytes=6)


def test_a_file_that_changes_under_the_reader_is_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data that was read across a change is discarded."""
    real = os.read
    reads: list[bytes] = []

    def disturbed(handle: int, size: int) -> bytes:
        data = real(handle, size)
        if not reads:
            path.write_bytes(b"the new content")
        reads.append(data)
        return data

    monkeypatch.setattr(os, "read", disturbed)
    assert read_regular(path) == b"the new content"
    assert reads[0] == b"content"


def test_a_file_that_never_rests_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading ends after a few tries."""
    real, ticks = os.fstat, count()

    def restless(handle: int) -> os.stat_result:
        os.utime(path, ns=(0, next(ticks)))
        return real(handle)

    monkeypatch.setattr(os, "fstat", restless)
    with pytest.raises(ConfigError, match="keeps changing while it is read"):
        read_regular(path)


def test_a_failing_disk_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An I/O error names the file."""

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", fail)
    with pytest.raises(ConfigError, match="Input/output error") as caught:
        read_regular(path)
    assert caught.value.where == str(path)


def test_a_path_that_no_file_can_have_is_an_error() -> None:
    """A NUL in a path is refused like a missing file."""
    with pytest.raises(ConfigError, match="null byte"):
        read_regular("a\0b")


def test_a_signature_sees_a_time_set_back(path: Path) -> None:
    """A program can restore mtime and size, but not ctime."""
    before = path.stat()
    path.write_bytes(b"CONTENT")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_mtime_ns, after.st_size, after.st_ino) == (before.st_mtime_ns, before.st_size, before.st_ino)
    assert after.st_ctime_ns >= before.st_ctime_ns
    assert signature_of(after)[1] == after.st_ctime_ns

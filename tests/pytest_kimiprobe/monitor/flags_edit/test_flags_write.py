"""flags.yaml written: whole or not at all, and never over somebody else's change."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pytest_kimiprobe.monitor.flags_edit.flags_file import change_file, edited
from routing.errors import FlagsError
from routing.flags.model import Flags

KIMI = "kimi"
FILE = """\
version: 1
serial: 41
environment: production
bucketing: murmur3-cbor-v1
default_model: kimi-k2.6
flags:
  kimi: {description: short, owner: o, controls: ["a/*"], enabled: true, percent: 10 }  # a comment
...
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A flags file that the group may write."""
    file = tmp_path / "flags.yaml"
    file.write_text(FILE)
    file.chmod(0o664)
    return file


def test_the_file_is_replaced_whole(path: Path) -> None:
    """A change is written beside the file and renamed over it; mode and folder stay as they were."""
    before = path.stat()
    assert change_file(path, lambda text: edited(text, {KIMI: {"percent": 50}}))
    after = path.stat()
    assert Flags.load(path).flag(KIMI).percent == 50
    assert after.st_mode == before.st_mode
    assert after.st_ino != before.st_ino
    assert [file.name for file in path.parent.iterdir()] == ["flags.yaml"]


def test_no_change_writes_nothing(path: Path) -> None:
    """A no-op leaves even the file's times alone."""
    before = path.stat()
    assert not change_file(path, lambda text: edited(text, {KIMI: {"percent": 10}}))
    assert path.stat() == before


def test_a_link_stays_a_link(path: Path) -> None:
    """The file behind the link is replaced, in its own folder."""
    (path.parent / "real").mkdir()
    real = path.rename(path.parent / "real" / "flags.yaml")
    path.symlink_to("real/flags.yaml")
    change_file(path, lambda text: edited(text, {KIMI: {"percent": 50}}))
    assert path.is_symlink()
    assert Flags.load(real).flag(KIMI).percent == 50


def test_a_wrong_text_is_not_written(path: Path) -> None:
    """Whoever made the text, the strict loader has the last word."""
    with pytest.raises(FlagsError, match="document end marker"):
        change_file(path, lambda text: text[:-4])
    assert path.read_text() == FILE


def test_a_file_in_another_encoding_is_told(path: Path) -> None:
    """Bytes that are no UTF-8 are refused, not replaced."""
    path.write_bytes(FILE.encode().replace(b"short", b"sh\xf6rt"))
    with pytest.raises(FlagsError, match="is not UTF-8"):
        change_file(path, lambda text: text)


def test_somebody_elses_change_is_not_lost(path: Path) -> None:
    """A file that changed since it was read is not written over."""

    def slow(text: str) -> str:
        path.write_text(FILE.replace("percent: 10 ", "percent: 11 "))
        return edited(text, {KIMI: {"percent": 50}})

    with pytest.raises(FlagsError, match="was changed by another program meanwhile: try again"):
        change_file(path, slow)
    assert Flags.load(path).flag(KIMI).percent == 11
    assert [file.name for file in path.parent.iterdir()] == ["flags.yaml"]


@pytest.mark.parametrize("call", ["fsync", "fchmod", "replace"])
def test_a_failing_disk_leaves_the_old_file(call: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full or failing disk is an error; the old file stays whole and nothing is left beside it."""

    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(FlagsError, match="cannot be written: No space left on device"):
        change_file(path, lambda text: edited(text, {KIMI: {"percent": 50}}))
    monkeypatch.undo()
    assert path.read_text() == FILE
    assert [file.name for file in path.parent.iterdir()] == ["flags.yaml"]


def test_a_folder_that_may_not_be_written_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file, not a temporary one."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(FlagsError, match=re.escape(f"{path}: cannot be written: Permission denied")):
        change_file(path, lambda text: edited(text, {KIMI: {"percent": 50}}))

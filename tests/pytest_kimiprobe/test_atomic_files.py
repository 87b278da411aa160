"""Files are replaced as one step, or stay as they were."""

from pathlib import Path

import pytest

from pytest_kimiprobe.atomic_files import replace_files
from routing.errors import ConfigError


def refused(path: Path, why: str) -> ConfigError:
    return ConfigError(why, where=path.name)


def test_new_and_old_files_are_written_with_their_modes(tmp_path: Path) -> None:
    """A missing folder is made, and a file that exists keeps its mode."""
    old, new = tmp_path / "old", tmp_path / "deep" / "new"
    old.write_text("before")
    old.chmod(0o640)
    replace_files({old: b"after", new: b"content"}, refused)
    assert (old.read_text(), new.read_text()) == ("after", "content")
    assert old.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "old"]


def test_a_last_check_that_raises_replaces_nothing(tmp_path: Path) -> None:
    """Its error is raised as it is, and no temporary file is left."""

    def check() -> None:
        raise ConfigError("changed meanwhile")

    (tmp_path / "old").write_text("before")
    with pytest.raises(ConfigError, match="changed meanwhile"):
        replace_files({tmp_path / "old": b"after"}, refused, check)
    assert (tmp_path / "old").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_one_path_that_cannot_be_written_replaces_none(tmp_path: Path) -> None:
    """The error names the path and the reason."""
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "old").write_text("before")
    with pytest.raises(ConfigError, match=r"inner: Not a directory|inner: File exists"):
        replace_files({tmp_path / "old": b"after", tmp_path / "file" / "inner": b"x"}, refused)
    assert (tmp_path / "old").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "old"]

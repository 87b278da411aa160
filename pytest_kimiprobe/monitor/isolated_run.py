"""Runs pytest in the process of `kimiprobe check`. If no run was completed, exit codes 0 and 1 become 2.

The check of completion is needed because a conftest.py or a plugin can end pytest with any code before a probe is sent.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

_OF_REPOSITORY = ("rootdir:", "configfile:", "plugins:")
"""Starts of the lines in pytest's header about the repository's configuration, which an isolated run does not read."""


class _Completion:
    """pytest plugin that records whether tests were started (`ran`), and whether the run was completed (`complete`)."""

    def __init__(self) -> None:
        self.ran = self.complete = False

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        from ..plugin import SESSION

        probes = config.stash.get(SESSION, None)
        summary = probes.summary if probes else None
        self.complete = bool(summary and summary.run.complete)

    def pytest_runtestloop(self, session: pytest.Session) -> None:
        self.ran = not session.config.option.collectonly


def _with_header(found: _Completion) -> _Completion:
    """Add a hook to the plugin that removes the lines of _OF_REPOSITORY from pytest's header, and return the plugin."""
    import pytest  # here: if pytest cannot be imported, `main` says so

    @pytest.hookimpl(wrapper=True)
    def pytest_report_header() -> Generator[None, list[Any], list[Any]]:
        lines = [line for some in (yield) for line in ([some] if isinstance(some, str) else some)]
        return [line for line in lines if not line.startswith(_OF_REPOSITORY)]

    found.pytest_report_header = pytest_report_header  # type: ignore[attr-defined]
    return found


def main() -> int:
    """Run pytest with this process's arguments, and return pytest's exit code.

    Codes 0 and 1 become 2 if no run was completed. Code 0 stays if no tests were started, as with `--collect-only`.
    """
    found, code = _Completion(), 2
    try:
        import pytest

        code = int(pytest.main(plugins=[_with_header(found)]))
        sys.stdout.flush()
    except BrokenPipeError:  # as pytest does: the reader of a pipe has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except BaseException:  # noqa: BLE001 - whatever a conftest.py or a plugin raises
        traceback.print_exc()
    if code < 2 and not found.complete and (code or found.ran):
        print(f"kimiprobe: no run was completed (pytest's exit code {code})", file=sys.stderr)
        return 2
    return code


if __name__ == "__main__":
    sys.exit(main())

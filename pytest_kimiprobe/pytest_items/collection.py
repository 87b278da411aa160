"""Collection and selection of a run's items, by name (packaged cases, plugins, schemas, recordings) or by path."""

from __future__ import annotations

import fnmatch
import itertools
import unicodedata
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from ..cases import json_schemas as schema_cases
from ..cases import model as cases
from .items import (
    PLUGINS,
    CaseFile,
    Cases,
    PairProbe,
    Probe,
    RecordingFile,
    packaged_files,
    planned_by,
    require_packaged,
    row_probe,
    with_halves,
)
from .run_paths import PACKAGED, RECORDED, divided, is_ignored
from .session import ProbeSession

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that a file name must not contain: control, format, surrogate, line and paragraph separator."""


def prepare(config: pytest.Config) -> ProbeSession:
    """Read the options, and replace pytest's arguments by the files and ids to collect. Raises UsageError."""
    if any(config.getoption(f"stepwise{more}", default=False) for more in ("", "_skip", "_reset")):
        raise pytest.UsageError(
            "--stepwise follows the order of collection, answers come in any order: use --lf instead"
        )
    session = ProbeSession(config)
    given = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else []
    replayed = session.scope.choice.kind == "replay"
    session.everything = not given
    asked = given if replayed else itertools.chain.from_iterable(map(with_halves, given))
    if not given:
        asked = _recorded_origins(config, session) if replayed else _packaged_and_own(config, session)
    session.named, config.args = divided(asked, _named_paths(session), config.invocation_params.dir)
    for name in session.named.keys() - _named_paths(session).keys():
        require_packaged(name, session.named[name])
    config.args_source = pytest.Config.ArgsSource.ARGS
    return session


def _packaged_and_own(config: pytest.Config, session: ProbeSession) -> list[str]:
    """Arguments of a run that names no path: packaged cases, and those of plugins, schemas and `kimiprobe_paths`."""
    packaged = {f"{PACKAGED}/{file.name}": file for file in packaged_files()} | _named_paths(session)
    names = [name for name, path in packaged.items() if not is_ignored(name, path, config)]
    own: list[Path] = config.getini("kimiprobe_paths")
    for path in own:
        if not path.exists():
            raise pytest.UsageError(f"ini setting kimiprobe_paths: no such file or folder: {path}")
    return [*names, *map(str, own)]


def _named_paths(session: ProbeSession) -> dict[str, Path]:
    """Files that are collected by name but are not packaged (plugins, schemas, recordings): name in ids → path."""
    scope = session.scope
    recorded = {f"{RECORDED}/{scope.replays.name(file)}": file for file in scope.recordings}
    return {PLUGINS: cases.FOLDER / "plugins"} | scope.schemas | recorded


def _recorded_origins(config: pytest.Config, session: ProbeSession) -> list[str]:
    """Arguments of a replay that names no path: files that kimiprobe did not write, and case files of recorded probes.

    `keep_asked_for` later deselects the probes of these case files that were not recorded.
    """
    known = _named_paths(session)
    origins = {name: None for name in known if name.startswith(f"{RECORDED}/")}
    packaged = {f"{PACKAGED}/{file.name}" for file in packaged_files()}
    for probe in session.scope.replays.samples:
        file = probe.partition("::")[0]
        if file in known or file in packaged:
            origins[file] = None
        elif (config.rootpath / file).is_file():
            origins[str(config.rootpath / file)] = None
    return list(origins)


def keep_asked_for(session: pytest.Session, probes: ProbeSession, items: list[pytest.Item]) -> None:
    """Deselect items that the run does not include. Raises UsageError if a requested id was not collected.

    In a replay these are items that were not recorded. In any other run that names no path, they are items that are
    not probes.
    """
    _require_found(session, probes, items)
    if probes.scope.choice.kind == "replay":
        _keep_recorded(session, probes, items)
    elif probes.everything:
        _leave_out(session, items, lambda item: not isinstance(item, Probe) and planned_by(item) is None)


def _require_found(session: pytest.Session, probes: ProbeSession, items: Sequence[pytest.Item]) -> None:
    there = {name for item in items for name in (item.nodeid, item.nodeid.partition("[")[0])}
    asked = (f"{name}::{part}" for name, parts in probes.named.items() for part in sorted(parts) if part)
    missing = [probe for probe in asked if probe not in there]
    if missing and not session.testsfailed:
        left_out = {probe.rpartition("::")[2].partition("[")[0] for probe in missing} & set(probes.scope.left_out)
        why = f"; not in suite {probes.scope.suite}: --kimiprobe-suite full runs all" if left_out else ""
        raise pytest.UsageError(f"not found: {', '.join(missing)}{why}")


def _leave_out(session: pytest.Session, items: list[pytest.Item], other: Callable[[pytest.Item], bool]) -> None:
    if left_out := [item for item in items if other(item)]:
        items[:] = [item for item in items if not other(item)]
        session.config.hook.pytest_deselected(items=left_out)


def bring_halves(collected: Sequence[pytest.Item], items: list[pytest.Item]) -> None:
    """Add to `items` the missing probes, plain or streamed, of each selected pair: a pair is judged from both.

    Options such as `-k` and `--lf` can select a pair without its probes.
    """
    halves = {half for item in items if isinstance(item, PairProbe) for half in item.halves}
    halves -= {item.nodeid for item in items}
    items[:0] = [item for item in collected if item.nodeid in halves]


def remember_halves(config: pytest.Config) -> None:
    """Store the halves of each failed pair in pytest's list of failures, so that `--lf` collects them again."""
    if cache := getattr(config, "cache", None):
        failed: dict[str, bool] = cache.get("cache/lastfailed", {})
        halves = {half for probe in failed for half in with_halves(probe)} - failed.keys()
        if halves:
            cache.set("cache/lastfailed", failed | dict.fromkeys(halves, True))


def never_rerun(items: Sequence[pytest.Item], config: pytest.Config) -> None:
    """Mark the probes so that pytest-rerunfailures and pytest-retry leave them alone: an answer stays what it is."""
    if any(line.startswith("flaky(") for line in config.getini("markers")):
        for item in items:
            if isinstance(item, Probe):
                item.add_marker(pytest.mark.flaky(reruns=0, condition=False))


def _keep_recorded(session: pytest.Session, probes: ProbeSession, items: list[pytest.Item]) -> None:
    """Deselect items that were not recorded. Add an item for each recorded probe whose case or endpoint is gone."""
    _leave_out(session, items, lambda item: not _is_recorded(item, probes))
    if not probes.everything:
        return
    from ..recording.recordings import unreadable

    there = {item.nodeid for item in items}
    for probe, sample in probes.scope.replays.samples.items():
        if probe not in there and probes.scope.is_asked_for(sample.endpoint):
            why = (
                "the case or endpoint is not here any more: run where it was recorded, with the same plugins and files"
            )
            row = unreadable(sample.case, why, endpoint=sample.endpoint)
            items.append(row_probe(session, row, probe.rpartition("::")[2], probe))


def _is_recorded(item: pytest.Item, probes: ProbeSession) -> bool:
    """Whether a replay runs the item: a recorded probe, a pair with a recorded half, or a row of a recording.

    An item that is not a probe runs only if the user named a path.
    """
    samples = probes.scope.replays.samples
    if isinstance(item, PairProbe):
        return any(half in samples for half in item.halves)
    if planned_by(item) is None:
        return isinstance(item, Probe) or not probes.everything
    return item.nodeid in samples


def named_collectors(session: pytest.Session, probes: ProbeSession) -> list[pytest.Collector]:
    """Collectors of everything that is selected by name: packaged cases, cases of plugins and schemas, recordings."""
    paths = _named_paths(probes)
    return [_named(session, probes, name, paths.get(name)) for name in probes.named]


def _named(parent: pytest.Session, probes: ProbeSession, name: str, path: Path | None) -> pytest.Collector:
    if path is not None and path in probes.scope.recordings:
        replays = probes.scope.replays
        recording: RecordingFile = RecordingFile.from_parent(parent, path=path, nodeid=name)
        recording.alone, recording.problem = path == replays.root, replays.problems.get(path, "")
        recording.parts = probes.named[name]
        return recording
    file = path or cases.FOLDER / name.removeprefix(f"{PACKAGED}/")
    node: Cases = Cases.from_parent(parent, name=file.name, path=file, nodeid=name)
    node.parts, node.plans = probes.named[name], partial(probes.scope.plans, packaged=path is None)
    if name == PLUGINS:
        node.read = partial(_of_plugins, parent.config)
    else:
        node.read = partial(cases.load if path is None else schema_cases.load, file)
    return node


def collected(file_path: Path, parent: pytest.Collector, session: ProbeSession) -> pytest.Collector | None:
    """A collector if the file is a user's case file, that is, if `kimiprobe_files` matches its name; otherwise None.

    Raises CollectError for an unsafe name.
    """
    config, name = parent.config, file_path.name
    ours = any(fnmatch.fnmatch(name, glob) for glob in config.getini("kimiprobe_files"))
    python = file_path.suffix == ".py" and any(fnmatch.fnmatch(name, glob) for glob in config.getini("python_files"))
    if ours or python or parent.session.isinitpath(file_path):
        _require_safe(name)
    if not ours:
        return None
    node: CaseFile = CaseFile.from_parent(parent, path=file_path)
    node.plans, node.read = session.scope.plans, partial(cases.load, file_path)
    return node


def _require_safe(name: str) -> None:
    """Raise CollectError for a file name that a terminal or CI could run as a command. pytest starts lines with it."""
    if name.startswith("::") or any(unicodedata.category(char) in _UNSAFE for char in name):
        message = "rename the file: its name has a control character, or begins with `::`"
        raise pytest.Collector.CollectError(f"file name {name!a}: {message}")


def _of_plugins(config: pytest.Config) -> list[cases.Case]:
    """The cases that `pytest_kimiprobe_cases` returns. Raises CaseError for two cases of one name."""
    found: dict[str, cases.Case] = {}
    for case in (case for some in config.hook.pytest_kimiprobe_cases(config=config) for case in some or ()):
        if case.name in found:
            raise cases.CaseError(f"two cases are named {case.name!r}", where="pytest_kimiprobe_cases")
        found[case.name] = case
    return list(found.values())

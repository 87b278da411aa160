"""The flags of a running router: changes are seen, broken files are not used."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE

import pytest
from examples import examples

from routing import catalog
from routing.errors import FlagsError
from routing.flags import source as flags_module
from routing.flags.model import Flags
from routing.flags.source import FlagsSource
from routing.parsing import last_good

ROOT = Path(__file__).resolve().parents[3]
FLAG = "kimi"


def content(serial: int, *, percent: int | None = None, extra: str = "", head: str = "") -> bytes:
    """A file whose values all follow from the serial, so that a mix of two files shows."""
    share = serial % 90 + 10 if percent is None else percent
    rows = "".join(
        f"  {name}:\n    description: d\n    owner: o{serial}\n    controls: [{name}/*]\n    enabled: true\n"
        f"    percent: {share}\n{extra}"
        for name in (FLAG, "kimi2", "kimi3")
    )
    return (
        f"version: 1\nserial: {serial}\n{head}environment: production\nbucketing: murmur3-cbor-v1\n"
        f"default_model: kimi-k2.6\nflags:\n{rows}...\n"
    ).encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A flags file with serial 1000."""
    file = tmp_path / "flags.yaml"
    file.write_bytes(content(1000))
    return file


# ---------------------------------------------------------------------------------------------------------- start


def test_without_a_path_the_bootstrap_flags_are_used() -> None:
    """Running without a file is allowed: everything that a flag controls is off."""
    source = FlagsSource(None)
    status = source.status()
    assert source.current() == Flags.bootstrap()
    assert (status.path, status.state, status.error, status.serial) == (None, "bootstrap", None, 0)


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "dangling link"])
def test_a_path_that_cannot_be_read_at_first_is_an_error(kind: str, tmp_path: Path) -> None:
    """A caller who names a file wants that file, and must not run on other flags without knowing."""
    path = tmp_path / "flags.yaml"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    with pytest.raises(FlagsError) as caught:
        FlagsSource(path)
    assert caught.value.where == str(path)
    assert str(caught.value).count(str(path)) == 1


def test_a_broken_file_at_first_starts_on_the_bootstrap_flags(path: Path) -> None:
    """A restart while the file is broken must not stop the service; the status gives the problem."""
    path.write_bytes(content(1000)[:-5])
    source = FlagsSource(path)
    status = source.status()
    assert source.current() == Flags.bootstrap()
    assert status.state == "bootstrap"
    assert str(status.error).startswith(f"{path}:24:1: the last line is not the document end marker")
    path.write_bytes(content(1000))
    assert source.current().serial == 1000
    assert (source.status().state, source.status().error) == ("live", None)


# ------------------------------------------------------------------------------------------------------ last good


def break_by_removing(path: Path) -> None:
    path.unlink()


def break_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def break_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def break_by_link_to_a_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def break_by(data: bytes) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        path.write_bytes(data)

    return do


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "FLG-02 missing": (break_by_removing, "no such file"),
    "FLG-04 empty": (break_by(b""), "the last line is not the document end marker"),
    "FLG-04 null": (break_by(b"null\n...\n"), 'null is not of type "object"'),
    "FLG-04 text": (break_by(b"hello\n...\n"), '"hello" is not of type "object"'),
    "FLG-04 list": (break_by(b"[]\n...\n"), '[] is not of type "object"'),
    "FLG-04 two documents": (break_by(b"---\n" + content(1001)[:-4] + b"---\n" + content(1001)), "a second document"),
    "FLG-04 no flags": (
        break_by(content(1001).partition(b"flags:")[0] + b"flags: {}\n...\n"),
        "has less than 1 property",
    ),
    "FLG-05 half": (break_by(content(1001)[:200]), "the last line is not the document end marker"),
    "FLG-08 newer": (break_by(content(1001).replace(b"version: 1", b"version: 99")), "upgrade pytest-kimiprobe"),
    "FLG-12 alias": (break_by(b"a: &a {b: *a}\n...\n"), "anchors are not read here"),
    "FLG-13 deep": (break_by(b"[" * 2000 + b"\n...\n"), "nested deeper than 64 levels"),
    "FLG-13 large": (break_by(b"#" * (11 << 20) + b"\n...\n"), "is larger than 1048576 bytes"),
    "FLG-15 directory": (break_by_directory, "is a directory"),
    "FLG-15 fifo": (break_by_fifo, "is not a regular file"),
    "FLG-15 device": (break_by_link_to_a_device, "is not a regular file"),
    "FLG-16 tab": (break_by(content(1001).replace(b"    owner", b"\towner")), "holds a tab"),
    "FLG-16 latin-1": (break_by(content(1001).replace(b": d\n", b": \xe9\n")), "is not UTF-8"),
    "FLG-18 older": (break_by(content(999)), "serial 999 is lower than 1000, which is in use: raise it to 1001"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_last_good_wins(name: str, path: Path) -> None:
    """A file that becomes invalid changes only the status; the next valid version is used immediately."""
    do, message = BROKEN[name]
    source = FlagsSource(path)
    good = source.current()
    loaded_at = source.status().loaded_at
    do(path)
    for _ in range(3):
        assert source.current() is good
    status = source.status()
    assert (status.state, status.serial, status.loaded_at) == ("last_good", 1000, loaded_at)
    assert message in str(status.error)
    assert status.checked_at >= loaded_at
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
    path.write_bytes(content(1001))
    assert source.current().serial == 1001
    assert (source.status().state, source.status().error) == ("live", None)


def test_flg_15_permission_denied_keeps_the_last_good(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FLG-15: a file that may no longer be read changes nothing."""
    source = FlagsSource(path)
    path.write_bytes(content(1001))

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:  # chmod does not stop root, and tests may run as root
        patch.setattr(os, "open", refuse)
        assert source.current().serial == 1000
        assert source.status().error == f"{path}: permission denied"
    path.write_bytes(content(1002))
    assert source.current().serial == 1002


def test_flg_18_a_lower_serial_is_taken_where_the_file_allows_it(path: Path) -> None:
    """FLG-18: `rollback_from` names the highest serial that may be replaced by a lower one."""
    source = FlagsSource(path)
    path.write_bytes(content(998, head="rollback_from: 999\n"))
    assert source.current().serial == 1000
    assert "or allow going back with `rollback_from: 1000`" in str(source.status().error)
    path.write_bytes(content(998, head="rollback_from: 1000\n"))
    assert source.current().serial == 998
    assert source.status().state == "live"


def test_a_change_without_a_new_serial_is_taken_with_a_warning(path: Path) -> None:
    """A kill switch set by hand works immediately; a warning about the serial remains until it is raised."""
    source = FlagsSource(path)
    path.write_bytes(content(1000, percent=7))
    assert source.current().flag(FLAG).percent == 7
    assert source.status().warning == "changed its meaning without raising its serial, 1000"
    path.write_bytes(b"# a comment\n" + content(1000, percent=7))
    source.current()
    assert source.status().warning is not None
    path.write_bytes(content(1001, percent=7))
    source.current()
    assert (source.status().warning, source.status().state) == (None, "live")


def test_a_new_comment_is_no_change(path: Path) -> None:
    """A file with the same meaning needs no new serial."""
    source = FlagsSource(path)
    path.write_bytes(b"# a comment\n" + content(1000))
    source.current()
    assert (source.status().state, source.status().warning) == ("live", None)


@pytest.mark.generated
def test_one_wrong_byte_never_changes_a_decision_silently() -> None:
    """2,500 and more one-byte mutations of a file in use: refused, without effect, or reported as a warning."""
    whole = content(1000, extra='    users: {allow: [alice], deny: [bob]}\n    groups: {deny: ["eu"]}\n')
    held = flags_module._accepted(whole, None, "f")
    dice = random.Random(20261123)
    seen = {"refused": 0, "same": 0, "warned": 0}
    for _ in range(examples(2_500)):
        place = dice.randrange(len(whole))
        middle = dice.choice(
            [bytes([dice.randrange(256)]), bytes([dice.randrange(32, 127)]), b"", whole[place : place + 1] * 2]
        )
        try:
            after = flags_module._accepted(whole[:place] + middle + whole[place + 1 :], held, "f")
        except FlagsError:
            seen["refused"] += 1
            continue
        if replace(after.flags, serial=1000) == held.flags:
            seen["same"] += 1  # decisions follow from all fields but the serial
        else:
            assert after.warning is not None
            seen["warned"] += 1
    assert min(seen.values()) > 25


# ------------------------------------------------------------------------------------------- FLG-14: ways of writing


def write_in_place(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def overwrite_in_place(path: Path, data: bytes) -> None:
    with path.open("r+b") as file:
        file.write(data)


def write_and_set_the_time_back(path: Path, data: bytes) -> None:
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def rename_over(path: Path, data: bytes) -> None:
    new = path.with_name("new")
    new.write_bytes(data)
    new.replace(path)


def remove_and_create(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def swap_the_link(path: Path, data: bytes) -> None:
    """Replace the file as Kubernetes does: flags.yaml -> ..data/flags.yaml, and ..data is renamed over."""
    folder = path.with_name(f"..{random.Random(data).random()}")
    folder.mkdir()
    (folder / "flags.yaml").write_bytes(data)
    path.with_name("..new").symlink_to(folder.name)
    path.with_name("..new").replace(path.with_name("..data"))
    if not path.is_symlink():
        path.unlink()
        path.symlink_to("..data/flags.yaml")


STYLES = [
    write_in_place,
    overwrite_in_place,
    write_and_set_the_time_back,
    rename_over,
    remove_and_create,
    swap_the_link,
]


@pytest.mark.parametrize("write", STYLES)
def test_flg_14_each_way_of_writing_is_seen_by_the_next_request(
    write: Callable[[Path, bytes], None], path: Path
) -> None:
    """FLG-14: 200 changes of the same size within a few clock ticks are each seen by the next request."""
    source = FlagsSource(path)
    for serial in range(1001, 1201):
        write(path, content(serial))
        assert source.current().serial == serial
        assert source.status().state == "live"


READER = """
import sys
from routing.flags.source import FlagsSource
source = FlagsSource(sys.argv[1])
print("ready", flush=True)
serial = 0
while serial < 1100:
    flags = source.current()
    assert flags.serial >= serial, (flags.serial, serial)
    serial = flags.serial
    for flag in flags.flags.values():
        assert (flag.owner, flag.percent) == (f"o{serial}", serial % 90 + 10), flags
"""


@pytest.mark.parametrize("write", [write_in_place, overwrite_in_place, rename_over, swap_the_link])
def test_flg_14_readers_never_see_a_mix(write: Callable[[Path, bytes], None], path: Path) -> None:
    """FLG-14: while one process writes 100 versions, four others see only whole files, and finally the last one."""
    command = [sys.executable, "-c", READER, str(path)]
    readers = [subprocess.Popen(command, cwd=ROOT, stdout=PIPE, stderr=PIPE, text=True) for _ in range(4)]
    try:
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "ready\n"
        for serial in range(1001, 1101):
            write(path, content(serial))
        told = [reader.communicate(timeout=60)[1] for reader in readers]
    finally:
        for reader in readers:
            reader.kill()
            reader.communicate()
    assert [reader.returncode for reader in readers] == [0, 0, 0, 0], told


def test_threads_share_one_source(path: Path) -> None:
    """Eight threads that read while the file changes see whole files, and no thread waits for another."""
    source = FlagsSource(path)
    wrong: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            flags = source.current()
            if any(flag.owner != f"o{flags.serial}" for flag in flags.flags.values()):
                wrong.append(str(flags))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for serial in range(1001, 1041):
        rename_over(path, content(serial))
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert source.current().serial == 1040


# ----------------------------------------------------------------------------------------------------------- cost


def test_an_unchanged_file_costs_one_stat(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the file has settled, asking again neither opens nor parses it."""
    source = FlagsSource(path)
    old = path.stat()
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns - 10**9))
    monkeypatch.setattr(last_good, "_SETTLED_NS", -(10**12))
    source.current()
    calls: list[str] = []
    real = os.stat

    def counted(*args: object, **kwargs: object) -> os.stat_result:
        calls.append("stat")
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", counted)
    monkeypatch.setattr(os, "open", lambda *_: calls.append("open"))
    for _ in range(10):
        source.current()
    assert calls == ["stat"] * 10


def test_a_broken_file_is_parsed_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a file stays broken, requests do not pay for parsing it again."""
    source = FlagsSource(path)
    path.write_bytes(b"broken")
    source.current()

    def refuse(*_: object) -> Flags:
        raise AssertionError("parsed again")

    monkeypatch.setattr(Flags, "loads", refuse)
    for _ in range(10):
        source.current()
    assert source.status().state == "last_good"


# ---------------------------------------------------------------------------------------------- names of the catalogue


CATALOG = catalog.load(environment={})


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("default_model: kimi-k2.6", "default_model: kimi-k2.66", r'default_model: "kimi-k2.66" is not .* kimi-k2.6\?'),
        (
            "flags:\n",
            "fallback_models: [kimi-k3, gpt-9]\nflags:\n",
            r'fallback_models\[1\]: "gpt-9" is not .*available',
        ),
        ("flags:\n", "fallback_models: [kimi-k99]\nflags:\n", r"fallback_models\[0\]"),
    ],
    ids=["default_model", "fallback_models", "first fallback"],
)
def test_a_model_that_the_catalogue_lacks_is_refused(path: Path, old: str, new: str, words: str) -> None:
    """The last good flags stay in use, and the status gives line, name and a similar one."""
    source = FlagsSource(path, catalog=CATALOG)
    path.write_bytes(content(1001).replace(old.encode(), new.encode()))
    assert source.current().serial == 1000
    status = source.status()
    assert status.state == "last_good"
    assert re.search(words, status.error or ""), status.error
    assert re.search(r"flags\.yaml:\d+:\d+: ", status.error or "")


def test_flags_that_name_an_unknown_model_at_first_start_on_the_bootstrap_flags(path: Path) -> None:
    """Every request would fail otherwise."""
    path.write_bytes(content(1).replace(b"kimi-k2.6", b"kimi-k2.66"))
    source = FlagsSource(path, catalog=CATALOG)
    assert (source.current().default_model, source.status().state) == ("kimi-k2.6", "bootstrap")


def test_the_bootstrap_flags_name_a_model_of_the_users_own_catalogue() -> None:
    """The packaged name need not be in it."""
    models = {name: model for name, model in CATALOG.models.items() if name != "kimi-k2.6"}
    own = replace(CATALOG, models=models, default_model="kimi-k3")
    assert FlagsSource(None, catalog=own).current().default_model == "kimi-k3"
    assert FlagsSource(None, catalog=CATALOG).current() == Flags.bootstrap()


# ------------------------------------------------------------------------------------------------------------ reports


def test_a_missing_file_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """In the status and in the log: what is used instead, and what to do."""
    status = FlagsSource(None).status()
    for text in (status.warning or "", caplog.text, str(status)):
        assert "no flags.yaml" in text
        assert "KIMIPROBE_FLAGS" in text


def test_a_file_that_is_not_used_is_logged_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not at every request."""
    source = FlagsSource(path)
    path.write_bytes(b"version: 1\n")
    for _ in range(5):
        source.current()
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("routing", "WARNING")
    assert "flags.yaml" in record.getMessage()


HEAD = content(1).partition(b"flags:\n")[0]
HUGE = {
    "flags": HEAD + b"flags:\n" + b"".join(b"  k%d: 1\n" % number for number in range(90_000)),
    "few enough to be parsed": HEAD + b"flags:\n" + b"".join(b"  k%d: 1\n" % number for number in range(19_000)),
    "empty flags": HEAD + b"flags:\n" + b"".join(b"  k%d: {}\n" % number for number in range(39_000)),
    "empty lists": HEAD + b"flags: [" + b", ".join([b"[]"] * 250_000) + b"]\n",
    "keys of the file": HEAD + b"flags: {}\n" + b"".join(b"k%d: 1\n" % number for number in range(19_000)),
    "users": content(1, extra=f"    users: {{allow: [{', '.join(map(str, range(39_000)))}]}}\n"),
}


def calls_in(work: Callable[[], object]) -> int:
    """The number of calls of Python and C functions in `work`: the same on a busy machine."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    former = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(former)
    return calls


@pytest.mark.parametrize("name", HUGE)
def test_refusing_a_huge_file_costs_little(name: str, path: Path) -> None:
    """It happens inside a request. The calls of functions are compared with those for a good file of 6,600 user ids."""
    users = ", ".join(f"u{number}" for number in range(6_600))
    good = content(2, extra=f"    users: {{allow: [{users}]}}\n")
    source = FlagsSource(path)
    spent = {}
    for kind, data in {"good": good, "huge": HUGE[name].removesuffix(b"...\n") + b"...\n"}.items():
        path.write_bytes(data[: 1 << 20])
        spent[kind] = calls_in(source.current)
    assert source.status().error is not None
    assert spent["huge"] < 4 * spent["good"]

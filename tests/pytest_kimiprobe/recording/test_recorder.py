"""The folder of cassettes: where each stands, what stops a recording, and that it is all or nothing."""

from __future__ import annotations

import errno
import gzip
import os
from dataclasses import replace
from pathlib import Path

import pytest
from recorded import ENDPOINT, a_sample, a_step

from pytest_kimiprobe.recording import recorder as module
from pytest_kimiprobe.recording.cassettes import RecordingError
from pytest_kimiprobe.recording.recorder import MAX_KEPT, KeyFound, Recorder, place
from pytest_kimiprobe.recording.replays import read
from pytest_kimiprobe.recording.samples import Sample
from pytest_kimiprobe.recording.tape import Take
from pytest_kimiprobe.verdicts import ProbeResult
from routing import catalog

CATALOG = catalog.load(environment={})
KEY = "sk-or-v1-0123456789abcdef0123456789abcdef"


def a_recorder(folder: Path, *samples: Sample) -> Recorder:
    made = Recorder(folder, CATALOG, ("run1", 1, "simulator"))
    made._samples |= {sample.id: sample for sample in samples}
    return made


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_one_cassette_a_case_and_endpoint(tmp_path: Path) -> None:
    """All samples of both modes in it, with the verdict of the day; it reads back as what was kept."""
    upstream = "openrouter/moonshotai/kimi-k2.6+novita/fp8"
    samples = [a_sample(), a_sample(mode="stream"), a_sample(repeat=2), a_sample("other"), a_sample(endpoint=upstream)]
    result = ProbeResult(samples[0].id, "weather", ENDPOINT, "plain", 1, "fail", "wrong_tool")
    assert a_recorder(tmp_path / "new" / "tapes", *samples).write({result.id: result}, {}) == 3
    home = tmp_path / "new" / "tapes"
    names = ["moonshot/kimi-k2.6/other.yaml", "moonshot/kimi-k2.6/weather.yaml"]
    assert files(home) == [*names, f"{upstream}/weather.yaml"]
    found = read(home)
    assert found.samples.keys() == {sample.id for sample in samples}
    assert (found.samples[result.id].verdict, found.samples[result.id].reason) == ("fail", "wrong_tool")
    assert not found.others


@pytest.mark.parametrize(
    "name",
    ["../../x", "..", ".", "", ".hidden", "a/b", "a\\b", "x" * 500, "\ud800", "naïve \n", "nul\0", "con:1", "%2e"],
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    """Cases and endpoints may be named by anybody; two names never meet in one file."""
    path = place(a_sample(name, endpoint=f"openrouter/{name}/x"))
    assert not path.is_absolute()
    assert ".." not in path.parts
    assert all(not part.startswith(".") and len(part.encode()) < 200 for part in path.parts)
    assert path != place(a_sample(f"{name}y", endpoint=f"openrouter/{name}/x"))
    a_recorder(tmp_path / "tapes", a_sample(name, endpoint=f"openrouter/{name}/x")).write({}, {})
    assert len(files(tmp_path / "tapes")) == len(files(tmp_path)) == 1


def test_cases_of_one_name_in_two_files_do_not_meet() -> None:
    """A packaged case has its plain name, any other one the print of its file beside it."""
    others = [a_sample(id=f"{folder}/mine.kimiprobe.yaml::weather[x-plain-1]") for folder in ("a", "b")]
    assert len({place(sample) for sample in (a_sample(), *others)}) == 3
    assert place(a_sample()).name == "weather.yaml"


@pytest.mark.parametrize(
    ("body", "field"),
    [(f"key {KEY}".encode(), "response body"), (gzip.compress(KEY.encode()), "response body")],
    ids=["plain", "gzip in !!binary"],
)
def test_crd_11_what_looks_like_a_key_stops_the_recording(tmp_path: Path, body: bytes, field: str) -> None:
    """Before any file is there, not only that one; the message names file, probe and field, and not the key."""
    bad = a_sample(mode="stream", take=Take((a_step(), a_step(body))))
    with pytest.raises(KeyFound) as raised:
        a_recorder(tmp_path, a_sample("first"), a_sample(), bad).write({}, {})
    told = str(raised.value)
    assert f"{tmp_path}/moonshot/kimi-k2.6/weather.yaml: {bad.id}: {field}" in told
    assert KEY[:12] not in told
    assert files(tmp_path) == []


def test_a_key_in_a_header_or_an_address_is_named_by_its_field(tmp_path: Path) -> None:
    """Also those of the environment, whatever they look like; many finds are counted."""
    step = a_step()
    ours = "canary-4711-Kq8Zr2Lm9Xv3"
    steps = (
        Take((replace(step, answer_headers={"retry-after": ours}),)),
        Take((replace(step, url=f"https://api.moonshot.ai/{ours}"),)),
    )
    samples = [a_sample(repeat=n, take=take) for n, take in enumerate((*steps, *steps, *steps), 1)]
    with pytest.raises(KeyFound, match="and in 1 other places") as raised:
        a_recorder(tmp_path, *samples).write({}, {"MOONSHOT_API_KEY": ours})
    assert "response headers retry-after 0" in str(raised.value)
    assert "request uri" in str(raised.value)
    assert ours not in str(raised.value)


def test_a_new_recording_takes_the_place_of_the_same_cassette_only(tmp_path: Path) -> None:
    """Others stay."""
    a_recorder(tmp_path, a_sample(), a_sample("other")).write({}, {})
    a_recorder(tmp_path, a_sample(run="run2")).write({}, {})
    assert {sample.case: sample.run for sample in read(tmp_path).samples.values()} == {
        "weather": "run2",
        "other": "run1",
    }


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is replaced before everything is written, and no half file stays."""
    a_recorder(tmp_path, a_sample(), a_sample("other")).write({}, {})
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    synced = []

    def full(handle: int) -> None:
        synced.append(handle)
        if len(synced) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        RecordingError, match=r"weather\.yaml: cannot write: No space left on device; what was there is kept"
    ):
        a_recorder(tmp_path, a_sample(run="2"), a_sample("other", run="2")).write({}, {})
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


def test_a_folder_that_cannot_take_cassettes_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of that name or in the way, a folder that may not be written to, a missing library."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "deep" / "er"):
        with pytest.raises(RecordingError, match="file: is a file, not a folder"):
            a_recorder(folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        with pytest.raises(RecordingError, match="cannot be written to"):
            a_recorder(tmp_path / "new")
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(RecordingError, match=r"pip install 'pytest-kimiprobe\[record\]'"):
        a_recorder(tmp_path)


def test_a_cassette_is_never_larger_than_can_be_read(tmp_path: Path) -> None:
    """What there is no room for is left out by name, not cut."""
    body = b"\x01" * (MAX_KEPT // 3)
    a_recorder(tmp_path, *(a_sample(repeat=n, take=Take((a_step(body),))) for n in range(1, 6))).write({}, {})
    found = sorted(read(tmp_path).samples.values(), key=lambda sample: sample.repeat)
    assert [sample.take.whole for sample in found] == [True, True, False, False, False]


def test_one_probe_recorded_twice_is_refused(tmp_path: Path) -> None:
    """Two runs below one folder: whose verdict would it be?"""
    for name in ("monday", "tuesday"):
        a_recorder(tmp_path / name, a_sample()).write({}, {})
    with pytest.raises(RecordingError, match=r"tuesday.*is recorded here and in .*monday.*replay one of the two"):
        read(tmp_path)

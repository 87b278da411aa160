"""The folder of cassettes: names of files, reasons to stop a recording, and that all or none are written."""

from __future__ import annotations

import errno
import gzip
import os
from dataclasses import replace
from pathlib import Path

import pytest
from recorded import ENDPOINT, a_sample, a_step

from pytest_kimiprobe.engine.capture import CapturedExchange
from pytest_kimiprobe.recording import recorder as module
from pytest_kimiprobe.recording.cassettes import RecordingError
from pytest_kimiprobe.recording.recorder import MAX_KEPT, Recorder, cassette_path
from pytest_kimiprobe.recording.replays import read
from pytest_kimiprobe.recording.samples import Sample
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
    """It holds all samples of both modes with their verdicts, and reads back as what was recorded."""
    upstream = "openrouter/moonshotai/kimi-k2.6+novita/fp8"
    samples = [a_sample(), a_sample(mode="stream"), a_sample(repeat=2), a_sample("other"), a_sample(endpoint=upstream)]
    result = ProbeResult(samples[0].id, "weather", ENDPOINT, "plain", 1, "fail", "wrong_tool")
    assert a_recorder(tmp_path / "new" / "tapes", *samples).write({result.id: result}, {}).count == 3
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
    """Any name of a case or endpoint gives a path below the folder; two names never share a file."""
    path = cassette_path(a_sample(name, endpoint=f"openrouter/{name}/x"))
    assert not path.is_absolute()
    assert ".." not in path.parts
    assert all(not part.startswith(".") and len(part.encode()) < 200 for part in path.parts)
    assert path != cassette_path(a_sample(f"{name}y", endpoint=f"openrouter/{name}/x"))
    a_recorder(tmp_path / "tapes", a_sample(name, endpoint=f"openrouter/{name}/x")).write({}, {})
    assert len(files(tmp_path / "tapes")) == len(files(tmp_path)) == 1


def test_cases_of_one_name_in_two_files_have_two_cassettes() -> None:
    """The cassette of a packaged case has its plain name; others have the hash of their case file too."""
    others = [a_sample(id=f"{folder}/mine.kimiprobe.yaml::weather[x-plain-1]") for folder in ("a", "b")]
    assert len({cassette_path(sample) for sample in (a_sample(), *others)}) == 3
    assert cassette_path(a_sample()).name == "weather.yaml"


@pytest.mark.parametrize(
    ("body", "field"),
    [(f"key {KEY}".encode(), "response body"), (gzip.compress(KEY.encode()), "response body")],
    ids=["plain", "gzip in !!binary"],
)
def test_crd_11_a_cassette_with_what_looks_like_a_key_is_left_out(tmp_path: Path, body: bytes, field: str) -> None:
    """The other cassettes are written; the note names file, probe and field, but not the key."""
    bad = a_sample(mode="stream", captured=CapturedExchange((a_step(), a_step(body))))
    done = a_recorder(tmp_path, a_sample("first"), a_sample(), bad).write({}, {})
    (told,) = done.notes
    assert told.startswith("NOT RECORDED: 1 cassette: found what looks like a key in ")
    assert f"{tmp_path}/moonshot/kimi-k2.6/weather.yaml: {bad.id}: {field}" in told
    assert KEY[:12] not in told
    assert (done.count, files(tmp_path)) == (1, ["moonshot/kimi-k2.6/first.yaml"])


@pytest.mark.parametrize("text", ["pip install sk-learn-contrib-0123456789", "use sk-your-api-key-here-0123456789"])
def test_the_text_of_one_host_never_costs_the_cassettes_of_others(tmp_path: Path, text: str) -> None:
    """A cassette that was recorded before stays as it is, too."""
    a_recorder(tmp_path, a_sample()).write({}, {})
    before = (tmp_path / "moonshot/kimi-k2.6/weather.yaml").read_bytes()
    other = a_sample(endpoint="groq/moonshotai/kimi-k2.6")
    bad = a_sample(run="run2", captured=CapturedExchange((a_step(text.encode()),)))
    done = a_recorder(tmp_path, bad, other).write({}, {})
    assert (done.count, len(done.left_out)) == (1, 1)
    assert (tmp_path / "moonshot/kimi-k2.6/weather.yaml").read_bytes() == before
    assert (tmp_path / "groq/moonshotai/kimi-k2.6/weather.yaml").exists()


def test_only_the_user_may_read_cassettes(tmp_path: Path) -> None:
    """They hold what a production model was asked and answered."""
    a_recorder(tmp_path, a_sample()).write({}, {})
    assert (tmp_path / "moonshot/kimi-k2.6/weather.yaml").stat().st_mode & 0o777 == 0o600


def test_a_key_in_a_header_or_an_address_is_named_by_its_field(tmp_path: Path) -> None:
    """Keys of the environment are found too, whatever they look like; further findings are counted."""
    step = a_step()
    ours = "canary-4711-Kq8Zr2Lm9Xv3"
    steps = (
        CapturedExchange((replace(step, answer_headers={"retry-after": ours}),)),
        CapturedExchange((replace(step, url=f"https://api.moonshot.ai/{ours}"),)),
    )
    samples = [a_sample(repeat=n, captured=captured) for n, captured in enumerate((*steps, *steps, *steps), 1)]
    (told,) = a_recorder(tmp_path, *samples).write({}, {"MOONSHOT_API_KEY": ours}).notes
    assert told.endswith("and in 1 other places")
    assert "response headers retry-after 0" in told
    assert "request uri" in told
    assert ours not in told


def test_a_new_recording_takes_the_place_of_the_same_cassette_only(tmp_path: Path) -> None:
    """Cassettes of other cases and endpoints are kept."""
    a_recorder(tmp_path, a_sample(), a_sample("other")).write({}, {})
    a_recorder(tmp_path, a_sample(run="run2")).write({}, {})
    assert {sample.case: sample.run for sample in read(tmp_path).samples.values()} == {
        "weather": "run2",
        "other": "run1",
    }


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is replaced before everything is written, and no partial file is left."""
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


def test_a_folder_that_cannot_hold_cassettes_is_reported_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in the way, a folder without write permission, or missing vcrpy is reported before any request."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "deep" / "er"):
        with pytest.raises(RecordingError, match="file: is a file, not a folder"):
            a_recorder(folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        with pytest.raises(RecordingError, match="cannot be written to"):
            a_recorder(tmp_path / "new")
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(RecordingError, match=r"pip install vcrpy \(the extra `record`"):
        a_recorder(tmp_path)


def test_a_cassette_is_never_larger_than_can_be_read(tmp_path: Path) -> None:
    """Samples that do not fit are kept without their bytes instead of being cut."""
    body = b"\x01" * (MAX_KEPT // 3)
    a_recorder(tmp_path, *(a_sample(repeat=n, captured=CapturedExchange((a_step(body),))) for n in range(1, 6))).write(
        {}, {}
    )
    found = sorted(read(tmp_path).samples.values(), key=lambda sample: sample.repeat)
    assert [sample.captured.whole for sample in found] == [True, True, False, False, False]


def test_one_probe_recorded_twice_is_refused(tmp_path: Path) -> None:
    """Two recordings of one probe below one folder are ambiguous."""
    for name in ("monday", "tuesday"):
        a_recorder(tmp_path / name, a_sample()).write({}, {})
    with pytest.raises(RecordingError, match=r"tuesday.*is recorded here and in .*monday.*replay one of the two"):
        read(tmp_path)

"""`--kimiprobe-record`: what a run sent and received, as vcrpy cassettes in a folder, one a case and endpoint.

    DIR/moonshot/kimi-k2.6/weather.yaml       a case of a packaged file
    DIR/moonshot/kimi-k2.6/mine-1f0c9a.yaml   a case of another file: its path's print tells it from others of the name

All are made and searched for keys before any is written, and all are written beside the former ones before any takes its
place: a run leaves all of its cassettes or none. A cassette of the same case and endpoint is replaced.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import routing
from routing.catalog import Catalog, Provider

from ..cases.plan import ProbePlan
from ..engine.dispatch import Outcome
from ..safe_text import one_line
from ..verdicts import ProbeResult
from .account_data import scrubbed
from .cassettes import RecordingError, load_yaml
from .key_scan import places
from .recordings import MAX_CASSETTE
from .samples import Sample, asked_print, cassette
from .tape import Take

MAX_KEPT = MAX_CASSETTE // 5
"""Bytes of requests and answers in one cassette: YAML may write a byte in four characters."""
_PACKAGED = "kimiprobe/"
_LONGEST_NAME = 120
_TOLD = 5


class KeyFound(RecordingError):
    """Something in a cassette looks like a key; nothing was written. The message names files, probes and fields."""


class Recorder:
    """Keeps the samples of a run until they are written. `public` has the providers' own base URLs.

    Raises RecordingError for a folder that cannot take cassettes, before anything is sent.
    """

    def __init__(self, folder: Path, public: Catalog, run: tuple[str, int, str]) -> None:
        self.folder = folder
        self._public = public
        self._run = run
        self._samples: dict[str, Sample] = {}
        if find_spec("vcr") is None:
            raise RecordingError("needs the library vcrpy: pip install 'pytest-kimiprobe[record]'")
        _require_writable(folder)

    def keep(self, probe: str, plan: ProbePlan, outcome: Outcome[Any], provider: Provider) -> None:
        """Keep one exchange, account data taken out; `provider` is whom it really went to."""
        done, take = outcome.exchange, outcome.take
        if done is None or take is None:
            return
        run, attempt, source = self._run
        self._samples[probe] = Sample(
            id=probe,
            case=plan.case.name,
            endpoint=plan.endpoint.id,
            mode=plan.mode,
            repeat=plan.repeat,
            load=plan.load,
            asked=asked_print(plan.request),
            run=run,
            attempt=attempt,
            source=source,
            kimiprobe=routing.__version__,
            take=self._cleaned(take, provider),
            first_token_ms=done.first_token_ms,
            total_ms=done.total_ms,
            late_ms=outcome.late_ms,
            at_once=outcome.at_once,
            refusals=outcome.refusals,
            cost_usd=done.cost_usd,
            cost_origin=done.cost_origin,
        )

    def _cleaned(self, take: Take, provider: Provider) -> Take:
        try:
            return scrubbed(take, provider.base_url, self._public.providers[provider.name].base_url)
        except Exception:  # noqa: BLE001 - what cannot be cleaned is not kept, and must not cost the run
            return Take(whole=False)

    def write(self, results: Mapping[str, ProbeResult], environment: Mapping[str, str]) -> int:
        """Write all cassettes; returns how many. Raises KeyFound, and RecordingError naming what cannot be written."""
        groups: dict[Path, list[Sample]] = defaultdict(list)
        for sample in self._samples.values():
            judged = results.get(sample.id)
            told = replace(sample, verdict=judged.verdict, reason=judged.reason) if judged else sample
            groups[self.folder / place(told)].append(told)
        texts = {path: cassette(_fitted(samples)) for path, samples in sorted(groups.items())}
        if found := [told for path, text in texts.items() for told in _keys(path, text, environment)]:
            more = f", and in {len(found) - _TOLD} other places" if len(found) > _TOLD else ""
            raise KeyFound(f"no cassette was written: what looks like a key stands in {'; '.join(found[:_TOLD])}{more}")
        _write_all(texts)
        return len(texts)


def place(sample: Sample) -> Path:
    """The path of a sample's cassette below the folder; no name in it leads anywhere else."""
    file = sample.id.partition("::")[0]
    told = "" if file.startswith(_PACKAGED) else f"-{sha256(file.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}"
    folders = [_safe(part) for part in sample.endpoint.split("/")]
    return Path(*folders, f"{_safe(sample.case)}{told}.yaml")


def _safe(name: str) -> str:
    """One part of a path: letters of names as they are, the rest percent-encoded, no hidden or relative one."""
    coded = quote(name, safe="+@ ", errors="backslashreplace").replace(" ", "%20")
    coded = coded.replace(".", "%2E", 1) if coded.startswith(".") else coded or "%"
    if len(coded) <= _LONGEST_NAME:
        return coded
    return f"{coded[: _LONGEST_NAME - 7]}-{sha256(coded.encode()).hexdigest()[:6]}"


def _fitted(samples: Sequence[Sample]) -> list[Sample]:
    """The samples, those without their bytes that would make the cassette larger than it can be read."""
    room, fitted = MAX_KEPT, []
    for sample in sorted(samples, key=lambda sample: sample.order):
        room -= sum(len(step.content) + len(step.body) for step in sample.take.steps)
        fitted.append(sample if room >= 0 else replace(sample, take=replace(sample.take, steps=(), whole=False)))
    return fitted


def _keys(path: Path, text: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Where in the text that would be written something looks like a key, in words that do not show it."""
    document = load_yaml(text.encode(), str(path))
    rows = document["metadata"]["kimiprobe"]["samples"]
    owners = [str(row["id"]) for row in rows for _ in range(row["interactions"])]
    for found in sorted(places(document, environment)):
        parts = found.replace("[", ".").replace("]", "").split(".")
        number = int(parts[1]) if parts[0] == "interactions" else None
        owner = owners[number] if number is not None else "its metadata"
        field = " ".join(parts[2:] if number is not None else parts[1:])
        yield f"{one_line(str(path), 300)}: {one_line(owner, 300)}: {one_line(field.removesuffix(' string'), 100)}"


def _require_writable(folder: Path) -> None:
    """Whether cassettes may be written below the folder, told before anything is sent."""
    nearest = folder.absolute()
    while not os.path.lexists(nearest):
        nearest = nearest.parent
    if not nearest.is_dir():
        raise RecordingError("is a file, not a folder", where=str(nearest))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise RecordingError("cannot be written to", where=str(nearest))


def _write_all(texts: Mapping[Path, str]) -> None:
    """Every text beside its place first, then each into it."""
    staged: dict[Path, Path] = {}
    path = Path()
    try:
        for path, text in texts.items():
            # A name that nobody can foresee, made here or not at all: no link that lies there is followed.
            staged[path] = path.with_name(f".{secrets.token_hex(8)}.tmp")
            path.parent.mkdir(parents=True, exist_ok=True)
            with staged[path].open("x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        for path, temporary in staged.items():
            temporary.replace(path)
    except OSError as error:
        told = f"cannot write: {error.strerror or error}; what was there is kept"
        raise RecordingError(told, where=str(path)) from None
    finally:
        for temporary in staged.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

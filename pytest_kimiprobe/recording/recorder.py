"""`--kimiprobe-record`: writes the exchanges of a run as vcrpy cassettes, one for each case and endpoint.

    DIR/moonshot/kimi-k2.6/weather.yaml       a case of a packaged file
    DIR/moonshot/kimi-k2.6/mine-1f0c9a.yaml   a case of another file, with a hash of that file's path

All cassettes are built and searched for keys before any is written. A cassette with what looks like a key is left out,
and the others are written. All are written to temporary files before any is renamed, so a full disk leaves none of
them. A cassette of the same case and endpoint is replaced. Only the user who runs kimiprobe may read the files.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import routing
from routing.captures.account_data import clean_body, without_ids
from routing.captures.key_scan import places
from routing.catalog import Catalog, Provider

from ..atomic_files import replace_files
from ..cases.plan import ProbePlan
from ..engine.capture import CapturedExchange, CapturedRequest
from ..engine.dispatch import ProbeOutcome
from ..import_check import install_hint
from ..safe_text import one_line
from ..verdicts import ProbeResult
from .cassettes import RecordingError, load_yaml
from .recordings import MAX_CASSETTE
from .samples import Sample, cassette, request_fingerprint

MAX_KEPT = MAX_CASSETTE // 5
"""Maximum bytes of requests and answers in one cassette. YAML may write one byte as four characters."""
_PACKAGED = "kimiprobe/"
_LONGEST_NAME = 120
_SHOWN = 5
_ASKED = frozenset({"accept", "anthropic-version", "cancel-after", "content-type", "prefer", "x-openrouter-metadata"})
_ANSWERED = frozenset({"content-type", "retry-after", "retry-after-ms", "x-should-retry"})
"""Headers that are kept: request headers that wires write (`_ASKED`), response headers that they read (`_ANSWERED`)."""
_SHORTEST_URL = len("http://a")


@dataclass(frozen=True, slots=True)
class Written:
    """Result of writing cassettes: their number, and a text for each value because of which one was left out.

    The text names the file, the probe and the field, never the value.
    """

    count: int
    left_out: Mapping[Path, Sequence[str]]

    @property
    def notes(self) -> list[str]:
        """Lines for the report of the run."""
        found = [place for places in self.left_out.values() for place in places]
        if not found:
            return []
        many = len(self.left_out)
        more = f", and in {len(found) - _SHOWN} other places" if len(found) > _SHOWN else ""
        left = f"NOT RECORDED: {many} cassette{'' if many == 1 else 's'}: found what looks like a key in "
        return [f"{left}{'; '.join(found[:_SHOWN])}{more}"]


class Recorder:
    """Collects the samples of a run until they are written. `public` has the providers' public base URLs.

    Raises RecordingError if cassettes cannot be written to the folder, before anything is sent.
    """

    def __init__(self, folder: Path, public: Catalog, run: tuple[str, int, str]) -> None:
        self.folder = folder
        self._public = public
        self._run = run
        self._samples: dict[str, Sample] = {}
        if find_spec("vcr") is None:
            raise RecordingError(f"needs the library vcrpy: {install_hint('record')}")
        _require_writable(folder)

    def keep(self, probe: str, plan: ProbePlan, outcome: ProbeOutcome[Any], provider: Provider) -> None:
        """Keep one exchange without account data. `provider` is the one that the request was sent to."""
        done, captured = outcome.exchange, outcome.captured
        if done is None or captured is None:
            return
        run, attempt, source = self._run
        self._samples[probe] = Sample(
            id=probe,
            case=plan.case.name,
            endpoint=plan.endpoint.id,
            mode=plan.mode,
            repeat=plan.repeat,
            load=plan.load,
            asked=request_fingerprint(plan.request),
            run=run,
            attempt=attempt,
            source=source,
            kimiprobe=routing.__version__,
            captured=self._cleaned(captured, provider),
            first_token_ms=done.first_token_ms,
            total_ms=done.total_ms,
            late_ms=outcome.late_ms,
            at_once=outcome.at_once,
            refusals=outcome.refusals,
            cost_usd=done.cost_usd,
            cost_origin=done.cost_origin,
        )

    def _cleaned(self, captured: CapturedExchange, provider: Provider) -> CapturedExchange:
        try:
            return scrubbed(captured, provider.base_url, self._public.providers[provider.name].base_url)
        except Exception:  # noqa: BLE001 - what cannot be cleaned is not kept, and must not cost the run
            return CapturedExchange(whole=False)

    def write(self, results: Mapping[str, ProbeResult], environment: Mapping[str, str]) -> Written:
        """Write all cassettes without keys. Raises RecordingError naming the file."""
        groups: dict[Path, list[Sample]] = defaultdict(list)
        for sample in self._samples.values():
            judged = results.get(sample.id)
            kept = replace(sample, verdict=judged.verdict, reason=judged.reason) if judged else sample
            groups[self.folder / cassette_path(kept)].append(kept)
        texts = {path: cassette(_fitted(samples)) for path, samples in sorted(groups.items())}
        left_out = {path: found for path, text in texts.items() if (found := list(_keys(path, text, environment)))}
        contents = {path: text.encode() for path, text in texts.items() if path not in left_out}
        replace_files(contents, _refused, mode=0o600)
        return Written(len(contents), left_out)


def cassette_path(sample: Sample) -> Path:
    """Path of a sample's cassette relative to the folder. No name can lead out of the folder."""
    file = sample.id.partition("::")[0]
    suffix = "" if file.startswith(_PACKAGED) else f"-{sha256(file.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}"
    folders = [_safe(part) for part in sample.endpoint.split("/")]
    return Path(*folders, f"{_safe(sample.case)}{suffix}.yaml")


def _safe(name: str) -> str:
    """The name as one path component, never hidden or relative.

    All characters except ASCII letters, digits and `_-.~+@` are percent-encoded.
    """
    coded = quote(name, safe="+@ ", errors="backslashreplace").replace(" ", "%20")
    coded = coded.replace(".", "%2E", 1) if coded.startswith(".") else coded or "%"
    if len(coded) <= _LONGEST_NAME:
        return coded
    return f"{coded[: _LONGEST_NAME - 7]}-{sha256(coded.encode()).hexdigest()[:6]}"


def _fitted(samples: Sequence[Sample]) -> list[Sample]:
    """The samples of a cassette, sorted. After MAX_KEPT bytes, further samples are kept without requests and answers.

    A larger cassette could not be read again.
    """
    bytes_left, fitted = MAX_KEPT, []
    for sample in sorted(samples, key=lambda sample: sample.order):
        bytes_left -= sum(len(step.content) + len(step.body) for step in sample.captured.steps)
        fitted.append(
            sample if bytes_left >= 0 else replace(sample, captured=replace(sample.captured, steps=(), whole=False))
        )
    return fitted


def _keys(path: Path, text: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Describe each value of a cassette's text that looks like a key, without showing the value."""
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
    """Raise RecordingError if cassettes cannot be written below the folder. Called before anything is sent."""
    nearest = folder.absolute()
    while not os.path.lexists(nearest):
        nearest = nearest.parent
    if not nearest.is_dir():
        raise RecordingError("is a file, not a folder", where=str(nearest))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise RecordingError("cannot be written to", where=str(nearest))


def _refused(path: Path, why: str) -> RecordingError:
    return RecordingError(f"cannot write: {why}; what was there is kept", where=str(path))


def scrubbed(captured: CapturedExchange, base_url: str, public_url: str) -> CapturedExchange:
    """The captured exchange without account data. The provider's `base_url` is replaced by its `public_url`."""
    steps = tuple(_step(step, base_url, public_url) for step in captured.steps)
    return replace(captured, steps=steps)


def _step(step: CapturedRequest, base_url: str, public_url: str) -> CapturedRequest:
    headers = {name: _public(value, base_url, public_url) for name, value in _kept(step.answer_headers, _ANSWERED)}
    body = _public_bytes(step.body, base_url, public_url)
    return replace(
        step,
        url=_public(step.url, base_url, public_url),
        headers=dict(_kept(step.headers, _ASKED)),
        answer_headers={name: without_ids(value) for name, value in headers.items()},
        body=clean_body(body, step.status, step.answer_headers.get("content-type", "")),
    )


def _kept(headers: Mapping[str, str], allowed: frozenset[str]) -> Iterator[tuple[str, str]]:
    return ((name.lower(), value) for name, value in sorted(headers.items()) if name.lower() in allowed)


def _public(text: str, base_url: str, public_url: str) -> str:
    return _public_bytes(text.encode("utf-8", "surrogatepass"), base_url, public_url).decode("utf-8", "surrogatepass")


def _public_bytes(data: bytes, base_url: str, public_url: str) -> bytes:
    """Replace `base_url`, which may be an address of this machine or a private gateway, by `public_url`."""
    if len(base_url) <= _SHORTEST_URL or base_url == public_url:
        return data
    for one, other in ((base_url, public_url), (base_url.replace("/", r"\/"), public_url.replace("/", r"\/"))):
        data = data.replace(one.encode(), other.encode())
    return data

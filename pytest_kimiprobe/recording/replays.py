"""Finds recorded probes, and answers jobs from them instead of sending requests, so that they are judged again."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from routing.catalog import Catalog, Endpoint
from routing.errors import ConfigError, ExchangeError, error_type
from routing.exchange import Exchange, exchange
from routing.transport import TIMEOUT_S, HttpRequest, HttpResponse
from routing.transport.event_loop import LoopThread
from routing.transport.failures import RequestProgress
from routing.types import CostOrigin, Mode

from ..cases.model import Case
from ..cases.plan import Load, Planned, ProbePlan
from ..engine.capture import CapturedExchange
from ..engine.clock import Timestamp
from ..engine.dispatch import ProbeJob, ProbeOutcome, T
from ..engine.pacing import LoopLag
from ..engine.throttle import Throttle
from . import recordings
from .cassettes import RecordingError, Unreadable
from .recordings import document_of, files
from .samples import Sample, request_fingerprint, samples_of

_LONG_S = 3600.0
"""Deadline of a replayed exchange, which waits for nothing."""


@dataclass(frozen=True, slots=True)
class Replays:
    """Content of a folder or file of recordings: samples by probe id, and files that kimiprobe did not write."""

    root: Path = Path()
    samples: Mapping[str, Sample] = field(default_factory=dict)
    others: tuple[Path, ...] = ()
    """Files that kimiprobe did not write, or that cannot be read; each is collected separately."""
    problems: Mapping[Path, str] = field(default_factory=dict)
    """Cassette that kimiprobe wrote but that cannot be read → the reason."""

    @property
    def simulated(self) -> bool:
        """Whether any sample was recorded from a simulated host."""
        return any(sample.source == "simulator" for sample in self.samples.values())

    def unreadable(self) -> dict[Path, str]:
        """The files that cannot be read → the reason."""
        found = dict(self.problems)
        for path in self.others:
            if path not in found:
                try:
                    recordings.read(path)
                except ConfigError as problem:
                    why = str(problem).removeprefix(f"{path}:")
                    found[path] = why.strip() if why.startswith(" ") else f"line {why}"
        return found

    def name(self, path: Path) -> str:
        """Name of a recording in the ids of its rows: its path relative to the folder of the replay."""
        return path.relative_to(self.root).as_posix() if path != self.root else path.name

    def plans(self, case: Case, endpoints: Mapping[str, Endpoint]) -> Iterator[Planned]:
        """All recorded probes of cases with this name at `endpoints`.

        If another file has a case of the same name, its probes are included. Their ids are different.
        """
        # Without duplicates: pytest combines each probe with every parameter of a test function.
        alike = {
            (sample.endpoint, sample.mode, sample.repeat, sample.load)
            for sample in self.samples.values()
            if sample.case == case.name
        }
        for endpoint, mode, repeat, load in sorted(alike):
            if endpoint in endpoints:
                yield Planned(ProbePlan(case, endpoints[endpoint], cast(Mode, mode), repeat, cast(Load, load)))


def read(path: Path) -> Replays:
    """Read the recordings at `path`. Raises RecordingError if there are none, or if a probe was recorded twice."""
    samples: dict[str, Sample] = {}
    origins: dict[str, Path] = {}
    others, problems = [], {}
    for file in files(path):
        try:
            ours = _samples(file)
        except Unreadable as problem:
            ours, problems[file] = None, str(problem)
        if ours is None:
            others.append(file)
        for sample in ours or ():
            if sample.id in samples:
                message = f"{sample.id} is recorded here and in {origins[sample.id]}: replay one of the two folders"
                raise RecordingError(message, where=str(file))
            samples[sample.id], origins[sample.id] = sample, file
    return Replays(Path(os.path.abspath(path)), samples, tuple(others), problems)  # noqa: PTH100 - as in `files`


def _samples(file: Path) -> list[Sample] | None:
    """The samples of a cassette that kimiprobe wrote; None for any other file, which is collected separately.

    Raises Unreadable if the cassette is damaged or was written by a newer release.
    """
    if file.suffix == ".jsonl":
        return None
    try:
        document = document_of(file)
    except RecordingError:
        return None
    return samples_of(document)


def endpoint_of(catalog: Catalog, sample: Sample) -> Endpoint | None:
    """The catalogue's endpoint to which a sample belongs; None if the catalogue does not have it.

    If the recording run had discovered the upstream, its endpoint is derived from the gateway's endpoint.
    """
    if sample.endpoint in catalog.endpoints:
        return catalog.endpoints[sample.endpoint]
    base, _, upstream = sample.endpoint.partition("+")
    gateway = catalog.endpoints.get(base)
    return replace(gateway, id=sample.endpoint, upstream=upstream, prices=()) if gateway and upstream else None


class Replayer:
    """Replacement for a Dispatcher: answers each job from the recording of the same probe, in order of submission."""

    def __init__(self, samples: Mapping[str, Sample]) -> None:
        self._samples = samples
        self._jobs: deque[ProbeJob[Any]] = deque()
        self._loop = LoopThread("kimiprobe-replay")
        self.spent_usd = (Decimal(0), Decimal(0))
        self.throttles: dict[Hashable, Throttle] = {}
        self.lag = LoopLag()
        self.began: Timestamp | None = None
        """When the first job was submitted."""

    def submit(self, jobs: Iterable[ProbeJob[Any]]) -> None:
        """Add jobs to the queue."""
        self.began = self.began or Timestamp.now()
        self._jobs.extend(jobs)

    def outcome(self) -> ProbeOutcome[Any] | None:
        """The outcome of the next submitted job; None if none is left."""
        return self._replayed(self._jobs.popleft()) if self._jobs else None

    def drain(self) -> Sequence[ProbeOutcome[Any]]:
        """Outcomes still pending: always none."""
        return ()

    def close(self) -> None:
        """Stop the event loop of the replay."""
        self._loop.close()

    def _replayed(self, job: ProbeJob[T]) -> ProbeOutcome[T]:
        plan, sample = job.plan, self._samples[job.item.nodeid]  # type: ignore[attr-defined]
        if problem := _stale(plan, sample):
            return ProbeOutcome(job.item, Exchange(plan.endpoint.id, {}, error=not_recorded(problem)))
        sending = exchange(ReplayTransport(sample.captured), job.target, plan.request, timeout_s=_LONG_S)
        done = replace(
            self._loop.submit(sending).result(),
            first_token_ms=sample.first_token_ms,
            total_ms=sample.total_ms,
            cost_usd=sample.cost_usd,
            cost_origin=cast(CostOrigin, sample.cost_origin),
        )
        return ProbeOutcome(job.item, done, at_once=sample.at_once, refusals=sample.refusals, late_ms=sample.late_ms)


class ReplayTransport:
    """Transport that gives the recorded answers of one exchange, in their order, without waiting."""

    def __init__(self, captured: CapturedExchange) -> None:
        self._captured = captured
        self._next = 0

    async def pause(self, seconds: float) -> None:
        """Return immediately: a replay does not wait."""

    @asynccontextmanager
    async def send(
        self,
        request: HttpRequest,  # noqa: ARG002 - the signature of a transport
        *,
        timeout_s: float | None = TIMEOUT_S,  # noqa: ARG002
        progress: RequestProgress | None = None,  # noqa: ARG002
    ) -> AsyncIterator[HttpResponse]:
        """Give the next recorded answer. If none is left, raise the recorded failure, or `not_recorded` without one."""
        if self._next >= len(self._captured.steps):
            broken = self._captured.broken
            raise broken.error() if broken else not_recorded("the recording ends before the exchange does")
        step, self._next = self._captured.steps[self._next], self._next + 1
        async with aclosing(self._body(step.body)) as body:
            yield HttpResponse(step.status, step.answer_headers, body)

    async def _body(self, body: bytes) -> AsyncGenerator[bytes, None]:
        if body:
            yield body
        broken = self._captured.broken
        if broken is not None and broken.side == "answer" and self._next == len(self._captured.steps):
            raise broken.error()


def not_recorded(detail: str) -> ExchangeError:
    """The error for a recording that does not hold what the judge needs."""
    return error_type("not_recorded")("not_recorded", detail)


def _stale(plan: ProbePlan, sample: Sample) -> str:
    """Why the sample is not an answer to the request that the probe would send now; empty if it is."""
    if not sample.captured.whole:
        return "the answer was larger than a cassette keeps"
    if sample.asked != request_fingerprint(plan.request):
        return f"the case asks something else than when kimiprobe {sample.kimiprobe} recorded it"
    return ""

"""The loop: choose, attempt, verify, rescue, fall back, account."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack
from urllib.parse import urlsplit

from . import catalog as _catalog
from .catalog import Catalog
from .catalog.model import LOOPBACK
from .circuit_breaker import Breaker
from .errors import EvidenceError, NoRoute, RouterClosed
from .evidence.file_source import EvidenceFile, EvidenceSource, EvidenceStatus
from .flags.source import Flags, FlagsSource, FlagsStatus, find_flags
from .request_options import Options
from .selection import Facts, Needs, Route, choose
from .tokens import ASSUMED_REQUEST, has_image, prompt_tokens_of
from .types import Message, Parked, Reply, RequestOptions, Tool

if TYPE_CHECKING:
    from concurrent.futures import Future

    from .loop import LoopThread
    from .transport import Transport

# What only a request needs (event loop, transport, rescue, schemas) is imported with the first one.


@dataclass(frozen=True, slots=True)
class RouterStatus:
    """What a running router stands on, and which endpoints it passes over for now."""

    flags: FlagsStatus
    evidence: EvidenceStatus
    catalog: str
    parked: tuple[Parked, ...] = ()


class Router:
    """Sends each request to the cheapest endpoint that works, and falls back when reality disagrees.

    Make one with `Router.load()` and share it: it is safe to use from threads and from any event loop. Close it, or
    use it as a context manager.
    """

    def __init__(
        self, flags: FlagsSource, evidence: str | Path | None, catalog: Catalog, breaker: Breaker | None = None
    ) -> None:
        self._flags = flags
        self._catalog = catalog
        self._breaker = breaker or Breaker()
        self._made: tuple[LoopThread, Transport] | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._evidence = _evidence_source(evidence, self._line)

    @classmethod
    def load(
        cls, flags: str | Path | None = None, *, evidence: str | Path | None = None, catalog: str | Path | None = None
    ) -> Router:
        """Load flags (argument, `KIMIPROBE_FLAGS`, found upwards, packaged bootstrap), evidence and catalogue.

        `evidence`: path or https URL; else `KIMIPROBE_EVIDENCE`; else `results/latest.json` beside the flags file.
        Raises FlagsError where a flags path that was named cannot be read, CatalogError for a wrong catalogue. Flags
        with wrong content do not raise: routing starts on the packaged ones, and `status()` says why.
        """
        path = Path(flags) if flags is not None else find_flags()
        source = FlagsSource(path)
        place = evidence if evidence is not None else os.environ.get("KIMIPROBE_EVIDENCE") or None
        if place is None and path is not None:
            place = path.parent / "results" / "latest.json"
        return cls(source, place, _catalog.load(Path(catalog) if catalog is not None else None))

    @property
    def flags(self) -> Flags:
        """The flags as they are now; a broken file on disk never changes them."""
        return self._flags.current()

    def status(self) -> RouterStatus:
        """Which flags and evidence are in force, what is wrong with newer ones, and which endpoints are parked."""
        self._flags.current()
        self._evidence.current()
        parked = tuple(self._breaker.parked().values())
        return RouterStatus(self._flags.status(), self._evidence.status(), self._catalog.origin, parked)

    def route(self, messages: str | Sequence[Message] = (), **options: Unpack[RequestOptions]) -> Route:
        """Where such a request would go, and why; nothing is sent.

        Takes what `complete` takes. Without messages, prices are compared for `ASSUMED_REQUEST`. Raises CatalogError for
        an unknown model.
        """
        return self._route(_as_messages(messages), Options.of(options))

    def tool_calling_available(
        self, provider: str, *, model: str | None = None, user: str | None = None, groups: Sequence[str] = ()
    ) -> bool:
        """Whether a trusted endpoint of this provider would serve a tool-calling request of this user now."""
        route = self.route(tools=_ANY_TOOL, model=model, user=user, groups=groups)
        return any(
            candidate.trusted and self._catalog.endpoint(candidate.endpoint).provider == provider
            for candidate in route.candidates
        )

    def complete(self, messages: str | Sequence[Message], **options: Unpack[RequestOptions]) -> Reply:
        """Send a request and return the first answer that may be delivered.

        `messages`: OpenAI messages, or a user's text; `options`: see `RequestOptions`. Raises NoRoute where no endpoint
        fits, AllAttemptsFailed (with `.attempts`) where none delivered, ToolSchemaError for a tool without valid schema.
        """
        from concurrent.futures import CancelledError

        try:
            return self._submit(messages, options).result()
        except CancelledError:
            raise RouterClosed(_CLOSED_UNDER) from None

    async def acomplete(self, messages: str | Sequence[Message], **options: Unpack[RequestOptions]) -> Reply:
        """`complete` for async code. Cancelling it cancels the request."""
        import asyncio

        handover = _Handover()
        try:
            # In a thread: flags, evidence and schemas are read there, and the caller's loop goes on.
            submitted = await asyncio.to_thread(lambda: handover.give(self._submit(messages, options)))
            return await asyncio.wrap_future(submitted)
        except asyncio.CancelledError:
            handover.call_off()
            task = asyncio.current_task()
            if task is None or not task.cancelling():  # nobody cancelled this: the router was closed
                raise RouterClosed(_CLOSED_UNDER) from None
            raise

    def close(self) -> None:
        """End open requests and connections. Calling it again does nothing."""
        with self._lock:
            made, self._made, self._closed = self._made, None, True
        if made is not None:
            loop, transport = made
            loop.close(transport.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _line(self) -> tuple[LoopThread, Transport]:
        """The event loop and its clients, made with the first request."""
        from .loop import LoopThread
        from .transport import Transport

        with self._lock:
            if self._closed:
                raise RouterClosed("this router was closed; make another one with Router.load()")
            if self._made is None:
                self._made = LoopThread("kimiprobe-router"), Transport()
            return self._made

    def _route(self, messages: Sequence[Message], ask: Options) -> Route:
        flags = self.flags
        needs = Needs(
            model=ask.model or flags.default_model,
            fallback_models=tuple(flags.fallback_models),
            tools=bool(ask.tools),
            vision=has_image(messages),
            tool_choice=ask.tool_choice if ask.tools else None,
            user=ask.user,
            groups=tuple(ask.groups),
            prompt_tokens=prompt_tokens_of(messages, ask.tools) if messages else ASSUMED_REQUEST.prompt_tokens,
            max_tokens=ask.max_tokens or (None if messages else ASSUMED_REQUEST.completion_tokens),
        )
        evidence, parked = self._evidence.current(), self._breaker.parked()
        return choose(needs, Facts(self._catalog, flags, evidence, datetime.now(UTC), parked))

    def _submit(self, messages: str | Sequence[Message], options: RequestOptions) -> Future[Reply]:
        from .fallback import Delivery, Means
        from .schema import ToolSet

        ask, turns = Options.of(options), _as_messages(messages)
        for problem in ToolSet.of(ask.tools).problems:
            raise problem  # the caller's mistake, told before money is spent
        route = self._route(turns, ask)
        if not route.candidates:
            raise NoRoute(str(route))
        loop, transport = self._line()
        means = Means(transport, self._catalog, self._breaker)
        delivery = Delivery(means, ask.request(turns), route, timeout=ask.timeout, max_cost_usd=ask.max_cost_usd)
        return loop.submit(delivery.run())


_CLOSED_UNDER = "the router was closed while this request was under way"


class _Handover:
    """A request on its way to the loop: called off, it is cancelled also where it is only just being handed over."""

    def __init__(self) -> None:
        self._future: Future[Reply] | None = None
        self._called_off = False

    def give(self, future: Future[Reply]) -> Future[Reply]:
        self._future = future
        if self._called_off:
            future.cancel()
        return future

    def call_off(self) -> None:
        self._called_off = True
        if self._future is not None:
            self._future.cancel()


_ANY_TOOL: Sequence[Tool] = ({"type": "function", "function": {"name": "any"}},)


def _evidence_source(place: str | Path | None, line: Callable[[], tuple[LoopThread, Transport]]) -> EvidenceSource:
    """A path, or a URL: plain http only to this machine. Raises EvidenceError for any other URL."""
    if "://" not in str(place or ""):
        return EvidenceFile(Path(place) if place else None)
    parts = urlsplit(str(place))
    if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in LOOPBACK):
        raise EvidenceError("evidence comes from a path or an https URL", where=str(place))
    from .evidence.url_source import EvidenceUrl

    return EvidenceUrl(str(place), line)


def _as_messages(messages: str | Sequence[Message]) -> Sequence[Message]:
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    if isinstance(messages, Mapping) or not all(isinstance(message, Mapping) for message in messages):
        raise TypeError("messages: a text, or a list of OpenAI messages, is needed")
    return list(messages)

"""The public router: selects a route for each request and runs the attempt loop (fallback.py)."""

from __future__ import annotations

import codecs
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from . import catalog as _catalog
from .catalog import Catalog, Provider
from .catalog.key_pool import KeyPool
from .circuit_breaker import Breaker
from .errors import EndpointUnavailable, KeyMissing, NoRoute
from .evidence import EvidenceStatus, evidence_source
from .evidence.model import Evidence
from .flags.model import Flags
from .flags.source import FlagsSource, FlagsStatus, find_flags
from .forking import ForkAware
from .redaction import HiddenText
from .request_options import Options, as_messages, require_paths, require_text
from .schema import ToolSet
from .selection import Route, RouteRequest, RoutingState, choose
from .tokens import ASSUMED_REQUEST, has_image, prompt_tokens_of
from .types import ChatRequest, Message, Parked, Reply, RequestOptions, Tool

if TYPE_CHECKING:
    from .captures.store import Captures, CaptureStatus
    from .loops import RouterLoops
    from .transport import Transport
    from .transport.event_loop import LoopThread

# Modules that only a request needs (event loop, transport, rescue, schemas) are imported with the first request.


@dataclass(frozen=True, slots=True)
class RouterStatus:
    """Flags, evidence and catalogue that a router uses, the endpoints that are parked, and the captured exchanges."""

    flags: FlagsStatus
    evidence: EvidenceStatus
    catalog: str
    parked: tuple[Parked, ...] = ()
    captures: CaptureStatus | None = None

    def __str__(self) -> str:
        parked = "".join(f"\n{one.endpoint}: {one}" for one in self.parked)
        captures = f"\n{self.captures}" if self.captures else ""
        return f"{self.flags}\n{self.evidence}\ncatalogue: {self.catalog}{captures}{parked}"


class Router(ForkAware):
    """Sends each request to the cheapest endpoint that works, and falls back to the next one if it fails.

    Create it with `Router.load()` and share it: it is safe to use from threads and from any event loop. Close it, or
    use it as a context manager.
    """

    def __init__(self, flags: FlagsSource, evidence: str, catalog: Catalog, captures: Captures | None = None) -> None:
        super().__init__()
        self._flags = flags
        self._catalog = catalog
        self._breaker = Breaker()
        self._loops: RouterLoops | None = None
        self._keys = KeyPool()
        self._captures = captures
        self._closed = False
        self._lock = threading.Lock()
        self._evidence = evidence_source(evidence, self._evidence_http)

    @classmethod
    def load(
        cls,
        flags: str | Path | None = None,
        *,
        evidence: str | Path | None = None,
        catalog: str | Path | None = None,
        capture: str | Path | None = None,
    ) -> Router:
        """Create a router from flags, evidence and a catalogue.

        Flags come from `flags`, else the path in `KIMIPROBE_FLAGS`, else the first flags.yaml in the working folder or
        above. If there is none, the packaged bootstrap flags are used. Evidence comes from `evidence` (a path or https
        URL), else `KIMIPROBE_EVIDENCE`, else `results/latest.json` beside the flags file. The catalogue comes from
        `catalog`, else `KIMIPROBE_CATALOG`, else the package. With `capture`, exchanges whose answers were not
        delivered are kept in this folder, without keys, so that the monitor can judge them again (captures/store.py).

        Raises ConfigError if `capture` cannot be written to, FlagsError if a named flags path cannot be read, and
        CatalogError for a wrong catalogue. Flags with wrong content do not raise: routing starts with the packaged
        flags, and `status()` gives the reason.
        """
        require_paths(flags=flags, evidence=evidence, catalog=catalog, capture=capture)
        # A URL may hold a password, and a traceback may be printed with locals.
        evidence = evidence if evidence is not None else os.environ.get("KIMIPROBE_EVIDENCE") or None
        evidence = None if evidence is None else HiddenText(evidence)
        found = _catalog.load(Path(catalog) if catalog is not None else None)
        path = Path(flags) if flags is not None else find_flags()
        source = FlagsSource(path, catalog=found)
        if evidence is None and path is not None:
            evidence = path.parent / "results" / "latest.json"
        captures = None
        if capture is not None:
            from .captures.store import Captures

            captures = Captures(Path(capture))
        return cls(source, HiddenText(evidence or ""), found, captures)

    @property
    def flags(self) -> Flags:
        """The flags in use now; a broken file on disk never changes them."""
        return self._flags.current()

    def status(self) -> RouterStatus:
        """Which flags and evidence are in use, why newer ones are not, and which endpoints are parked."""
        self._flags.current()
        self._evidence.current()
        parked = tuple(self._breaker.parked().values())
        captures = self._captures.status() if self._captures else None
        return RouterStatus(self._flags.status(), self._evidence.status(), self._catalog.origin, parked, captures)

    def route(self, messages: str | Sequence[Message] = (), **options: Unpack[RequestOptions]) -> Route:
        """The route that `complete` would use for the same arguments, with reasons; nothing is sent.

        Without messages, prices are compared for `ASSUMED_REQUEST`. Raises UnknownName for an unknown model.
        """
        ask = Options.of(options)
        return self._route(ask.request(as_messages(messages)), ask, self.flags, self._evidence.current())

    def tool_calling_available(
        self, provider: str, *, model: str | None = None, user: str | None = None, groups: Sequence[str] = ()
    ) -> bool:
        """Whether a request with tools would be served by a trusted endpoint of this provider now; nothing is sent.

        An endpoint is trusted if fresh evidence says that it works. In addition, a flag must enable it for this user,
        or it must be the model's reference. `model` is the family's own name (default: flags.yaml's default_model).
        Raises UnknownName for an unknown provider or model.
        """
        require_text("provider", provider)
        self._catalog.provider(provider)
        route = self.route(tools=_ANY_TOOL, model=model, user=user, groups=groups)
        return any(
            candidate.trusted and self._catalog.endpoint(candidate.endpoint).provider == provider
            for candidate in route.candidates
        )

    def complete(self, messages: str | Sequence[Message], **options: Unpack[RequestOptions]) -> Reply:
        """Send a request and return the first answer that can be delivered.

        `messages`: OpenAI messages, or the text of a user message; `options`: see `RequestOptions`. Raises NoRoute if
        no endpoint fits, AllAttemptsFailed (with `.attempts`) if none delivered. A wrong argument raises TypeError or
        ValueError before anything is sent; ToolSchemaError (a tool without valid schema) is one of them.
        """
        ask, request = self._asked(messages, options)
        return self._http().run_in_thread(lambda transport: self._completed(request, ask, transport))

    async def acomplete(self, messages: str | Sequence[Message], **options: Unpack[RequestOptions]) -> Reply:
        """Send a request as `complete` does, on the running event loop.

        Cancelling the call cancels the request.
        """
        ask, request = self._asked(messages, options)
        return await self._http().run(lambda transport: self._completed(request, ask, transport))

    def warm(self) -> None:
        """Do ahead what the first request of `complete` would do: imports, certificates, flags and evidence.

        It sends nothing but a request for evidence at a URL. The first request does it without counting it as part of
        its timeout.
        """
        loops = self._http()
        self._prepare()
        loops.run_in_thread(self._warmed)

    async def awarm(self) -> None:
        """Do ahead what the first request of `acomplete` on the running event loop would do, as `warm` does."""
        loops = self._http()
        from .transport.event_loop import in_thread

        await in_thread(self._prepare)
        await loops.run(self._warmed)

    def close(self) -> None:
        """Cancel open requests and close all connections. Further calls do nothing."""
        with self._lock:
            loops, self._closed = self._loops, True
        if loops is not None:
            loops.close()
        if self._captures is not None:
            self._captures.close()

    def before_fork(self) -> None:
        """Wait until this router has finished importing: a forked child could never import a half-imported module."""
        with self._lock:
            pass

    def after_fork(self) -> None:
        """In a forked child: replace the lock. The router's other parts have an `after_fork` too."""
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _http(self) -> RouterLoops:
        """The event loops with their transports. The first call imports all that a request needs."""
        if self._loops is not None:
            return self._loops
        with self._lock:
            if self._loops is None:
                from . import fallback  # noqa: F401
                from .loops import RouterLoops

                self._loops = RouterLoops()
                if self._closed:
                    self._loops.close()
            return self._loops

    def _evidence_http(self) -> tuple[LoopThread, Transport]:
        """The loop and the transport that fetch evidence from a URL."""
        loops = self._http()
        return loops.thread, loops.thread_transport

    def _route(self, request: ChatRequest, ask: Options, flags: Flags, evidence: Evidence) -> Route:
        messages, tools = request.messages, request.tools
        needs = RouteRequest(
            model=ask.routed_model(self._catalog, flags.default_model),
            fallback_models=flags.fallback_models,
            endpoints=ask.endpoints,
            fallback=ask.fallback,
            tools=bool(tools),
            vision=has_image(messages),
            tool_choice=request.tool_choice if tools else None,
            user=ask.user,
            groups=tuple(ask.groups),
            prompt_tokens=prompt_tokens_of(messages, tools) if messages else ASSUMED_REQUEST.prompt_tokens,
            max_tokens=request.max_tokens or (None if messages else ASSUMED_REQUEST.completion_tokens),
        )
        return choose(needs, RoutingState(self._catalog, flags, evidence, datetime.now(UTC), self._breaker.parked()))

    @staticmethod
    def _asked(messages: str | Sequence[Message], options: RequestOptions) -> tuple[Options, ChatRequest]:
        """The checked arguments of a call. A mistake of the caller raises before money is spent."""
        ask, turns = Options.of(options), as_messages(messages)
        tools = ToolSet.of(ask.chat.tools)
        for problem in tools.problems:
            raise problem
        return ask, replace(ask.chat, messages=turns, tools=tools.tools)

    async def _completed(self, request: ChatRequest, ask: Options, transport: Transport) -> Reply:
        """Select the route and run its attempts, within `ask.timeout` seconds in all."""
        from .fallback import FallbackLoop, SharedResources

        ask, flags, evidence = await self._inputs(ask)
        route = self._route(request, ask, flags, evidence)
        if not route.candidates:
            raise NoRoute(str(route))
        await self._ready(transport, (candidate.endpoint for candidate in route.candidates))
        shared = SharedResources(transport, self._catalog, self._breaker, evidence, self._keys, self._captures)
        return await FallbackLoop(shared, request, route, ask).run()

    async def _ready(self, transport: Transport, endpoints: Iterable[str]) -> None:
        """Prepare what requests to these endpoints need. The time for it does not count as time of a request.

        The HTTP library is imported, and certificates are read if an endpoint is reached over https.
        """
        pool, catalog = transport.pool(), self._catalog
        providers = (catalog.providers[catalog.endpoints[endpoint].provider] for endpoint in endpoints)
        if not pool.has_tls and any(provider.base_url.startswith("https:") for provider in providers):
            from .transport.event_loop import in_thread

            await in_thread(pool.tls)

    async def _inputs(self, ask: Options) -> tuple[Options, Flags, Evidence]:
        """The flags and the evidence to use, and the options with what is left of the timeout.

        If a source changed, it is read in a thread. If that takes longer than the timeout, the request fails with it.
        """
        flags, evidence = self._flags.if_current(), self._evidence.if_current()
        if flags is None or evidence is None:
            import asyncio

            from .transport.event_loop import in_thread

            began = time.monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(ask.timeout):
                    await in_thread(self._refresh)
            ask = replace(ask, timeout=max(ask.timeout - (time.monotonic() - began), 0.0))
            flags, evidence = self._flags.held, self._evidence.held.value
        return ask, flags, evidence

    def _refresh(self) -> None:
        self._flags.current()
        self._evidence.current()

    def _keyed(self) -> Iterator[Provider]:
        """The providers that can be used now: those whose key is set, and those that need none."""
        for provider in self._catalog.providers.values():
            with suppress(KeyMissing):
                provider.key()
                yield provider

    def _prepare(self) -> None:
        """Import all modules that requests use, and read flags and evidence."""
        from . import fallback, rescue  # noqa: F401
        from .wire import wire_named

        codecs.lookup("idna")  # `getaddrinfo` uses it for every name
        self._refresh()
        ToolSet.of(_ANY_TOOL).errors("any", {})
        for provider in self._keyed():
            with suppress(EndpointUnavailable):
                wire_named(provider.wire).stream()

    async def _warmed(self, transport: Transport) -> None:
        keyed = {provider.name for provider in self._keyed()}
        endpoints = self._catalog.endpoints.values()
        await self._ready(transport, (endpoint.id for endpoint in endpoints if endpoint.provider in keyed))


_ANY_TOOL: Sequence[Tool] = ({"type": "function", "function": {"name": "any"}},)

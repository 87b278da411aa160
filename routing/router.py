"""The public router: selects a route for each request and runs the attempt loop (fallback.py) on its own event loop."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack
from urllib.parse import urlsplit

from . import catalog as _catalog
from .catalog import Catalog
from .circuit_breaker import Breaker
from .errors import EvidenceError, NoRoute, RouterClosed
from .evidence.file_source import EvidenceFile, EvidenceStatus
from .flags.model import Flags
from .flags.source import FlagsSource, FlagsStatus, find_flags
from .keys import KeyPool
from .redaction import HiddenText, shown_url
from .request_options import Options, as_messages
from .selection import Route, RouteRequest, RoutingState, choose
from .tokens import ASSUMED_REQUEST, has_image, prompt_tokens_of
from .types import LOOPBACK, Message, Parked, Reply, RequestOptions, Tool

if TYPE_CHECKING:
    from concurrent.futures import Future

    from .captures import Captures, CaptureStatus
    from .evidence.url_source import EvidenceUrl
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


class Router:
    """Sends each request to the cheapest endpoint that works, and falls back to the next one if it fails.

    Create it with `Router.load()` and share it: it is safe to use from threads and from any event loop. Close it, or
    use it as a context manager.
    """

    def __init__(
        self,
        flags: FlagsSource,
        evidence: str,
        catalog: Catalog,
        breaker: Breaker | None = None,
        captures: Captures | None = None,
    ) -> None:
        self._flags = flags
        self._catalog = catalog
        self._breaker = breaker or Breaker()
        self._keys = KeyPool()
        self._captures = captures
        self._made: tuple[LoopThread, Transport] | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._evidence = _evidence_source(evidence, self._http)

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
        delivered are kept in this folder, without keys, so that the monitor can judge them again (captures.py).

        Raises ConfigError if `capture` cannot be written to, FlagsError if a named flags path cannot be read, and
        CatalogError for a wrong catalogue. Flags with wrong content do not raise: routing starts with the packaged
        flags, and `status()` gives the reason.
        """
        _require_paths(flags=flags, evidence=evidence, catalog=catalog, capture=capture)
        # A URL may hold a password, and a traceback may be printed with locals.
        evidence = evidence if evidence is not None else os.environ.get("KIMIPROBE_EVIDENCE") or None
        evidence = None if evidence is None else HiddenText(evidence)
        found = _catalog.load(Path(catalog) if catalog is not None else None)
        path = Path(flags) if flags is not None else find_flags()
        source = FlagsSource(path, catalog=found)
        if evidence is None and path is not None:
            evidence = path.parent / "results" / "latest.json"
        captures = _captures_in(Path(capture)) if capture is not None else None
        return cls(source, HiddenText(evidence or ""), found, captures=captures)

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
        return self._route(as_messages(messages), Options.of(options))

    def tool_calling_available(
        self, provider: str, *, model: str | None = None, user: str | None = None, groups: Sequence[str] = ()
    ) -> bool:
        """Whether a request with tools would be served by a trusted endpoint of this provider now; nothing is sent.

        An endpoint is trusted if fresh evidence says that it works. In addition, a flag must enable it for this user,
        or it must be the model's reference. `model` is the family's own name (default: flags.yaml's default_model).
        Raises UnknownName for an unknown provider or model.
        """
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
        from concurrent.futures import CancelledError

        try:
            return self._submit(messages, options).result()
        except CancelledError:
            raise RouterClosed(_CLOSED_DURING) from None

    async def acomplete(self, messages: str | Sequence[Message], **options: Unpack[RequestOptions]) -> Reply:
        """Send a request as `complete` does, without blocking the event loop.

        Cancelling the call cancels the request.
        """
        import asyncio

        pending = _PendingSubmission()
        try:
            # In a thread, because flags, evidence and schemas are read from files there.
            submitted = await asyncio.to_thread(lambda: pending.attach(self._submit(messages, options)))
            return await asyncio.wrap_future(submitted)
        except asyncio.CancelledError:
            pending.cancel()
            task = asyncio.current_task()
            if task is None or not task.cancelling():  # not cancelled by the caller: the router was closed
                raise RouterClosed(_CLOSED_DURING) from None
            raise

    def close(self) -> None:
        """Cancel open requests and close all connections. Further calls do nothing."""
        with self._lock:
            made, self._made, self._closed = self._made, None, True
        if made is not None:
            loop, transport = made
            loop.close(transport.aclose())
        if self._captures is not None:
            self._captures.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _http(self) -> tuple[LoopThread, Transport]:
        """The event loop and the transport, created with the first request."""
        from .transport import Transport
        from .transport.event_loop import LoopThread

        with self._lock:
            if self._closed:
                raise RouterClosed("this router was closed; make another one with Router.load()")
            if self._made is None:
                self._made = LoopThread("kimiprobe-router"), Transport()
            return self._made

    def _route(self, messages: Sequence[Message], ask: Options) -> Route:
        flags = self.flags
        needs = RouteRequest(
            model=ask.routed_model(self._catalog, flags.default_model),
            fallback_models=tuple(flags.fallback_models),
            endpoints=ask.endpoints,
            fallback=ask.fallback,
            tools=bool(ask.chat.tools),
            vision=has_image(messages),
            tool_choice=ask.chat.tool_choice if ask.chat.tools else None,
            user=ask.user,
            groups=tuple(ask.groups),
            prompt_tokens=prompt_tokens_of(messages, ask.chat.tools) if messages else ASSUMED_REQUEST.prompt_tokens,
            max_tokens=ask.chat.max_tokens or (None if messages else ASSUMED_REQUEST.completion_tokens),
        )
        evidence, parked = self._evidence.current(), self._breaker.parked()
        return choose(needs, RoutingState(self._catalog, flags, evidence, datetime.now(UTC), parked))

    def _submit(self, messages: str | Sequence[Message], options: RequestOptions) -> Future[Reply]:
        from .fallback import FallbackLoop, SharedResources
        from .schema import ToolSet

        ask, turns = Options.of(options), as_messages(messages)
        tools = ToolSet.of(ask.chat.tools)
        for problem in tools.problems:
            raise problem  # the caller's mistake, raised before money is spent
        ask = replace(ask, chat=replace(ask.chat, tools=tools.tools))
        route = self._route(turns, ask)
        if not route.candidates:
            raise NoRoute(str(route))
        loop, transport = self._http()
        shared = SharedResources(
            transport, self._catalog, self._breaker, self._evidence.current(), self._keys, self._captures
        )
        return loop.submit(FallbackLoop(shared, ask.request(turns), route, ask).run())


_CLOSED_DURING = "the router was closed while this request was under way"


class _PendingSubmission:
    """A request that is being submitted to the loop; cancelling works before and after its future exists."""

    def __init__(self) -> None:
        self._future: Future[Reply] | None = None
        self._cancelled = False

    def attach(self, future: Future[Reply]) -> Future[Reply]:
        self._future = future
        if self._cancelled:
            future.cancel()
        return future

    def cancel(self) -> None:
        self._cancelled = True
        if self._future is not None:
            self._future.cancel()


_ANY_TOOL: Sequence[Tool] = ({"type": "function", "function": {"name": "any"}},)


def _require_paths(**given: Any) -> None:
    """Raise TypeError, which names the argument, for a value that is neither a path nor None."""
    for name, value in given.items():
        if not isinstance(value, str | os.PathLike | None):
            raise TypeError(f"{name}: a path is needed, not {type(value).__name__}")


def _captures_in(folder: Path) -> Captures:
    from .captures import Captures

    return Captures(folder)


def _evidence_source(place: str, http: Callable[[], tuple[LoopThread, Transport]]) -> EvidenceFile | EvidenceUrl:
    """The evidence source for a path or an https URL; one without evidence if `place` is empty.

    Plain http is accepted for this machine only. Raises EvidenceError for any other URL.
    """
    if "://" not in place:
        return EvidenceFile(Path(place) if place else None)
    try:
        scheme, host = urlsplit(place).scheme, urlsplit(place).hostname
    except ValueError:
        scheme = host = ""
    if scheme != "https" and (scheme != "http" or host not in LOOPBACK):
        raise EvidenceError("evidence comes from a path or an https URL", where=shown_url(place))
    from .evidence.url_source import EvidenceUrl

    return EvidenceUrl(place, http)

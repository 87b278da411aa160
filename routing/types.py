"""Types shared by all modules of `routing`: frozen, without I/O. This module imports no other module of the package.

The terms are those of docs/terms.md. Money is `Decimal` USD; times are milliseconds (`_ms`) or seconds (`_s`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, TypeAlias, TypedDict

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Host names and addresses of this machine. Plain HTTP may be used to reach them, and keys of any provider may be sent
to them."""
JsonObject: TypeAlias = dict[str, Any]
Message: TypeAlias = Mapping[str, Any]
"""An OpenAI chat message: `{"role": ..., "content": ...}`."""
Tool: TypeAlias = Mapping[str, Any]
"""An OpenAI tool: `{"type": "function", "function": {"name": ..., "parameters": {...}}}`, or the object in its
`function` alone."""
ToolChoice: TypeAlias = str | Mapping[str, Any]

Mode: TypeAlias = Literal["plain", "stream"]
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Accepted values of `reasoning_effort`: OpenAI's, and Kimi's `max`."""
ErrorClass: TypeAlias = Literal["request", "account", "selection", "provider", "answer"]
Status: TypeAlias = Literal["works", "needs_rescue", "degraded", "broken", "down", "retired", "unsupported", "unknown"]
Phase: TypeAlias = Literal["connect", "send", "headers", "body", "parse", "verify"]
"""How far an exchange had come when it ended."""
CostOrigin: TypeAlias = Literal["reported", "catalog", "estimated", "unknown"]
"""Origin of a cost figure. `reported`: by the host. `catalog`: the host's token counts at the catalogue's price.
`estimated`: tokens or price are estimates."""
RescueMode: TypeAlias = Literal["off", "native", "all"]
RESCUE_MODES: tuple[RescueMode, ...] = ("off", "native", "all")
"""Which calls are taken from the text of an answer, the strictest first."""


def strictest_rescue(*modes: str) -> RescueMode:
    """The strictest of the given rescue modes, in the order of `RESCUE_MODES`."""
    return next(mode for mode in RESCUE_MODES if mode in modes)


class ChatOptions(TypedDict, total=False):
    """Options of a request, in OpenAI's names: the fields of `ChatRequest` beside messages, tools and stream."""

    tool_choice: ToolChoice | None
    parallel_tool_calls: bool | None
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    stop: str | Sequence[str] | None
    reasoning_effort: str | None
    response_format: JsonObject | None
    seed: int | None


class RequestOptions(ChatOptions, total=False):
    """Options of `Router.complete`, `acomplete` and `route`: all their arguments beside the messages.

    `user` and `groups` decide which flags are on. `timeout` is in seconds, for all attempts together (default: 120).
    `attempt_timeout` limits one attempt whose answer is not streamed (default: half of the time left while another
    candidate exists). For streamed answers, `first_token_timeout` limits the time to the first token (default: 30 s, or
    more if evidence says that the endpoint is slower), and `idle_timeout` the time without a byte after it (default:
    `timeout`). `max_cost_usd` is an upper bound on the cost of all attempts together. `model` is the family's own name
    (default: flags.yaml's default_model). An option that an endpoint does not know is not sent to it, and is named in
    the reply's `notes`.

    `endpoints` are the only endpoints that may be tried, in this order. Flags and evidence still decide which of them
    may serve the user. `fallback=False` tries the first endpoint of the route only.

    `rescue` limits the calls that are taken from an answer's text: `all`, `native` (Kimi's own forms) or `off`. The
    flag of an endpoint can limit it further. What is not taken fails the attempt as a leaked call.

    A call that the last three turns made with the same result gives the note `repeated_call`. With
    `refuse_repeated_calls`, such an answer is a failed attempt.
    """

    tools: Sequence[Tool]
    model: str | None
    user: str | None
    groups: Sequence[str]
    timeout: float
    attempt_timeout: float | None
    first_token_timeout: float | None
    idle_timeout: float | None
    max_cost_usd: float | Decimal | None
    endpoints: Sequence[str] | None
    fallback: bool
    refuse_repeated_calls: bool
    rescue: RescueMode | None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request in OpenAI's names, before it is converted to a provider's protocol.

    Its fields are all options there are.
    """

    messages: Sequence[Message]
    tools: Sequence[Tool] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    stream: bool = False
    top_p: float | None = None
    stop: str | Sequence[str] | None = None
    reasoning_effort: str | None = None
    """One of `EFFORTS`; it is translated into the form of each provider's protocol."""
    response_format: JsonObject | None = None
    seed: int | None = None


CHAT_OPTIONS = frozenset(ChatOptions.__annotations__)


@dataclass(frozen=True, slots=True)
class RawToolCall:
    """A tool call as the provider sent it, not yet verified.

    `arguments` is the exact string if the protocol has a string there, else the JSON value that was sent.
    """

    id: str | None
    name: str | None
    arguments: Any


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that may be executed: its name was offered, and `arguments` satisfy that tool's schema.

    `raw` is the text that the arguments were parsed from.
    """

    id: str
    name: str
    arguments: JsonObject
    raw: str

    @property
    def message(self) -> JsonObject:
        """The call as an entry of `tool_calls` in an assistant's message.

        `raw` is kept byte for byte if it is JSON, so that a host finds its own text in its cache.
        """
        try:
            text = self.raw if json.loads(self.raw) == self.arguments else ""
        except (ValueError, RecursionError):
            text = ""
        arguments = text or json.dumps(self.arguments, ensure_ascii=False)
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": arguments}}


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one exchange.

    `prompt_tokens` includes `cached_tokens` (read from a cache) and `cache_write_tokens` (written to one);
    `completion_tokens` includes `reasoning_tokens`.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0

    @property
    def counted(self) -> bool:
        """Whether the host counted the tokens. Some hosts report 0 prompt tokens, which no request has."""
        return self.prompt_tokens > 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
        )


@dataclass(frozen=True, slots=True)
class UpstreamAttempt:
    """An upstream that OpenRouter tried for one request, and the HTTP status it got there (None if unknown)."""

    upstream: str
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The normalised result of one exchange, before verification.

    `complete` is false if a stream ended without a finish reason: truncation is never a success. `notes` list tolerated
    deviations from the protocol (for example `tool_call_without_index`). They also list changes that were made to the
    request for this endpoint. `tried` lists the upstreams that a gateway asked, in order.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[RawToolCall, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    reported_cost_usd: Decimal | None = None
    model: str | None = None
    upstream: str | None = None
    generation_id: str | None = None
    complete: bool = True
    notes: tuple[str, ...] = ()
    tried: tuple[UpstreamAttempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Parked:
    """An endpoint that the circuit breaker passes over for now.

    `seconds` is the time until its parking ends. 0 means that another request is trying the endpoint. `requested` is
    true if the host asked for the pause.
    """

    endpoint: str
    why: str
    seconds: float
    requested: bool = False

    def __str__(self) -> str:
        left = f"for {self.seconds:.0f} s more" if self.seconds > 0 else "while another request asks it again"
        return f"parked {left}: {self.why}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try on one endpoint. `outcome` is `ok`, `rescued` or `failed`; `reason` is a code of `routing.reasons`.

    `sent` is false if the endpoint was passed over and no request was sent. A failed attempt has its `phase` and HTTP
    `status`, whether a retry may succeed, and the wait that the host asked for. `cost_usd` is always set: if the cost
    is unknown, it is an estimate, and `cost_origin` is `estimated`.
    """

    endpoint: str
    outcome: Literal["ok", "rescued", "failed"]
    reason: str
    error_class: ErrorClass | None
    detail: str
    elapsed_ms: float
    cost_usd: Decimal
    cost_origin: CostOrigin
    usage: Usage | None = None
    sent: bool = True
    phase: Phase | None = None
    status: int | None = None
    retryable: bool = False
    retry_after_s: float | None = None

    def __str__(self) -> str:
        status = f" (HTTP {self.status})" if self.status is not None and self.outcome == "failed" else ""
        how = self.reason if self.reason == self.outcome else f"{self.outcome}, {self.reason}"
        detail = f": {shown(self.detail)}" if self.detail else ""
        spent = f"; {self.elapsed_ms:.0f} ms, {_usd(self.cost_usd, self.cost_origin)}" if self.sent else "; not sent"
        return f"{self.endpoint}: {how}{status}{detail}{spent}"


@dataclass(frozen=True, slots=True)
class Reply:
    """Result of `Router.complete`. `cost_usd` sums all attempts, including failed ones and estimates.

    `str()` is one line: endpoint, calls or the beginning of the text, cost and number of attempts.
    """

    text: str
    tool_calls: tuple[ToolCall, ...]
    endpoint: str
    rescued: bool
    cost_usd: Decimal
    attempts: tuple[Attempt, ...]
    finish_reason: str | None = None
    reasoning: str = ""
    usage: Usage | None = None
    upstream: str | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def cost_estimated(self) -> bool:
        """Whether a part of `cost_usd` is an estimate; if not, the figure is exact."""
        return any(attempt.cost_origin == "estimated" for attempt in self.attempts)

    @property
    def message(self) -> JsonObject:
        """The reply as an assistant's message in OpenAI's form, with ids and reasoning, ready to append.

        For each call, append `{"role": "tool", "tool_call_id": call.id, "content": result}` behind it.
        """
        message: JsonObject = {"role": "assistant", "content": self.text or None}
        if self.tool_calls:
            message["tool_calls"] = [call.message for call in self.tool_calls]
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        return message

    def __str__(self) -> str:
        said = ", ".join(f"{call.name}({shown(call.raw)})" for call in self.tool_calls) or repr(shown(self.text))
        tries = f"{len(self.attempts)} attempt{'s' if len(self.attempts) != 1 else ''}"
        cost = _usd(self.cost_usd, "estimated" if self.cost_estimated else "reported")
        return f"{self.endpoint}: {shown(said, 120)}{' (rescued)' if self.rescued else ''}; {cost}, {tries}"


def shown(text: str, limit: int = 60) -> str:
    """`text` on one line for a person, cut to at most `limit` characters; characters that do not print become `?`."""
    line = " ".join(text[: 4 * limit].split())
    line = "".join(char if char.isprintable() else "?" for char in line)
    return line if len(line) <= limit and len(text) <= 4 * limit else line[: limit - 3] + "..."


def _usd(amount: Decimal, origin: CostOrigin) -> str:
    return f"{'about ' if origin == 'estimated' else ''}${amount:.6f}"

"""Replicate's protocol: one request creates a prediction, which is then polled or streamed until it ends.

The API has neither messages nor tools. The conversation becomes one prompt, which also describes the tools
(`tools:emulated`), and rescue finds tool calls in the text of the answer. A URL that a prediction names is followed
only if it belongs to the provider. https://replicate.com/docs/reference/http
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ..catalog.model import Endpoint, Provider
from ..errors import EndpointUnavailable, ProviderFailure
from ..history.reading import images_of, read_message, text_of
from ..parsing.message_text import joined, texts_of
from ..types import Answer, ChatRequest, JsonObject, Usage
from .answer_stream import AnswerStream
from .base import WireRequest
from .error_bodies import fault, printable_line
from .json_fields import is_count, label, mapping, string, whole_object
from .openai_answer import authorization
from .request_checks import fitted, note_unknown, refuse_format
from .sse import Event

__all__ = ["ReplicateStream", "authorization", "build", "parse", "stream"]

WAIT_S = 5
"""Seconds that Replicate holds the request that creates a prediction open.
The time is short, because the prediction can be cancelled only after its id is known.
"""
POLL_S = 0.5
"""Seconds between two polls of a prediction."""
CANCEL_AFTER = "5m"
"""Value of the header `Cancel-After`: Replicate ends a prediction after this time.
https://replicate.com/changelog/2025-10-16-prediction-deadlines
"""
_ENDED = frozenset({"succeeded", "failed", "canceled", "aborted"})
_MODEL_ID = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_KNOWN = frozenset({"tool_choice", "parallel_tool_calls", "max_tokens", "temperature", "top_p", "response_format"})
_SPEAKERS = {"user": "User", "assistant": "Assistant"}


def build(request: ChatRequest, endpoint: Endpoint, provider: Provider) -> WireRequest:
    """Build the request that creates a prediction. Its `follow` returns the next request until the prediction ends.

    Raises RequestRejected or EndpointUnavailable for what this endpoint does not accept.
    """
    notes: dict[str, None] = {}
    request = fitted(request, endpoint, notes)
    refuse_format(request)
    messages = [read_message(message, notes) for message in request.messages]
    asked: JsonObject = {"prompt": _prompt(messages), **_image(messages, endpoint)}
    if request.max_tokens is not None:
        asked["max_tokens"] = request.max_tokens
    asked |= {name: value for name in ("temperature", "top_p") if (value := getattr(request, name)) is not None}
    note_unknown(request, _KNOWN, notes)
    if not _MODEL_ID.fullmatch(endpoint.provider_model_id):
        raise EndpointUnavailable("no_capability", "its model id is not owner/name", phase="send")
    body: JsonObject = {"input": asked, **({"stream": True} if request.stream else {})}
    headers = {"Cancel-After": CANCEL_AFTER, **({} if request.stream else {"Prefer": f"wait={WAIT_S}"})}
    path = f"/models/{endpoint.provider_model_id}/predictions"
    follow = _Prediction(provider, stream=request.stream)
    return WireRequest(path, body, headers, notes=tuple(notes), follow=follow.next)


def _prompt(messages: list[JsonObject]) -> str:
    """The conversation as one text: leading system messages, then each message after its speaker, then `Assistant:`."""
    leading = next((at for at, message in enumerate(messages) if message["role"] != "system"), len(messages))
    parts = [text_of(message["content"]) for message in messages[:leading]]
    for message in messages[leading:]:
        speaker = _SPEAKERS.get(message["role"], "System")
        parts.append(f"{speaker}: {text_of(message['content'])}")
    return "\n\n".join([*(part for part in parts if part.strip()), "Assistant:"])


def _image(messages: list[JsonObject], endpoint: Endpoint) -> JsonObject:
    images = [part for message in messages for part in images_of(message["content"])]
    if not images:
        return {}
    if "vision" not in endpoint.capabilities or len(images) > 1 or images[0]["type"] != "image_url":
        raise EndpointUnavailable("no_capability", "it takes one image at most, and no files", phase="send")
    return {"image": images[0]["image_url"]["url"]}


class _Prediction:
    """One prediction in progress; `next` returns the request to send after each answer."""

    def __init__(self, provider: Provider, *, stream: bool) -> None:
        self._provider = provider
        self._stream = stream

    def next(self, status: int, body: bytes) -> WireRequest | None:
        """The request to send after this answer; None if the prediction has ended or could not be created.

        Raises ProviderFailure if the prediction's URL is not on a host of the provider.
        """
        page = _page(body) if status < 300 else None
        if page is None or string(page.get("status")) in _ENDED:
            return None
        urls = mapping(page.get("urls"))
        poll, cancel = self._place(urls.get("get")), self._place(urls.get("cancel"))
        if poll is None:
            raise ProviderFailure(
                "redirected", "the prediction's URL is on a host that is not the provider's", phase="body"
            )
        ending = WireRequest(cancel, None) if cancel else None
        stream = self._place(urls.get("stream")) if self._stream else None
        if stream:
            headers = {"Accept": "text/event-stream"}
            return WireRequest(stream, None, headers, "GET", follow=self.next, cancel=ending)
        return WireRequest(poll, None, method="GET", follow=self.next, delay_s=POLL_S, cancel=ending)

    def _place(self, url: Any) -> str | None:
        """`url` if the API key may be sent to it, else None.

        It may if the URL is below the provider's base URL, or on another host that the catalogue lists for it.
        """
        if (
            not isinstance(url, str)
            or not url.isascii()
            or not url.isprintable()
            or any(mark in url for mark in " #\\")
        ):
            return None
        parts = urlsplit(url)
        if ".." in parts.path or parts.username or parts.password:
            return None
        if url.startswith(f"{self._provider.base_url}/"):
            return url
        hosts = frozenset() if self._provider.local else self._provider.hosts
        return url if parts.scheme == "https" and parts.netloc in hosts else None


def _page(body: bytes) -> Mapping[str, Any] | None:
    try:
        page = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return page if isinstance(page, Mapping) else None


def parse(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Parse the JSON of a prediction that has ended. Raises ExchangeError if it failed or has not ended."""
    page = whole_object(status, headers, body)
    if status >= 300:
        raise fault(status, page, headers)
    state = string(page.get("status"))
    metrics, asked = mapping(page.get("metrics")), mapping(page.get("input"))
    used = _usage(metrics)
    if state == "failed":
        error = fault(200, page.get("error") or "the prediction failed", headers)
        error.received = Answer(usage=used)
        raise error
    if state in {"canceled", "aborted"}:
        raise ProviderFailure("server_error", "the prediction was cancelled", phase="body", retryable=True)
    if state != "succeeded":
        raise ProviderFailure("malformed_body", "the prediction has not ended", phase="parse")
    limit = asked.get("max_tokens")
    cut = used is not None and is_count(limit) and 0 < limit <= used.completion_tokens
    return Answer(
        text=joined(_output(page.get("output"))),
        finish_reason="length" if cut else "stop",
        usage=used,
        model=label(page.get("model")),
        generation_id=label(page.get("id")),
    )


def _output(output: Any) -> list[str]:
    if isinstance(output, list):
        return [piece for piece in output if isinstance(piece, str)]
    return texts_of(output)


def _usage(metrics: Mapping[str, Any]) -> Usage | None:
    prompt, completion = metrics.get("input_token_count"), metrics.get("output_token_count")
    return Usage(prompt, completion) if is_count(prompt) and is_count(completion) else None


class ReplicateStream(AnswerStream):
    """Collects the output of a prediction from server-sent events: pieces of plain text, then `done`."""

    def event(self, event: Event) -> None:
        """Take one event of the stream. Raises ProviderFailure if the prediction failed or was cancelled."""
        if event.name == "error":
            raise ProviderFailure("server_error", printable_line(event.data), phase="body", retryable=True)
        if event.name == "output" and self.finish_reason is None and event.data:
            self.text.append(self.take(event.data))
        elif event.name == "done":
            self.finish_reason = "stop"
            reason = string((_page(event.data.encode("utf-8", "surrogatepass")) or {}).get("reason"))
            if reason in {"error", "canceled"}:
                raise ProviderFailure("server_error", f"the prediction ended: {reason}", phase="body", retryable=True)


stream = ReplicateStream

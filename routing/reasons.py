"""The reason codes: how an exchange or an answer can end, with error class, meaning and advice.

A code is an identifier in results, alerts and attempts; the meaning is for people. docs/failures.md says where each
failure was first seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .types import ErrorClass


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason code. `error_class` is None if the code is not an error; otherwise `advice` says what to do."""

    code: str
    error_class: ErrorClass | None
    meaning: str
    advice: str = ""


ELSEWHERE = "try again in a minute, or enable a flag for another endpoint"
"""The advice for reasons that have no better one."""


def _table(*rows: tuple[str, ErrorClass | None, str] | tuple[str, ErrorClass | None, str, str]) -> dict[str, Reason]:
    reasons = (Reason(*row) for row in rows)
    return {row.code: row if row.advice or not row.error_class else replace(row, advice=ELSEWHERE) for row in reasons}


REASONS: dict[str, Reason] = _table(
    ("ok", None, "right as received"),
    # rescued: the answer could be delivered only after a repair
    ("rescued_text", None, "the tool call was in the text and was rescued"),
    ("rescued_reasoning", None, "the tool call was in the reasoning and was rescued"),
    ("rescued_structure", None, "the structured tool call was malformed and was repaired"),
    ("finish_reason_mismatch", None, "tool calls with a finish reason other than tool_calls; derived from the calls"),
    ("markers_stripped", None, "stray protocol markers were stripped from the text"),
    ("protocol_deviation", None, "the answer left the protocol in a way that was tolerated"),
    ("reordered_arguments", None, "the arguments come in another order than the tool's schema lists them"),
    ("reused_call_id", None, "a call repeats the id of an earlier turn and must be renamed"),
    # answer: it answered, but wrongly (a verdict `fail`)
    ("empty_answer", "answer", "neither text nor tool call"),
    ("leaked_call", "answer", "a tool call leaked into the text and could not be rescued safely"),
    ("unknown_tool", "answer", "the call names a tool that was not offered"),
    ("arguments_not_json", "answer", "the arguments are not strict JSON"),
    ("arguments_not_object", "answer", "the arguments are JSON, but not an object"),
    ("arguments_break_schema", "answer", "the arguments break the tool's JSON Schema"),
    ("tool_use_failed", "answer", "the provider refused the tool call that its own model made"),
    ("dropped_call", "answer", "one of several calls could not be delivered"),
    ("missing_call_id", "answer", "a call without an id"),
    ("duplicate_call_id", "answer", "two calls of one answer share an id"),
    ("finish_without_calls", "answer", "finish reason tool_calls, but no call anywhere"),
    ("length", "answer", "cut by max_tokens", "raise max_tokens"),
    ("unknown_finish_reason", "answer", "it ended for a reason that is not known, so it may be half an answer"),
    ("content_filter", "answer", "refused by a content filter", "change what the provider's policy names"),
    ("garbled_text", "answer", "the host damaged the text: undecoded tokens, or one token repeated"),
    ("host_notice", "answer", "a notice of the host instead of an answer: text without completion tokens"),
    ("repeated_call", "answer", "the call that the last three turns made, each time with the same result"),
    ("wrong_tool", "answer", "another tool was called than the one asked for"),
    ("wrong_arguments", "answer", "the right tool with wrong arguments"),
    ("missing_call", "answer", "a call that was asked for is missing"),
    ("extra_call", "answer", "a call that was not asked for"),
    ("unexpected_call", "answer", "called a tool when none was needed"),
    ("forbidden_call", "answer", "called a tool that must not be called"),
    ("leaked_marker", "answer", "protocol markers inside the arguments of a call"),
    ("wrong_call_id", "answer", "a call id that does not have the model's form"),
    ("wrong_finish_reason", "answer", "another finish reason than the one that is right"),
    ("wrong_reasoning", "answer", "reasoning when none was wanted, or none when it was"),
    ("missing_usage", "answer", "token counts are missing"),
    ("over_limit", "answer", "more tokens than max_tokens allows"),
    ("wrong_prompt_tokens", "answer", "another number of prompt tokens than the prompt has"),
    ("wrong_end_state", "answer", "the calls lead to another state than the one asked for"),
    ("not_refused", "answer", "a wrong request was answered instead of refused"),
    ("wrong_error_shape", "answer", "a refusal that does not say why in the protocol's form"),
    ("wrong_answer", "answer", "the test or plugin that judges it calls it wrong"),
    ("not_alike", "answer", "plain and stream gave different calls"),
    ("not_json", "answer", "the text is not the JSON that response_format asked for"),
    ("wrong_text", "answer", "the text does not say what it must"),
    ("not_rescued_form", "answer", "the call did not come in the form that the case asks for"),
    # provider
    ("connect_refused", "provider", "the connection was refused", "see the provider's status page"),
    ("dns", "provider", "the host name does not resolve", "check the base URL and this machine's name server"),
    ("connect_failed", "provider", "no connection", "check this machine's network"),
    ("tls", "provider", "the TLS handshake or certificate failed", "check this machine's clock and CA certificates"),
    ("timeout", "provider", "no complete answer within the deadline", "give it more time"),
    ("rate_limited", "provider", "HTTP 429", "wait, or lower the concurrency"),
    ("overloaded", "provider", "the provider says it is overloaded"),
    ("server_error", "provider", "HTTP 5xx or an error inside an answer"),
    ("stream_cut", "provider", "the stream ended without a finish reason"),
    ("connection_cut", "provider", "the connection broke before the answer was complete"),
    ("malformed_body", "provider", "the answer does not follow the protocol"),
    ("bad_encoding", "provider", "the body's encoding is not what it declares"),
    ("body_too_large", "provider", "the answer is larger than the cap"),
    ("redirected", "provider", "the provider redirects; keys are not carried elsewhere", "fix the base URL"),
    ("unexpected_status", "provider", "an HTTP status that the protocol does not know"),
    ("parked", "provider", "passed over: it asked for a pause, or kept failing", "wait, or enable another endpoint"),
    # account
    ("no_key", "account", "no key in the environment", "set the variable"),
    ("unauthorized", "account", "the key is not accepted", "check the key"),
    ("forbidden", "account", "the account may not do this", "ask the provider to allow it"),
    ("no_credit", "account", "out of credit", "top up the account"),
    ("quota", "account", "the account's quota is used up", "raise the account's limit"),
    # selection
    ("model_retired", "selection", "the model or upstream is not served any more", "set retired_on in the catalogue"),
    ("no_endpoint", "selection", "no upstream fits these parameters", "ask for fewer parameters"),
    (
        "wrong_upstream",
        "selection",
        "the gateway let another upstream answer than the pinned one",
        "check the endpoint's tag in the catalogue",
    ),
    ("no_capability", "selection", "the endpoint cannot do this by design", "route such requests to another endpoint"),
    ("other_protocol", "selection", "another protocol than the ones spoken here", "fix `wire` in the catalogue"),
    # request
    ("bad_request", "request", "the provider refuses what was sent", "compare it with what the endpoint accepts"),
    ("tool_schema", "request", "the JSON Schema of one of the caller's tools cannot be used", "fix the tool's schema"),
    ("context_too_long", "request", "the request is longer than the model's context", "shorten the history"),
    ("image_refused", "request", "the provider refuses the image", "send a smaller PNG or JPEG, as a data URL"),
    (
        "local_failure",
        "request",
        "this machine failed before the provider could answer",
        "check this machine's network, name server, open files and memory",
    ),
    # reasons that only the monitor uses
    ("budget", None, "the budget is used up", "raise the budget (for a request: max_cost_usd), or ask for less"),
    ("interrupted", None, "the run was interrupted first"),
    ("no_pair", None, "there is nothing to compare: one of both modes was not judged"),
    ("not_recorded", None, "the recording does not hold such an exchange"),
)

FINISH_REASONS = {
    # complete
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "completed": "stop",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    # cut
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    # refused
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
    "sensitive": "content_filter",
}
"""What hosts send as finish reason, in lower case -> OpenAI's value. Every other reason is unknown: `abort` (vLLM and
SGLang), `network_error` (Zhipu) and `insufficient_system_resource` (DeepSeek) come with half an answer.
"""
KNOWN_FINISHES = frozenset(FINISH_REASONS.values())

LEAKS = frozenset({"rescued_text", "rescued_reasoning", "markers_stripped", "leaked_call"})
"""Codes of answers in which calls, or the markers of calls, were in the text or the reasoning."""


def reason_of(code: str) -> Reason:
    """The `Reason` of a code.

    An unknown code (from a newer file) has no error class, and the code itself as its meaning.
    """
    return REASONS.get(code) or Reason(code, None, code)

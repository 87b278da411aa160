"""Arguments of the router's methods, checked before anything is sent: a misspelled option must not be ignored.

Each error names the option or message, what is wrong with it, and what is needed instead.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from .catalog.model import Catalog
from .errors import InvalidRequest
from .history.reading import ROLES
from .redaction import redact
from .types import (
    CHAT_OPTIONS,
    EFFORTS,
    RESCUE_MODES,
    ChatRequest,
    Message,
    RequestOptions,
    RescueMode,
    Tool,
    shown,
)

DEFAULT_TIMEOUT_S = 120.0
_NUMBERS: dict[str, tuple[float, float]] = {
    "timeout": (0, math.inf),
    "attempt_timeout": (0, math.inf),
    "first_token_timeout": (0, math.inf),
    "idle_timeout": (0, math.inf),
    "max_cost_usd": (0, math.inf),
    "max_tokens": (0, math.inf),
    "temperature": (-math.ulp(0.0), 2),
    "top_p": (0, 1),
    "seed": (-(2.0**63) - 1, 2.0**63),
}
"""The range of each numeric option: a value must be above the first number, and at most the second. They are OpenAI's
(https://platform.openai.com/docs/api-reference/chat/create)."""
_WHOLE = frozenset({"max_tokens", "seed"})
_SILENT = frozenset({"assistant", "tool", "function"})
"""Roles whose messages may have no content."""
_CHOICES = ("auto", "none", "required")
_FORMATS = ("text", "json_object", "json_schema")


@dataclass(frozen=True, slots=True)
class Options:
    """The checked options of one request, with defaults. `chat` is the request without its messages."""

    chat: ChatRequest
    model: str | None = None
    user: str | None = None
    groups: Sequence[str] = ()
    timeout: float = DEFAULT_TIMEOUT_S
    attempt_timeout: float | None = None
    first_token_timeout: float | None = None
    idle_timeout: float | None = None
    max_cost_usd: float | Decimal | None = None
    endpoints: tuple[str, ...] | None = None
    fallback: bool = True
    refuse_repeated_calls: bool = False
    rescue: RescueMode | None = None

    @classmethod
    def of(cls, options: RequestOptions) -> Options:
        """Check the options of a call.

        Raises TypeError for an unknown option or a value of the wrong type, ValueError for a value out of range.
        """
        known = RequestOptions.__annotations__
        if unknown := [name for name in options if name not in known]:
            raise TypeError(f"unknown option {_value(unknown[0])}; available: {', '.join(known)}")
        given: dict[str, Any] = {**options}
        for name, value in options.items():
            if name in _NUMBERS and (value is not None or name == "timeout"):
                _require_number(name, value)
            elif name in _CHECKS and (value is not None or name in _NOT_NONE):
                given[name] = _CHECKS[name](value)
        given["tools"] = _as_tools(options.get("tools", ()))
        _require_offered(given.get("tool_choice"), given["tools"])
        chat = {name: given.pop(name) for name in tuple(given) if name in CHAT_OPTIONS}
        return cls(ChatRequest((), given.pop("tools"), **chat), **given)

    def request(self, messages: Sequence[Message]) -> ChatRequest:
        """The complete request: these options with these messages."""
        return replace(self.chat, messages=messages)

    def routed_model(self, catalog: Catalog, default: str) -> str:
        """The model to route: the one that the caller named, else that of the first of `endpoints`, else `default`.

        Raises UnknownName for a name that the catalogue does not have, ValueError if an endpoint serves another model
        than the one named.
        """
        models = {name: catalog.endpoint(name).model for name in self.endpoints or ()}
        model = self.model if self.model is not None else next(iter(models.values()), default)
        catalog.model(model)
        for name, served in models.items() if self.model is not None else ():
            if served != model:
                raise ValueError(f"endpoints: {name} serves {served}, but the option model says {model}")
        return model


def as_messages(messages: str | Sequence[Message]) -> Sequence[Message]:
    """The messages of a call as a list: OpenAI messages, or one user message with the given text.

    Raises TypeError if `messages` is of another type, InvalidRequest for a message that no endpoint accepts.
    """
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    given: Any = messages
    if not isinstance(given, Iterable) or isinstance(given, Mapping | bytes | bytearray):
        raise TypeError(f"messages: a text or a list of OpenAI messages is needed, not {_kind(given)}")
    listed = list(given)
    for number, message in enumerate(listed):
        if type(message) is not dict and not isinstance(message, Mapping):
            raise TypeError(f"messages[{number}]: an object with role and content is needed, not {_kind(message)}")
        _require_message(f"messages[{number}]", message)
    return listed


def require_text(name: str, value: object) -> None:
    """Raise TypeError, which names the argument, for a value that is not a text."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: a text is needed, not {_kind(value)}")


def require_paths(**given: Any) -> None:
    """Raise TypeError, which names the argument, for a value that is neither a path nor None."""
    for name, value in given.items():
        if not isinstance(value, str | os.PathLike | None):
            raise TypeError(f"{name}: a path is needed, not {_kind(value)}")


def _require_message(where: str, message: Message) -> None:
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in ROLES:
        given = "it has none" if role is None else f"not {_value(role)}"
        raise InvalidRequest(f"bad_request: {where}.role: one of {', '.join(ROLES)} is needed; {given}")
    # An assistant's message may hold calls only. The result of a tool may be any JSON value; it is sent as text.
    if not (isinstance(content, str | list | tuple) or ROLES[role] == "tool" or (content is None and role in _SILENT)):
        raise InvalidRequest(f"bad_request: {where}.content: a text or a list of parts is needed, not {_kind(content)}")
    calls = message.get("tool_calls")
    if calls is None:
        return
    if not isinstance(calls, list | tuple) or not all(isinstance(call, Mapping) for call in calls):
        raise InvalidRequest(f"bad_request: {where}.tool_calls: a list of calls is needed, as `reply.message` has it")


def _require_number(name: str, value: object) -> None:
    above, most = _NUMBERS[name]
    kinds = int | float | Decimal if name == "max_cost_usd" else int | float
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise TypeError(f"{name}: a number is needed, not {_kind(value)}")
    if name in _WHOLE and not isinstance(value, int):
        raise TypeError(f"{name}: a whole number is needed, not {_kind(value)}")
    if not (_is_finite(value) and above < value <= most):
        span = "above 0" if math.isinf(most) else f"from 0 to {most:g}" if above < 0 else f"above 0, up to {most:g}"
        raise ValueError(f"{name}: a finite number {span} is needed, not {_value(value)}")


def _is_finite(value: float | Decimal) -> bool:
    try:
        return math.isfinite(value)
    except (ValueError, OverflowError):  # a signalling NaN, or a whole number beyond any float
        return False


def _stop(stop: object) -> object:
    texts = [stop] if isinstance(stop, str) else stop
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise TypeError("stop: a text or a list of texts is needed")
    if not all(texts):
        raise ValueError("stop: an empty text would end every answer immediately")
    return stop


def _effort(effort: object) -> object:
    if effort not in EFFORTS:
        raise ValueError(f"reasoning_effort: one of {', '.join(EFFORTS)} is needed, not {_value(effort)}")
    return effort


def _groups(groups: object) -> object:
    if isinstance(groups, str) or not isinstance(groups, Sequence) or not all(isinstance(one, str) for one in groups):
        raise TypeError("groups: a list of names is needed")
    return groups


def _endpoints(endpoints: object) -> tuple[str, ...]:
    if not isinstance(endpoints, list | tuple) or not all(isinstance(one, str) for one in endpoints):
        raise TypeError('endpoints: a list of endpoint ids is needed, such as ["moonshot/kimi-k2.6"]')
    if not endpoints:
        raise ValueError("endpoints: the list is empty; leave the option out to try every endpoint of the route")
    return tuple(dict.fromkeys(endpoints))


def _response_format(form: object) -> object:
    kind = form.get("type") if isinstance(form, Mapping) else None
    if kind not in _FORMATS:
        given = _value(form) if not isinstance(form, Mapping) else f"type {_value(kind)}"
        error = ValueError if isinstance(form, Mapping) else TypeError
        raise error(f'response_format: {{"type": ...}} with one of {", ".join(_FORMATS)} is needed, not {given}')
    asked = form.get("json_schema") if isinstance(form, Mapping) else None
    if kind == "json_schema" and not (
        isinstance(asked, Mapping) and isinstance(asked.get("name"), str) and isinstance(asked.get("schema"), Mapping)
    ):
        raise ValueError('response_format: json_schema needs "json_schema": {"name": ..., "schema": {...}}')
    return form


def _tool_choice(choice: object) -> object:
    function = choice.get("function") if isinstance(choice, Mapping) else None
    if choice in _CHOICES or (isinstance(function, Mapping) and isinstance(function.get("name"), str)):
        return choice
    error = ValueError if isinstance(choice, str | Mapping) else TypeError
    named = '{"type": "function", "function": {"name": ...}}'
    raise error(f"tool_choice: one of {', '.join(_CHOICES)}, or {named}, is needed, not {_value(choice)}")


def _require_offered(choice: object, tools: Sequence[Tool]) -> None:
    """Raise ValueError if `tool_choice` names a tool that is not among those offered."""
    if not tools or not isinstance(choice, Mapping):
        return
    names = [tool["function"].get("name") for tool in tools if isinstance(tool.get("function"), Mapping)]
    if choice["function"]["name"] not in names:
        offered = ", ".join(str(name)[:40] for name in names[:10])
        raise ValueError(f"tool_choice: names {_value(choice['function']['name'])}; the tools are {offered}")


def _as_tools(tools: object) -> tuple[Tool, ...]:
    """The tools in OpenAI's form. A tool may also be given as the object in its `function` alone."""
    if not isinstance(tools, list | tuple):
        raise TypeError(f"tools: a list of OpenAI tools is needed, not {_kind(tools)}; leave it out if there are none")
    return tuple(_as_tool(number, tool) for number, tool in enumerate(tools))


def _as_tool(number: int, tool: Any) -> Tool:
    if not isinstance(tool, Mapping):
        raise TypeError(f"tools[{number}]: an object with a function's name is needed, not {_kind(tool)}")
    if "function" in tool:
        return tool
    if isinstance(tool.get("name"), str) and tool.get("type", "function") == "function":
        return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}
    kind = tool.get("type", "function")
    why = "it has no function" if kind == "function" else f"the type {_value(kind)} is not sent to Kimi hosts"
    raise ValueError(f'tools[{number}]: {why}; {{"type": "function", "function": {{"name": ...}}}} is needed')


def _instance(name: str, kinds: Any, needed: str) -> Callable[[object], object]:
    """Make a check that an option is an instance of `kinds`; `needed` describes them in the error."""

    def checked(value: object) -> object:
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            raise TypeError(f"{name}: {needed} is needed, not {_kind(value)}")
        return value

    return checked


def _rescue(value: object) -> object:
    if value not in RESCUE_MODES:
        raise ValueError(f"rescue: one of all, native, off is needed, not {_value(value)}")
    return value


_CHECKS: dict[str, Callable[[object], object]] = {
    "endpoints": _endpoints,
    "fallback": _instance("fallback", bool, "True or False"),
    "groups": _groups,
    "model": _instance("model", str, "the name of a model"),
    "parallel_tool_calls": _instance("parallel_tool_calls", bool, "True or False"),
    "reasoning_effort": _effort,
    "refuse_repeated_calls": _instance("refuse_repeated_calls", bool, "True or False"),
    "rescue": _rescue,
    "response_format": _response_format,
    "stop": _stop,
    "tool_choice": _tool_choice,
    "user": _instance("user", str | int, "a user's id as text"),
}
"""The check of each option that is neither a number nor `tools`: it returns the value to use."""
_NOT_NONE = frozenset({"fallback", "groups", "refuse_repeated_calls"})
"""Options that must not be None. None means "not given" for the others."""


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__


def _value(value: object) -> str:
    """A wrong value as short text for an error message; only its type if it is neither a text nor a number."""
    if isinstance(value, str | int | float | Decimal | None):
        return shown(redact(repr(value)), 40)
    return f"a value of type {type(value).__name__}"

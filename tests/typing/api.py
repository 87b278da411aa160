"""Uses of the public API as callers write them: checked by mypy and pyright in strict mode, never run.

A line that must be an error says so to both; an error that is not reported is an error of this file.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import pytest

from pytest_kimiprobe import Case, Expectation, ExpectedCall, ProbeResult, SeenAnswer, case
from routing import (
    AllAttemptsFailed,
    Attempt,
    Candidate,
    Endpoint,
    NoRoute,
    Parked,
    Reply,
    RequestOptions,
    Route,
    Router,
    RoutingError,
    ToolCall,
    Usage,
)
from routing import catalog as catalogs

TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]


def complete(router: Router) -> Decimal:
    reply: Reply = router.complete(
        "What is the weather in Paris?", tools=TOOLS, user="123", groups=["beta"], timeout=30.0, max_cost_usd=0.02
    )
    calls: tuple[ToolCall, ...] = reply.tool_calls
    attempts: tuple[Attempt, ...] = reply.attempts
    usage: Usage | None = reply.usage
    print(reply.text, reply.endpoint, reply.rescued, reply.notes, [call.arguments["city"] for call in calls])
    print([(attempt.endpoint, attempt.outcome, attempt.reason) for attempt in attempts], usage and usage + usage)
    print(reply.message["role"], str(reply))
    return reply.cost_usd


def choose(router: Router) -> Route:
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": {"type": "object"}}}
    router.complete(
        "Hi", tools=[{"name": "f"}], response_format=form, seed=7, fallback=False, refuse_repeated_calls=True
    )
    return router.route("Hi", endpoints=["moonshot/kimi-k2.6"], fallback=True)


async def complete_later(router: Router) -> str:
    options: RequestOptions = {"model": "kimi-k2.6", "temperature": 0.5, "stop": ["."], "max_cost_usd": Decimal("0.02")}
    messages = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    return (await router.acomplete(messages, **options)).text


def explain(router: Router) -> str:
    route: Route = router.route(tools=TOOLS, tool_choice="required", max_tokens=100)
    first: Candidate | None = next(iter(route.candidates), None)
    parked: tuple[Parked, ...] = router.status().parked
    available: bool = router.tool_calling_available("openrouter", model="kimi-k2.6", user="123")
    enabled: bool = router.flags.enabled("openrouter_kimi_tool_calling", user="123")
    print(parked, available, enabled, first and first.estimate_usd, router.status().flags.state)
    return f"{route}: {route.endpoint}"


def recover(router: Router) -> tuple[Attempt, ...]:
    try:
        complete(router)
    except NoRoute as error:
        print(error.advice)
    except AllAttemptsFailed as error:
        return error.attempts
    except RoutingError as error:
        print(error.endpoint, error.phase, error.retryable, error.error_class)
    return ()


def load() -> Router:
    return Router.load("flags.yaml", evidence="https://example.org/latest.json", catalog=None, capture="captures")


def wrong(router: Router) -> None:
    router.complete("Hi", temprature=0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    router.complete("Hi", temperature="hot")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    router.complete("Hi", fallback="no")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    router.complete("Hi", endpoints=[7])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    router.complete(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@case("What is the weather in Paris?", tools=TOOLS, need=["thinking"], parity="calls", temperature=0.2)
def test_weather(answer: SeenAnswer) -> None:
    assert answer.tool_calls[0].arguments == {"city": "Paris"}


@case("Hi", promt="Hi")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue, reportUntypedFunctionDecorator]
def test_mistyped(answer: SeenAnswer) -> None: ...


@case("Hi", thinking="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def test_wrong_type(answer: SeenAnswer) -> None: ...


def pytest_kimiprobe_cases(config: pytest.Config) -> Iterable[Case]:
    expected = Expectation(calls=(ExpectedCall("get_weather", {"city": "Paris"}),))
    return [Case("hello", [{"role": "user", "content": str(config.rootpath)}], expected, tools=TOOLS, suite="smoke")]


def pytest_kimiprobe_judge(case: Case, answer: SeenAnswer) -> str | None:
    return None if case.name == "hello" and answer.text else "wrong"


def pytest_kimiprobe_endpoints() -> Iterable[Endpoint]:
    known: catalogs.Endpoint = catalogs.load().endpoint("moonshot/kimi-k2.6")
    return [known]


def pytest_kimiprobe_result(result: ProbeResult) -> None:
    print(result.endpoint, result.verdict, result.reason)

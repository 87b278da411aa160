"""The error tree: the fields of each error, pickling, and that no text of an error holds a key."""

from __future__ import annotations

import ast
import copy
import importlib
import pickle
import pkgutil
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest

import routing
from routing import errors
from routing.errors import (
    ERROR_TYPES,
    AccountError,
    AllAttemptsFailed,
    BadAnswer,
    CatalogError,
    ConfigError,
    EndpointUnavailable,
    ExchangeError,
    InvalidRequest,
    KeyMissing,
    NoRoute,
    ProviderFailure,
    RequestRejected,
    RouterClosed,
    RoutingError,
    UnknownName,
    error_type,
)
from routing.reasons import REASONS, Reason, reason_of
from routing.schema import ToolSchemaError
from routing.types import Attempt, ErrorClass, Phase

KEY = "sk-" + "Canary7" * 6 + "xyzw42"
ROOT = Path(errors.__file__).parent
ATTEMPTS = (
    Attempt("moonshot/kimi-k2.6", "failed", "timeout", "provider", "", 300.0, Decimal(0), "catalog"),
    Attempt("openrouter/m", "failed", "unauthorized", "account", "", 12.5, Decimal(0), "catalog"),
)
FULL = ProviderFailure(
    "rate_limited",
    "slow down",
    endpoint="groq/m",
    phase="headers",
    status=429,
    elapsed_ms=12.0,
    attempt=2,
    retryable=True,
    retry_after_s=7.0,
    failed_generation="{}",
)
ONE_OF_EACH: tuple[RoutingError, ...] = (
    RoutingError("x"),
    ConfigError("wrong", where="flags.yaml:7"),
    CatalogError("wrong", where="catalog.yaml"),
    KeyMissing("not set", where="GROQ_API_KEY"),
    NoRoute("nothing fits"),
    RouterClosed("closed"),
    AllAttemptsFailed("none", ATTEMPTS),
    AllAttemptsFailed("none at all", ()),
    InvalidRequest("bad_request: messages[0].role: it has none"),
    UnknownName("unknown model 'k9'; available: kimi-k3"),
    ToolSchemaError("f", "no object"),
    FULL,
    RequestRejected("bad_request"),
    AccountError("no_credit"),
    EndpointUnavailable("model_retired"),
    BadAnswer("tool_use_failed", failed_generation="{}"),
)


def all_types() -> set[type[RoutingError]]:
    """Every error class of the package."""
    for module in pkgutil.walk_packages(routing.__path__, "routing."):
        importlib.import_module(module.name)
    found, left = set[type[RoutingError]](), [RoutingError]
    while left:
        kind = left.pop()
        found.add(kind)
        left += [below for below in kind.__subclasses__() if below.__module__.startswith("routing.")]
    return found


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """It has the same names at the same levels and in the same order."""
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"    ([│├└─ ]*)(\w+)  ", line):
            depth = len(match[1]) // 4
            above[depth:] = [match[2]]
            drawn[match[2]] = above[depth - 1] if depth else "Exception"
    assert drawn == {kind.__name__: kind.__mro__[1].__name__ for kind in all_types()}


@pytest.mark.parametrize("error", ONE_OF_EACH, ids=repr)
def test_every_error_carries_the_same_fields(error: RoutingError) -> None:
    """A caller can read them without checking the type of the error."""
    assert isinstance(error.endpoint, str)
    assert error.phase in {None, *get_args(Phase)}
    assert error.elapsed_ms >= 0
    assert error.attempt >= 0
    assert error.error_class in {None, *get_args(ErrorClass)}
    assert error.retryable in {True, False}
    assert isinstance(error.advice, str)
    assert error.advice or type(error) is RoutingError


@pytest.mark.parametrize(
    "travel", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"]
)
@pytest.mark.parametrize("error", ONE_OF_EACH, ids=repr)
def test_errors_can_be_pickled_and_copied(error: RoutingError, travel: object) -> None:
    """Pickled or copied errors equal the original, whatever their constructors take."""
    assert callable(travel)
    again = travel(error)
    assert type(again) is type(error)
    assert (str(again), repr(again), again.__dict__) == (str(error), repr(error), error.__dict__)


@pytest.mark.parametrize("row", [row for row in REASONS.values() if row.error_class], ids=lambda row: row.code)
def test_a_reason_is_raised_as_one_class_only(row: Reason) -> None:
    """The class of the error and the error class of the reason never disagree."""
    kind = error_type(row.code)
    assert kind.error_class == row.error_class
    assert [each for each in ERROR_TYPES.values() if each.error_class == row.error_class] == [kind]
    assert kind(row.code).advice == reason_of(row.code).advice == row.advice
    assert row.advice


def raised() -> list[tuple[str, str, str]]:
    """File, error class and reason of every error that is created with a literal reason."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                kind, first = getattr(errors, node.func.id, None), node.args[0]
                if isinstance(kind, type) and issubclass(kind, ExchangeError) and isinstance(first, ast.Constant):
                    found.append((path.name, kind.__name__, str(first.value)))
    return found


def test_the_code_raises_each_reason_as_its_class() -> None:
    """A provider's fault can never be attributed to the account by mistake."""
    assert len(raised()) > 10
    for name, kind, reason in raised():
        assert reason in REASONS, (name, reason)
        assert error_type(reason).__name__ == kind, (name, reason)


NOBODY_CAN_ACT = {"answer", None}
WAITS = {"overloaded", "server_error", "stream_cut", "connection_cut", "malformed_body", "bad_encoding"}
WAITS |= {"body_too_large", "unexpected_status"}


@pytest.mark.parametrize("code", sorted(REASONS))
def test_there_is_advice_where_a_human_can_act(code: str) -> None:
    """Errors of the request and the account always have advice; others only if there is more to do than to wait."""
    if REASONS[code].error_class not in NOBODY_CAN_ACT and code not in WAITS:
        assert reason_of(code).advice
    if code in WAITS:
        assert REASONS[code].error_class == "provider"


def test_the_text_of_an_exchange_error() -> None:
    """One line with endpoint, reason, status, detail and advice."""
    assert str(FULL) == "groq/m: rate_limited (HTTP 429): slow down; wait, or lower the concurrency"
    assert str(ProviderFailure("server_error")) == "server_error"


def test_all_attempts_failed_has_the_fields_of_the_last_attempt() -> None:
    """AllAttemptsFailed has the fields of the last attempt, and the time of all attempts."""
    error = AllAttemptsFailed("none", ATTEMPTS)
    assert (error.endpoint, error.attempt, error.elapsed_ms) == ("openrouter/m", 2, 312.5)
    assert (error.error_class, error.advice, error.retry_after_s) == ("account", "check the key", None)


def test_all_attempts_failed_says_when_the_first_endpoint_may_be_asked_again() -> None:
    """A parked endpoint counts with the rest of its pause."""
    parked = (replace(ATTEMPTS[0], retry_after_s=8.0, sent=False), ATTEMPTS[1], replace(ATTEMPTS[0], retry_after_s=3.5))
    assert AllAttemptsFailed("none", parked).retry_after_s == 3.5


def test_no_key_in_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removed are texts that look like a key, and the values of variables whose name marks them as secret."""
    monkeypatch.setenv("TOGETHER_API_KEY", "0123456789abcdef" * 4)
    for secret in (KEY, "0123456789abcdef" * 4, "gsk_" + "a1B2" * 13):
        for error in (
            ProviderFailure("server_error", f"you sent {secret}"),
            ConfigError(f"what is {secret}", where="x"),
            AllAttemptsFailed(f"m: server_error ({secret})", ()),
            NoRoute(secret),
            ToolSchemaError("f", secret),
        ):
            assert secret not in f"{error} {error!r} {error.args}"


def test_an_unknown_reason_is_the_providers() -> None:
    """A newer recording may name an unknown reason."""
    assert error_type("of tomorrow") is ProviderFailure
    assert reason_of("of tomorrow").advice == ""


@pytest.mark.parametrize("kind", [ConfigError, RoutingError])
def test_what_a_file_or_host_says_never_acts_on_a_terminal(kind: type[RoutingError]) -> None:
    """Control, bidi and zero-width characters are shown as escapes; line feeds and letters of any script stay."""
    said = str(kind("id \x1b[31mred\u202e\u200b\x07\n東京 é"))
    assert said == "id \\x1b[31mred\\u202e\\u200b\\x07\n東京 é"

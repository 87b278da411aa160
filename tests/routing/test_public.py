"""The public surface of `routing`."""

from __future__ import annotations

import dataclasses
import typing

import pytest

import routing
from routing.types import CHAT_OPTIONS, ChatRequest


def test_every_public_name_is_there_once() -> None:
    """Every name in `__all__` can be imported."""
    assert len(routing.__all__) == len(set(routing.__all__))
    assert all(getattr(routing, name) is not None for name in routing.__all__)
    assert set(routing.__all__) <= set(dir(routing))


def test_an_unknown_name_is_an_attribute_error() -> None:
    """The package behaves like any module."""
    with pytest.raises(AttributeError, match="nothing_like_this"):
        routing.nothing_like_this  # noqa: B018


def test_type_checkers_see_the_same_names_as_users() -> None:
    """The imports for type checkers and `__all__` must be equal."""
    tree = typing.get_type_hints(routing.Router.route)
    assert tree["return"] is routing.Route


def test_the_options_of_a_request_are_one_list() -> None:
    """What a caller may set is what `ChatRequest` holds beside messages, tools and stream."""
    held = {field.name for field in dataclasses.fields(ChatRequest)} - {"messages", "tools", "stream"}
    assert held == CHAT_OPTIONS

"""The body of a request as JSON: in one piece, in slices, with lists that were written before."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.errors import RequestRejected
from routing.wire import json_body
from routing.wire.json_body import WrittenList, json_text, written

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), VALUES), st.lists(VALUES), st.booleans())
def test_every_way_of_writing_is_the_same_json(body: dict[str, Any], tools: list[Any], sliced: bool) -> None:
    """Slices of three characters, and a list that was written before, make no difference to the reader."""
    whole = {**body, "tools": WrittenList(tools, json_text(tools))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_body, "_SLICE", 3)
        assert json.loads(written(whole, in_slices=sliced)) == {**body, "tools": tools}


@pytest.mark.parametrize("sliced", [False, True])
def test_half_of_a_surrogate_pair_is_sent_as_an_escape(sliced: bool) -> None:
    """UTF-8 has no form for it."""
    assert json.loads(written({"a": "\ud800", "b": [1]}, in_slices=sliced)) == {"a": "\ud800", "b": [1]}


@pytest.mark.parametrize("sliced", [False, True])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_what_is_not_json_is_refused(value: Any, sliced: bool) -> None:
    """The error is the caller's."""
    with pytest.raises(RequestRejected, match="not JSON"):
        written({"a": [value]}, in_slices=sliced)


def test_a_body_that_contains_itself_is_refused() -> None:
    """Written in one piece or in slices."""
    body: dict[str, Any] = {}
    body["a"] = [body]
    for sliced in (False, True):
        with pytest.raises(RequestRejected, match="not JSON"):
            written(body, in_slices=sliced)

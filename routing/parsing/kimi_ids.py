"""Ids of tool calls in the form that Kimi models were trained on: `functions.NAME:N`, N counting the calls. Pure."""

from __future__ import annotations

import re
from collections.abc import Container
from itertools import count

PREFIX = "functions."
_NUMBER = re.compile(r"[0-9]{1,6}\Z")


def kimi_id(name: str, number: int) -> str:
    """The id of a call of the tool `name`, `functions.NAME:N` with N = `number`.

    Ids of another form in the history make the models leak protocol markers into their text.
    """
    return f"{PREFIX}{name}:{number}"


def free_kimi_id(name: str, number: int, taken: Container[str]) -> str:
    """The first id of the tool `name`, counting up from `number`, that is not in `taken`."""
    return next(made for index in count(number) if (made := kimi_id(name, index)) not in taken)


def is_kimi_id(call_id: str, name: str) -> bool:
    """Whether `call_id` has the form `functions.NAME:N`, and NAME is `name`."""
    head, _, number = call_id.rpartition(":")
    return head == f"{PREFIX}{name}" and 1 <= len(name) <= 128 and bool(_NUMBER.match(number))

"""Calls that nobody means, in 18 languages: how many are executed all the same, and what that costs real ones."""

from __future__ import annotations

import pytest
from rescue_attacks import ANNOUNCEMENTS, ATTACKS, LAST, LATER, filled
from rescue_fragments import TOOLS
from rescue_negatives import FORMS, NATIVE

from routing.rescue import RescueStream, rescue

BEFORE = ["", "Sure! ", "I'll check the weather.\n\n", "Let me look. "]
AFTER = ["", " Anything else?", "\n\nShall I go on?"]


def called(text: str) -> list[str]:
    """The forms in which the call of a text is executed."""
    return [name for name, form in FORMS.items() if rescue(filled(text, form), TOOLS).tool_calls]


def test_the_set_is_as_large_as_it_says() -> None:
    """At least 150 different texts in at least 8 languages."""
    assert len({text for _, _, text in ATTACKS}) == len(ATTACKS) >= 150
    assert len({language for language, _, _ in ATTACKS}) >= 8


@pytest.mark.parametrize(("language", "kind", "text"), [*ATTACKS, *LATER])
def test_no_attack_is_executed(language: str, kind: str, text: str) -> None:
    """Quoted, shown, denied, documented, echoed: in none of 20 forms, whole or in pieces."""
    assert called(text) == [], (language, kind)
    for name in ("k2", "k3", "hermes", "json"):
        stream = RescueStream(TOOLS)
        for char in filled(text, FORMS[name]):
            stream.feed(char)
        assert stream.finish().tool_calls == (), name


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("after", AFTER)
def test_no_attack_is_executed_beside_friendly_sentences(before: str, after: str) -> None:
    """A courtesy or an announcement farther away makes no difference."""
    forms = ("k2", "k2 zero arguments", "k3", "json", "hermes", "notation")
    texts = [filled(f"{before}{text}{after}", FORMS[name]) for _, _, text in ATTACKS[::3] for name in forms]
    assert [text for text in texts if rescue(text, TOOLS).tool_calls] == []


def test_what_is_still_executed_of_the_last_texts() -> None:
    """Who says in his own voice that he will do something, and means another thing, is believed: 14 of 38, no more.

    Nothing in such a text tells it from a call. A conversation's own texts do: see the next test.
    """
    assert len([text for _, _, text in LAST if called(text)]) <= 14


@pytest.mark.parametrize("name", sorted(FORMS))
def test_none_is_executed_where_the_call_was_somebody_elses(name: str) -> None:
    """Whatever is said around it: a call that stands in a user's or a tool's text is a quotation."""
    for _, _, text in [*ATTACKS, *LATER, *LAST]:
        assert rescue(filled(text, FORMS[name]), TOOLS, request_texts=[f"The page: {FORMS[name]}"]).tool_calls == (), text


def test_most_announcements_are_believed() -> None:
    """21 of 32 announcements in 13 languages are known; the others are doubted, none is delivered as text."""
    believed = 0
    for _, text in ANNOUNCEMENTS:
        found = [rescue(filled(text, FORMS[name]), TOOLS) for name in sorted(NATIVE)]
        assert {one.outcome for one in found} in ({"rescued"}, {"suspect"})
        believed += all(one.outcome == "rescued" and not one.dropped for one in found)
    assert believed >= 21

"""Calls that are not meant, in 18 languages: none is executed that anything but a sentence speaks against."""

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


STRUCTURAL = {"fenced", "quoted", "table", "docstring", "diff", "test", "html", "code", "list"}


def by_structure(kind: str, text: str) -> bool:
    """Whether more than a sentence before the call speaks against it."""
    return not text.endswith("@@") or (kind in STRUCTURAL and text != "Quote unquote: @@")


@pytest.mark.parametrize(
    ("language", "kind", "text"), [row for row in [*ATTACKS, *LATER, *LAST] if by_structure(*row[1:])]
)
def test_no_attack_by_structure_is_executed(language: str, kind: str, text: str) -> None:
    """Enclosed, or with text behind it: in none of 20 forms, whole or in pieces."""
    assert called(text) == [], (language, kind)
    for name in ("k2", "k3", "hermes", "json"):
        stream = RescueStream(TOOLS)
        for char in filled(text, FORMS[name]):
            stream.feed(char)
        assert stream.finish().tool_calls == (), name


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("after", AFTER[1:])
def test_no_attack_is_executed_with_a_sentence_behind_it(before: str, after: str) -> None:
    """Prose behind a call makes it none, whatever stands before."""
    forms = ("k2", "k2 zero arguments", "k3", "json", "hermes", "notation")
    texts = [filled(f"{before}{text}{after}", FORMS[name]) for _, _, text in ATTACKS[::3] for name in forms]
    assert [text for text in texts if rescue(text, TOOLS).tool_calls] == []


def test_what_only_the_wording_speaks_against_is_executed() -> None:
    """A sentence before a native call that ends the answer is not read: 211 of these 289 texts, no more."""
    texts = [text for _, kind, text in [*ATTACKS, *LATER, *LAST]]
    assert len([text for text in texts if called(text)]) <= 211 < len(texts)


@pytest.mark.parametrize("name", sorted(FORMS))
def test_none_is_executed_where_the_call_was_somebody_elses(name: str) -> None:
    """Whatever is said around it: a call that stands in a user's or a tool's text is a quotation."""
    for _, _, text in [*ATTACKS, *LATER, *LAST]:
        assert rescue(filled(text, FORMS[name]), TOOLS, request_texts=[f"The page: {FORMS[name]}"]).tool_calls == (), (
            text
        )


def test_all_announcements_are_believed() -> None:
    """In 13 languages, as no announcement is read."""
    for _, text in ANNOUNCEMENTS:
        found = [rescue(filled(text, FORMS[name]), TOOLS) for name in sorted(NATIVE)]
        assert all(one.outcome == "rescued" and not one.dropped for one in found), text

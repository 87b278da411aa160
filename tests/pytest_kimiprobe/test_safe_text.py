"""A stranger's text on a line of ours."""

import pytest

from pytest_kimiprobe.safe_text import one_line, safe_line

KEY = "sk-or-v1-0123456789abcdef"


@pytest.mark.parametrize("clean", [one_line, safe_line])
@pytest.mark.parametrize("unseen", ["\u200b", "\u202e", "\x00", "\x1b", "\ud800"])
def test_a_key_with_an_unseen_character_inside_is_taken_out(clean: object, unseen: str) -> None:
    """Cleaning would put it together again: keys are looked for before and after."""
    assert callable(clean)
    assert clean(f"401 {KEY[:9]}{unseen}{KEY[9:]}") == "401 [redacted]"


def test_a_key_of_the_environment_is_taken_out_however_it_is_spaced() -> None:
    """Also one that no pattern knows."""
    environment = {"X_API_KEY": "known value-of-a-key"}
    assert safe_line("a known value-of-a-key b", environment=environment) == "a [redacted] b"


def test_workflow_commands_are_broken_and_node_ids_are_not() -> None:
    """GitHub's runner reads `::name` at a line's start and `##[name]` anywhere."""
    assert one_line("::error::x ##[stop] core.yaml::case ::1") == ": :error::x # #[stop] core.yaml::case ::1"


def test_a_line_is_never_longer_than_asked() -> None:
    """What was cut is marked."""
    assert one_line("x" * 99, 10) == "x" * 9 + "…"

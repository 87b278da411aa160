"""The nouns hold what their words say."""

from routing.reasons import REASONS, error_class_of, meaning_of


def test_every_reason_has_a_sentence_and_unknown_codes_stand_for_themselves() -> None:
    """A newer file's reason code is shown as it is instead of failing."""
    assert all(reason.meaning and reason.code == code for code, reason in REASONS.items())
    assert meaning_of("from_the_future") == "from_the_future"
    assert error_class_of("from_the_future") is None

"""The nouns hold what their words say."""

from routing.reasons import REASONS, reason_of


def test_every_reason_has_a_sentence_and_unknown_codes_stand_for_themselves() -> None:
    """A newer file's reason code is shown as it is instead of failing."""
    assert all(reason.meaning and reason.code == code for code, reason in REASONS.items())
    assert reason_of("from_the_future").meaning == "from_the_future"
    assert reason_of("from_the_future").error_class is None

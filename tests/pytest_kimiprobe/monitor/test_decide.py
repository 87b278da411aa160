"""Decisions: when evidence changes a flag, and when it does not."""

from dataclasses import replace
from datetime import timedelta

import pytest
from building import (
    BAD_WEEK,
    CATALOG,
    FLAG,
    GOOD_WEEK,
    GROQ,
    KIMI,
    MOONSHOT,
    NOVITA,
    NOW,
    counts,
    evidence,
    on,
    row,
    the_flags,
)
from hypothesis import given
from hypothesis import strategies as st

from pytest_kimiprobe.monitor.decide import FlagSetting, Kind, Proposal, decide, percent_text
from routing.evidence.model import Counts, EndpointEvidence, Evidence
from routing.flags.model import Flags
from routing.types import Status

DOWN = row(status="down", newest=counts(errors=30), week=counts(100, errors=30))


def decided(flags: Flags, found: Evidence) -> Proposal:
    """The proposal for the first flag."""
    return next(proposal for proposal in decide(flags, found, CATALOG, NOW) if proposal.flag == FLAG)


def kind(flags: Flags, *rows: EndpointEvidence) -> Kind:
    return decided(flags, evidence(*rows)).kind


# ---------------------------------------------------------------- what evidence must be


def test_one_case_alone_turns_nothing_on() -> None:
    """Sixty repeats of one case are not enough evidence; if cases were not counted, calls count alone."""
    good = row(week=GOOD_WEEK)
    assert [kind(the_flags(), replace(good, cases=cases)) for cases in (0, 1, 2)] == ["enable", "agree", "enable"]
    assert "all of one case" in decided(the_flags(), evidence(replace(good, cases=1))).verdict


@pytest.mark.parametrize("status", ["down", "broken", "retired"])
def test_an_interrupted_run_turns_nothing_off(status: Status) -> None:
    """Its first answers do not represent the rest, so the last seven days decide."""
    bad = row(status=status, week=GOOD_WEEK, newest=counts(0, 0 if status == "down" else 20, errors=20))
    assert kind(on(), bad, row(MOONSHOT)) == "disable"
    assert kind(on(), replace(bad, complete=False), row(MOONSHOT)) in {"agree", "no_evidence"}


def test_evidence_of_the_future_moves_nothing() -> None:
    """Otherwise it would count as fresh for ever."""
    proposal = decided(the_flags(), evidence(row(week=GOOD_WEEK, age=timedelta(days=-3))))
    assert (proposal.kind, "a clock is wrong" in proposal.verdict) == ("no_evidence", True)


def test_one_sentence_for_many_endpoints() -> None:
    """A reason that applies to several endpoints is given once, with their names."""
    verdict = decided(the_flags(), evidence(DOWN, replace(DOWN, endpoint=NOVITA), replace(DOWN, endpoint=GROQ))).verdict
    assert verdict.count("was not reached") == 1
    assert KIMI in verdict
    assert NOVITA in verdict


# ---------------------------------------------------------------- turning on


def test_an_endpoint_that_works_turns_its_flag_on_for_a_tenth() -> None:
    """95 % of 60 judged calls in seven days: enabled at 10 %, with the reason."""
    proposal = decided(the_flags(), evidence(row(week=GOOD_WEEK, reasons={"wrong_tool": 3})))
    assert (proposal.kind, proposal.before, proposal.after) == ("enable", FlagSetting(False, 0), FlagSetting(True, 10))
    assert proposal.verdict == f"{KIMI} passed 207 of 210 judged calls in the last 7 days (98.5 %)"
    assert (proposal.endpoint, proposal.counts, proposal.reasons) == (KIMI, GOOD_WEEK, {"wrong_tool": 3})
    assert (proposal.run, proposal.at) == ("77-1", NOW - timedelta(minutes=10))


@pytest.mark.parametrize(
    ("week", "expected"),
    [
        (counts(57, 3), "enable"),
        (counts(60), "enable"),
        (counts(59), "agree"),
        (counts(56, 4), "agree"),
        (counts(0, rescued=60), "agree"),
        (counts(50, rescued=10), "agree"),
        (counts(57, rescued=3), "enable"),
        (counts(60, errors=600), "enable"),
    ],
)
def test_the_thresholds_of_turning_on(week: Counts, expected: Kind) -> None:
    """Share and number of judged calls are both needed; rescued ones do not pass, and errors are not judged."""
    assert kind(the_flags(), row(week=week)) == expected


def test_rescued_answers_pass_where_the_flag_says_so() -> None:
    """`accept_rescued: true` counts them as right."""
    rescued = row(status="needs_rescue", week=counts(0, rescued=60), newest=counts(0, rescued=30))
    assert kind(the_flags(accept_rescued="true"), rescued) == "enable"
    proposal = decided(the_flags(accept_rescued="true"), evidence(rescued))
    assert "passed 60 of 60 judged calls in the last 7 days, 60 of them rescued (100 %)" in proposal.verdict
    assert (proposal.right, proposal.counts.passed) == (60, 0)


def test_a_good_week_does_not_turn_on_what_broke_today() -> None:
    """The newest run alone can prevent turning a flag on."""
    broken = row(status="broken", week=counts(290, 10), newest=counts(20, 10))
    assert kind(the_flags(), broken) == "agree"


def test_the_ladder_of_the_flag_sets_the_first_step() -> None:
    """A flag with its own ladder starts at its first step."""
    proposal = decided(the_flags(ladder="[5, 25, 100]"), evidence(row(week=GOOD_WEEK)))
    assert proposal.after == FlagSetting(True, 5)


def test_an_enabled_flag_at_zero_percent_is_off() -> None:
    """It is on for named users only, so evidence may raise it to 10 %."""
    assert kind(on(0), row(week=GOOD_WEEK)) == "enable"


def test_a_percent_left_over_from_before_is_not_taken_up() -> None:
    """`enabled: false, percent: 50` starts again at the first step."""
    assert decided(the_flags(percent=50), evidence(row(week=GOOD_WEEK))).after == FlagSetting(True, 10)


@pytest.mark.parametrize("percent", [10, 50, 100])
def test_a_flag_that_is_on_stays_where_it_is(percent: int) -> None:
    """Good evidence for a flag that is on proposes no change."""
    assert kind(on(percent), row(week=GOOD_WEEK)) == "agree"


# ---------------------------------------------------------------- turning off


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (row(status="broken", week=counts(79, 21), newest=counts(1)), "disable"),
        (row(week=counts(80, 20), newest=counts(8, 2)), "agree"),
        (row(week=counts(7, 2), newest=counts(1)), "agree"),
        (row(status="broken", week=counts(200, 20), newest=counts(7, 3)), "disable"),
        (row(status="broken", week=counts(200, 20), newest=counts(5, 4)), "agree"),
        (row(status="retired", newest=counts(errors=30), week=counts(200, errors=30)), "disable"),
        (row(status="needs_rescue", newest=counts(0, rescued=30)), "disable"),
        (row(status="degraded", week=counts(90, 10), newest=counts(27, 3)), "agree"),
    ],
)
def test_the_thresholds_of_turning_off(found: EndpointEvidence, expected: Kind) -> None:
    """Under 80 % of at least ten judged calls, in seven days or in the newest run, or retired or down."""
    proposal = decided(on(), evidence(found))
    assert proposal.kind == expected
    assert proposal.after == (FlagSetting(False, 0) if expected == "disable" else FlagSetting(True, 50))


def test_down_turns_off() -> None:
    """The endpoint gave no answer in the newest run, and others did."""
    proposal = decided(on(), evidence(DOWN, row(MOONSHOT), row(GROQ)))
    assert proposal.kind == "disable"
    assert proposal.verdict == f"{KIMI} is down: none of 30 probes was answered"


def test_a_flag_that_is_off_stays_off() -> None:
    """Bad evidence for a flag that is off proposes no change."""
    assert kind(the_flags(), row(status="broken", week=BAD_WEEK)) == "agree"


# ---------------------------------------------------------------- several endpoints


def test_one_endpoint_that_works_keeps_its_flag_on() -> None:
    """The router sends traffic to the good one anyway."""
    assert kind(on(), row(status="broken", week=BAD_WEEK), row(NOVITA, week=GOOD_WEEK)) == "agree"


def test_when_none_works_the_flag_goes_off() -> None:
    """The verdict describes the best of them."""
    proposal = decided(on(), evidence(row(status="broken", week=BAD_WEEK), row(NOVITA, "broken", week=counts(10, 90))))
    assert proposal.kind == "disable"
    assert proposal.verdict.startswith(f"none of 2 works; at best, {KIMI} passed 60 of 100")


def test_the_decision_rests_on_the_best_endpoint_with_enough_data() -> None:
    """A perfect share of few calls does not rank above a good share of many."""
    proposal = decided(the_flags(), evidence(row(week=counts(5)), row(NOVITA, week=GOOD_WEEK)))
    assert (proposal.kind, proposal.endpoint) == ("enable", NOVITA)
    assert [rated.rating for rated in proposal.endpoints] == ["good", "between"]


def test_each_flag_is_moved_by_its_own_endpoints_only() -> None:
    """Failures of Groq do not change the flag of OpenRouter."""
    found = evidence(row(week=GOOD_WEEK), row(GROQ, "broken", week=BAD_WEEK))
    assert [proposal.kind for proposal in decide(the_flags(), found, CATALOG, NOW)] == ["enable", "agree"]


# ---------------------------------------------------------------- nothing to say


@pytest.mark.parametrize("flags", [the_flags(), on()])
@pytest.mark.parametrize(
    "found",
    [
        evidence(),
        evidence(row(MOONSHOT, week=GOOD_WEEK)),
        evidence(row(status="broken", week=BAD_WEEK, age=timedelta(days=7, minutes=1))),
        evidence(row(week=GOOD_WEEK, age=timedelta(days=8))),
        evidence(row(status="unknown", newest=counts(errors=30), week=BAD_WEEK)),
        evidence(row(week=GOOD_WEEK), source="simulator"),
        evidence(row(week=GOOD_WEEK), source="replay"),
        evidence(row(week=GOOD_WEEK), source=""),
        evidence(row(week=GOOD_WEEK), source="local"),
        evidence(row(status="broken", week=BAD_WEEK), source="local"),
    ],
)
def test_no_evidence_is_no_change(flags: Flags, found: Evidence) -> None:
    """Missing, old, unjudged or simulated evidence changes nothing, and the verdict says so."""
    proposal = decided(flags, found)
    assert proposal.kind == "no_evidence"
    assert proposal.after == proposal.before
    assert proposal.verdict.startswith("no evidence, no change: ")


def test_local_runs_move_the_flags_of_a_test_environment() -> None:
    """Tests and the tutorial use this to run the whole cycle without keys."""
    assert decided(the_flags("test"), evidence(row(week=GOOD_WEEK), source="local")).kind == "enable"
    assert decided(the_flags("test"), evidence(row(week=GOOD_WEEK), source="simulator")).kind == "no_evidence"


@pytest.mark.parametrize("pin", ["on", "off"])
def test_a_pinned_flag_is_not_changed(pin: str) -> None:
    """A pinned flag is never changed, whatever the evidence."""
    assert kind(the_flags(pin=f'"{pin}"'), row(week=GOOD_WEEK)) == "pinned"
    assert kind(on(pin=f'"{pin}"'), row(status="broken", week=BAD_WEEK)) == "pinned"


def test_an_outage_of_most_endpoints_turns_nothing_off() -> None:
    """An outage of most endpoints turns nothing off, and the verdict says why."""
    proposal = decided(on(), evidence(DOWN, replace(DOWN, endpoint=GROQ), row(MOONSHOT)))
    assert proposal.kind == "no_evidence"
    assert "2 of 3 endpoints of the newest run were down: that is rather our network or key" in proposal.verdict


def test_half_of_them_down_is_not_most() -> None:
    """At exactly half, an endpoint that is down still counts as down."""
    assert kind(on(), DOWN, row(MOONSHOT)) == "disable"


def test_an_outage_does_not_hide_wrong_answers() -> None:
    """Verdicts of the last seven days still turn a flag off."""
    bad = row(status="down", newest=counts(errors=30), week=BAD_WEEK)
    assert kind(on(), bad, replace(DOWN, endpoint=GROQ)) == "disable"


def test_down_in_an_older_run_does_not_count() -> None:
    """An endpoint that the newest run left out does not count as down."""
    proposal = decided(on(), evidence(replace(DOWN, run="76-1"), row(MOONSHOT)))
    assert proposal.kind == "no_evidence"
    assert "was not reached, and the newest run left it out" in proposal.verdict


def test_endpoints_of_older_runs_are_not_part_of_an_outage() -> None:
    """Only the newest run shows whether our network was down."""
    yesterday = replace(DOWN, run="76-1")
    assert kind(on(), DOWN, row(MOONSHOT), replace(yesterday, endpoint=GROQ)) == "disable"


# ---------------------------------------------------------------- the function


def test_a_flag_whose_endpoints_are_all_retired_is_turned_off() -> None:
    """Endpoints that the catalogue retired need no probe to turn their flag off."""
    text = b"""\
version: 1
serial: 1
environment: production
bucketing: murmur3-cbor-v1
default_model: kimi-k2.6
flags:
  together:
    description: Together
    owner: me
    controls: [together/moonshotai/Kimi-K2.6]
    enabled: true
    percent: 10
...
"""
    (proposal,) = decide(Flags.loads(text), evidence(), CATALOG, NOW)
    assert proposal.kind == "disable"
    assert proposal.verdict == "every endpoint that it controls is retired: together/moonshotai/Kimi-K2.6"


def test_the_same_evidence_has_the_same_hash_whenever_it_is_looked_at() -> None:
    """A second run on the same day changes nothing; other evidence changes the hash."""
    found = evidence(row(week=GOOD_WEEK))
    first, later = (decide(the_flags(), found, CATALOG, NOW + delay)[0] for delay in (timedelta(), timedelta(hours=5)))
    assert first == later
    assert len(first.evidence) == 64
    assert decided(the_flags(), evidence(row(week=counts(208, 2)))).evidence != first.evidence


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100 %"), (949 / 1000, "94.9 %"), (9499 / 10000, "94.9 %"), (0.57, "57 %"), (19 / 20, "95 %"), (0.0, "0 %")],
)
def test_a_share_is_never_rounded_up(share: float, text: str) -> None:
    """A share below a threshold must not read as if it reached it."""
    assert percent_text(share) == text


@given(st.integers(1, 10_000), st.data())
def test_a_share_reads_as_what_it_is_compared_with(judged: int, data: st.DataObject) -> None:
    """The text reads 95 % exactly when the rule is met."""
    share = data.draw(st.integers(0, judged)) / judged
    assert (float(percent_text(share).removesuffix(" %")) >= 95) == (share >= 0.95)


SMALL = st.integers(0, 80)


@given(week=st.builds(counts, SMALL, SMALL, SMALL, SMALL), newest=st.builds(counts, SMALL, SMALL, SMALL, SMALL))
def test_proposals_do_not_flap(week: Counts, newest: Counts) -> None:
    """No evidence turns a flag on when it is off, and off when it is on."""
    found = evidence(row(week=week, newest=newest), row(MOONSHOT))
    assert not (decided(the_flags(), found).kind == "enable" and decided(on(), found).kind == "disable")


@given(errors=st.integers(0, 1000), week=st.builds(counts, SMALL, SMALL, SMALL))
def test_errors_alone_never_change_a_decision(errors: int, week: Counts) -> None:
    """With the same judged answers, additional errors change no decision."""
    found, more = (row(week=replace(week, errors=number)) for number in (0, errors))
    assert kind(on(), found) == kind(on(), more)

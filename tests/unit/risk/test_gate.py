import pytest
from hypothesis import given
from hypothesis import strategies as st

from searcher.domain.plan import OutcomeKind
from searcher.risk.exposure import MovingSum
from searcher.risk.gate import DAY_NS, HOUR_NS, PastSpend, RiskGate, SystemState
from searcher.risk.settings import RiskSettings

GAS = 2 * 10**14
BID = 10**15


@pytest.fixture
def decide(words):
    def ask(gate, opportunity=None, *, now_ns=0, bid_wei=BID, gas_cost_wei=GAS, **changes):
        of = opportunity or words.opportunity()
        plan = changes.get("plan", words.plan(of))
        verdict = changes.get("verdict", words.verdict(of))
        return gate.decide(
            of, plan, verdict, bid_wei=bid_wei, gas_cost_wei=gas_cost_wei, now_ns=now_ns
        )

    return ask


def gate(**limits):
    return RiskGate(RiskSettings(**limits))


def test_a_proved_plan_within_its_limits_is_approved_and_reserved(decide):
    risk = gate()

    decision = decide(risk)

    assert decision.approved
    assert risk.statistics().open_gas_cost_wei == GAS


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"succeeded": False, "reason": "ProfitTooLow"}, "the proof failed: ProfitTooLow"),
        ({"opportunity_id": "devnet-9-9"}, "the proof is of devnet-9-9"),
        ({"realised_wei": 10**16 - 1}, "realised 9999999999999999 wei"),
    ],
)
def test_a_proof_that_does_not_hold_is_a_no(decide, words, fields, reason):
    decision = decide(gate(), verdict=words.verdict(**fields))

    assert not decision.approved
    assert reason in decision.reason


def test_a_proof_on_another_parent_or_for_another_block_is_a_no(decide, words):
    other_parent = words.verdict(context=words.context(words.ref(9, "fork")))
    later = words.verdict(context=words.context(10))

    assert "holds on" in decide(gate(), verdict=other_parent).reason
    assert "holds on" in decide(gate(), verdict=later).reason


def test_no_proof_is_a_no(decide):
    assert decide(gate(), verdict=None).reason == "there is no proof"


def test_a_plan_of_another_opportunity_is_a_no(decide, words):
    assert "proof is of" in decide(gate(), plan=words.plan(words.opportunity(5))).reason


@pytest.mark.parametrize(
    ("limits", "asked", "reason"),
    [
        ({}, {"gas_cost_wei": 0}, "is no price"),
        ({}, {"bid_wei": -1}, "is no price"),
        ({"least_profit_wei": 10**16}, {}, "keeps 8800000000000000 wei"),
        ({}, {"bid_wei": 10**16}, "keeps -200000000000000 wei"),
        ({"most_gross_wei": 10**16 - 1}, {}, "more than the believed"),
        ({"most_amount_in": {"0x" + "ee" * 20: 10**18 - 1}}, {}, "takes 1000000000000000000"),
        ({"most_gas_cost_wei_per_plan": GAS - 1}, {}, "a plan"),
        ({"most_gas_cost_wei_per_hour": GAS - 1}, {}, "gas of this hour"),
        ({"most_gas_cost_wei_per_day": GAS - 1}, {}, "gas of this day"),
    ],
)
def test_each_limit_says_no_with_its_figure(decide, limits, asked, reason):
    risk = gate(**limits)

    decision = decide(risk, **asked)

    assert not decision.approved
    assert reason in decision.reason
    assert sum(risk.statistics().declined.values()) == 1
    assert risk.statistics().open_plans == 0


def test_a_high_base_fee_is_a_no(decide, words):
    class Dear(type(words)):
        base_fee_wei = 2 * 10**9

    decision = decide(gate(most_base_fee_gwei=1), verdict=Dear().verdict())

    assert "above 1 gwei" in decision.reason


def test_plans_of_one_block_are_counted(decide, words):
    risk = gate(most_bundles_per_block=2)
    answers = [decide(risk, words.opportunity(n)) for n in range(3)]

    assert [a.approved for a in answers] == [True, True, False]
    assert decide(risk, words.opportunity(0, parent=10)).approved


def test_the_same_opportunity_is_not_approved_twice(decide):
    risk = gate()
    decide(risk)

    assert "approved before" in decide(risk).reason


def test_open_plans_count_against_the_hour(decide, words):
    risk = gate(most_gas_cost_wei_per_hour=2 * GAS)
    assert decide(risk, words.opportunity(0)).approved
    assert decide(risk, words.opportunity(1)).approved
    assert not decide(risk, words.opportunity(2)).approved

    risk.settle(words.outcome(words.opportunity(0), OutcomeKind.NOT_LANDED))

    assert decide(risk, words.opportunity(3)).approved


def test_what_is_unresolved_stays_reserved(decide, words):
    risk = gate(most_gas_cost_wei_per_hour=GAS)
    decide(risk)

    risk.settle(words.outcome(kind=OutcomeKind.UNRESOLVED))

    assert risk.statistics().open_gas_cost_wei == GAS
    assert not decide(risk, words.opportunity(1)).approved


def test_gas_of_what_landed_is_spent_once_and_forgotten_after_an_hour(decide, words):
    spent = 150_000 * 10**9
    risk = gate(most_gas_cost_wei_per_hour=spent + GAS - 1)
    decide(risk)
    risk.settle(words.outcome())
    risk.settle(words.outcome(final=True))

    assert not decide(risk, words.opportunity(1)).approved
    assert decide(risk, words.opportunity(1), now_ns=HOUR_NS + 8_000).approved


def test_a_reorg_turns_spent_into_reserved_and_back(decide, words):
    risk = gate()
    decide(risk)
    risk.settle(words.outcome())
    assert risk.statistics().open_gas_cost_wei == 0

    risk.settle(words.outcome(kind=OutcomeKind.UNRESOLVED))
    assert risk.statistics().open_gas_cost_wei == GAS

    risk.settle(words.outcome(kind=OutcomeKind.NOT_LANDED, final=True))
    assert risk.statistics().open_gas_cost_wei == 0


def test_reverts_in_a_row_pause_until_the_operator_resumes(decide, words):
    risk = gate(most_reverts_in_a_row=2)
    for n in range(2):
        decide(risk, words.opportunity(n))
        lost = words.outcome(words.opportunity(n), reason="reverted", profit_wei=-5)
        risk.settle(lost)
        risk.settle(lost)  # said twice, counted once

    assert risk.state is SystemState.PAUSED
    assert decide(risk, words.opportunity(8)).reason.startswith("paused: 2 plans in a row")
    risk.resume()
    assert decide(risk, words.opportunity(9)).approved


def test_one_that_pays_ends_the_row(decide, words):
    risk = gate(most_reverts_in_a_row=2)
    for n, profit in enumerate((-5, 7, -5)):
        decide(risk, words.opportunity(n))
        risk.settle(words.outcome(words.opportunity(n), profit_wei=profit))

    assert risk.state is SystemState.ACTIVE
    assert risk.statistics().reverts_in_a_row == 1


def test_every_cause_of_a_pause_is_told(decide):
    risk = gate()
    risk.pause("a", "the first")
    risk.pause("b", "the second")

    assert decide(risk).reason == "paused: the first; the second"


def test_a_restart_does_not_renew_a_limit(decide):
    risk = gate(most_gas_cost_wei_per_hour=3 * GAS, most_gas_cost_wei_per_day=10 * GAS)
    now = 50 * DAY_NS
    risk.restore(
        [
            PastSpend("run-1/a", HOUR_NS // 2, 3 * GAS),
            PastSpend("run-1/b", 2 * HOUR_NS, 6 * GAS),
        ],
        now,
    )

    assert "gas of this hour" in decide(risk, now_ns=now).reason
    assert decide(risk, now_ns=now + HOUR_NS).approved is True


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 100), st.integers(0, 20), st.booleans())
    )
)
def test_a_moving_sum_equals_its_definition(steps):
    window = MovingSum(10)
    model = {}
    now = 0
    for name, amount, passed, put in steps:
        now += passed
        if put:
            window.put(name, amount, now)
            model[name] = (now, amount)
        else:
            window.drop(name)
            model.pop(name, None)
        assert window.total(now) == sum(a for at, a in model.values() if at > now - 10)

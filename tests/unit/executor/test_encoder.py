from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from searcher.domain.plan import CurveKind, Opportunity, Plan
from searcher.executor.encoder import decode, encode, with_bid
from searcher.executor.program import write
from tests.unit.executor.model import Model
from tests.unit.executor.routes import (
    EXECUTOR,
    GEM,
    PAIR,
    POOL,
    USD,
    WRAPPED,
    hop,
    numbered,
    opportunities,
    opportunity,
    splits,
)


def plan_of(
    found: Opportunity, *, last_block: int = 7, least_profit_wei: int = 3, exact: bool = False
) -> Plan:
    return encode(
        found,
        executor=EXECUTOR,
        wrapped_native=WRAPPED,
        last_block=last_block,
        least_profit_wei=least_profit_wei,
        exact=exact,
        at_ns=11,
    )


def two_hops() -> Opportunity:
    return opportunity(
        [
            hop(1, PAIR, (WRAPPED, 100), (USD, 2000)),
            hop(2, POOL, (USD, 2000), (WRAPPED, 105)),
        ]
    )


@given(opportunities())
def test_a_program_pays_every_pool_in_time_and_leaves_the_gross_alone(found):
    model = Model(found, EXECUTOR, WRAPPED)
    gained = model.run(decode(plan_of(found).calldata))
    last = found.conversion[-1] if found.conversion else found.hops[-1]
    assert gained == last.amount_out - (0 if found.conversion else found.amount_in)
    left = {key: amount for key, amount in model.balances.items() if amount}
    assert left == {(WRAPPED, EXECUTOR): gained}


@given(splits())
def test_a_split_pays_every_pool_in_time_and_loses_nothing(found):
    model = Model(found, EXECUTOR, WRAPPED)
    gained = model.run(decode(plan_of(found).calldata))
    assert gained == found.amount_out - found.amount_in
    for token in {h.token_in for h in found.hops} - {WRAPPED}:
        bought = sum(h.amount_out for h in found.hops if h.token_out == token)
        sold = sum(h.amount_in for h in found.hops if h.token_in == token)
        assert model.balances[token, EXECUTOR] == bought - sold
    left = {holder for (_, holder), amount in model.balances.items() if amount}
    assert left == {EXECUTOR}


def test_a_split_that_takes_more_than_there_is_then_is_refused():
    found = opportunity(
        [
            hop(1, PAIR, (WRAPPED, 100), (USD, 2000)),
            hop(2, POOL, (USD, 1500), (WRAPPED, 80)),
            hop(3, POOL, (USD, 501), (WRAPPED, 25)),
        ]
    )
    with pytest.raises(ValueError, match=f"has 500 {USD} when {numbered(3)} takes 501"):
        plan_of(found)


@given(opportunities())
def test_a_route_of_n_hops_costs_one_transfer_more_than_hops(found):
    model = Model(found, EXECUTOR, WRAPPED)
    model.run(decode(plan_of(found).calldata))
    routes = 2 if found.conversion else 1
    assert model.transfers == len(found.hops) + len(found.conversion) + routes


@given(
    opportunities(),
    st.integers(0, 2**40 - 1),
    st.integers(0, 2**96 - 1),
    st.integers(0, 2**96 - 1),
    st.booleans(),
)
def test_the_header_comes_back_and_a_bid_changes_its_own_bytes_only(found, last, least, bid, exact):
    plan = plan_of(found, last_block=last, least_profit_wei=least, exact=exact)
    sent = with_bid(plan, bid)
    program = decode(sent)
    assert program.exact == exact
    assert (program.last_block, program.least_profit_wei, program.bid_wei) == (last, least, bid)
    assert decode(plan.calldata) == msgspec.structs.replace(program, bid_wei=0)
    end = plan.bid_offset + plan.bid_size
    assert sent[: plan.bid_offset] == plan.calldata[: plan.bid_offset]
    assert sent[end:] == plan.calldata[end:]
    assert plan.calldata[plan.bid_offset : end] == bytes(plan.bid_size)


def test_two_hops_of_pairs_are_the_bytes_that_the_contract_documents():
    found = opportunity(
        [
            hop(1, PAIR, (WRAPPED, 100), (USD, 2000)),
            hop(2, PAIR, (USD, 2000), (WRAPPED, 105)),
        ]
    )
    assert plan_of(found).calldata.hex() == "".join(
        (
            "61461954",  # execute()
            "0000000007",
            f"{3:024x}",
            f"{0:024x}",
            "00",
            # The second pair pays first; token0 of it is usd, the lower address.
            "83" + f"{2:040x}" + f"{105:032x}" + "0037",
            "21" + "00" + f"{100:032x}",
            "12" + f"{1:040x}" + f"{2000:032x}",
        )
    )


@given(opportunities(), st.data())
def test_a_plan_cut_anywhere_is_not_read(found, data):
    calldata = plan_of(found).calldata
    size = data.draw(st.integers(0, len(calldata) - 1))
    try:
        program = decode(calldata[:size])
    except ValueError:
        return
    # A cut between two commands of the outermost frame leaves a shorter, whole program.
    assert len(program.commands) < len(decode(calldata).commands)


@pytest.mark.parametrize("command", ["00", "05", "31" + "00" * 17])
def test_an_unknown_command_is_not_read(command):
    with pytest.raises(ValueError, match="does not know"):
        decode(bytes.fromhex("61461954" + "00" * 30 + command))


def test_another_call_is_not_read():
    with pytest.raises(ValueError, match="not a call of execute"):
        decode(bytes(40))


@pytest.mark.parametrize(
    ("least", "last", "message"),
    [(2**96, 1, "least profit"), (-1, 1, "least profit"), (1, 2**40, "last block")],
)
def test_a_figure_that_does_not_fit_is_refused(least, last, message):
    with pytest.raises(ValueError, match=message):
        plan_of(two_hops(), least_profit_wei=least, last_block=last)


def test_more_tokens_than_a_header_counts_are_refused():
    program = decode(plan_of(two_hops()).calldata)
    most = msgspec.structs.replace(program, tokens=(USD,) * 127)
    assert decode(write(most)) == most
    with pytest.raises(ValueError, match="at most 127 tokens, not 128"):
        write(msgspec.structs.replace(program, tokens=(USD,) * 128))


@pytest.mark.parametrize("bid", [-1, 2**96])
def test_a_bid_that_does_not_fit_is_refused(bid):
    with pytest.raises(ValueError, match="bid"):
        with_bid(plan_of(two_hops()), bid)


ROUTES = {
    "one hop": ([hop(1, PAIR, (WRAPPED, 1), (WRAPPED, 2))], []),
    "a gap of tokens": (
        [hop(1, PAIR, (WRAPPED, 1), (USD, 2)), hop(2, PAIR, (GEM, 2), (WRAPPED, 2))],
        [],
    ),
    "a gap of amounts": (
        [hop(1, PAIR, (WRAPPED, 1), (USD, 2)), hop(2, PAIR, (USD, 3), (WRAPPED, 2))],
        [],
    ),
    "no return": ([hop(1, PAIR, (WRAPPED, 1), (USD, 2)), hop(2, PAIR, (USD, 2), (GEM, 2))], []),
    "one pool twice": (
        [hop(1, PAIR, (WRAPPED, 1), (USD, 2)), hop(1, PAIR, (USD, 2), (WRAPPED, 2))],
        [],
    ),
    "no conversion": ([hop(1, PAIR, (USD, 1), (GEM, 2)), hop(2, PAIR, (GEM, 2), (USD, 2))], []),
    "a conversion too many": (
        [hop(1, PAIR, (WRAPPED, 1), (USD, 2)), hop(2, PAIR, (USD, 2), (WRAPPED, 2))],
        [hop(3, PAIR, (WRAPPED, 1), (WRAPPED, 1))],
    ),
    "a part converted": (
        [hop(1, PAIR, (USD, 1), (GEM, 2)), hop(2, PAIR, (GEM, 2), (USD, 5))],
        [hop(3, PAIR, (USD, 3), (WRAPPED, 1))],
    ),
    "converted to another token": (
        [hop(1, PAIR, (USD, 1), (GEM, 2)), hop(2, PAIR, (GEM, 2), (USD, 5))],
        [hop(3, PAIR, (USD, 4), (GEM, 1))],
    ),
}


@pytest.mark.parametrize("name", ROUTES)
def test_a_route_that_is_none_is_refused(name):
    hops, conversion = ROUTES[name]
    with pytest.raises(ValueError, match="devnet-1-1"):
        plan_of(opportunity(hops, conversion))


@pytest.mark.parametrize("place", [0, 1])
def test_a_curve_without_an_adapter_is_refused(place):
    found = two_hops()
    hops = list(found.hops)
    hops[place] = msgspec.structs.replace(hops[place], curve=CurveKind.OTHER)
    with pytest.raises(ValueError, match="no adapter for"):
        plan_of(msgspec.structs.replace(found, hops=tuple(hops)))

"""Curve's plain pools and metapools against contracts written from their rules, on a local EVM."""

from __future__ import annotations

import random
from functools import cache

import pytest

from searcher.kernels import curve_meta as meta_kernels
from searcher.kernels import curve_stable as kernels
from searcher.kernels.reference import curve_meta, curve_stable
from searcher.kernels.reference.curve_stable import FEE_UNIT, Rules
from searcher.kernels.refusal import SwapRefused
from searcher.market.decoding import MalformedLog
from searcher.market.protocol import QuoteBlock
from searcher.market.protocols.curve_stable import CurveStable
from searcher.market.stableswap import Contract, CurveStableState, rules_of
from tests.conformance.evm import LocalEvm, Reverted
from tests.conformance.stableswap import meta, plain, put_signature
from tests.kernels.stableswap import (
    THREE_POOL,
    outcome,
    random_amount,
    random_meta,
    random_pool,
    with_supply,
)

CASES = [
    (Contract.FACTORY, 2),
    (Contract.FACTORY, 4),
    (Contract.THREE_POOL, 3),
    (Contract.COMPOUND, 2),
    (Contract.PAX, 4),
    (Contract.AAVE, 3),
    (Contract.STETH, 2),
    (Contract.RETH, 2),
    (Contract.META_2020, 2),
]
COUNTS = [30, pytest.param(1_200, marks=[pytest.mark.full, pytest.mark.timeout(900)])]
GET_DY = "get_dy(int128,int128,uint256)(uint256)"
EXCHANGE = "exchange(int128,int128,uint256,uint256)(uint256)"
COINS = tuple("0x" + f"{k:02x}" * 20 for k in range(1, 9))


@cache
def chain():
    return LocalEvm()


@cache
def deployed(coins, rules):
    return chain().deploy(plain(coins, rules))


def put(address, pool):
    n = len(pool.rates)
    values = (pool.balances, pool.rates, pool.amp, pool.fee, pool.admin_fee)
    chain().send(address, put_signature(n), *values, pool.offpeg_fee_multiplier, pool.supply)


def answer(address, signature, *args):
    """What the contract answers in the form of an outcome, or None if it reverts."""
    try:
        return chain().call(address, signature, *args)[0]
    except Reverted as reverted:
        assert "Gas" not in reverted.reason
        return None


def same(found, *answers):
    """Whether a kernel's (status, numbers) is what the contract answers; refused together."""
    if None in answers:
        return found[0] != 0
    return tuple(found) == (0, *answers)


def state_of(pool, contract, address):
    n = len(pool.rates)
    return CurveStableState(
        address=address,
        coins=COINS[:n],
        balances=pool.balances,
        future_a=pool.amp,
        fee=pool.fee,
        rates=pool.rates,
        contract=contract,
        admin_fee=pool.admin_fee,
        offpeg_fee_multiplier=pool.offpeg_fee_multiplier,
        total_supply=pool.supply,
    )


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(("contract", "n"), CASES)
def test_quotes_equal_the_contract(contract, n, count):
    rules = rules_of(contract, None, n)
    address = deployed(n, rules)
    offpeg = (0, 2 * FEE_UNIT) if contract is Contract.AAVE else (0,)
    rng = random.Random(f"{contract}{n}")
    refused = 0
    for _ in range(count):
        pool = with_supply(rng, random_pool(rng, coins=(n,), rules=rules, offpeg=offpeg))
        put(address, pool)
        words, bits = kernels.layout(pool), kernels.rule_bits(rules)
        status = kernels.prepare(words, bits)
        i, j = rng.sample(range(n), 2)
        for amount in (random_amount(rng, pool.balances[i]), pool.balances[i] // 10 + 1):
            found = kernels.exact_in(words, bits, i, j, amount) if status == 0 else (status,)
            seen = answer(address, GET_DY, i, j, amount)
            paid = answer(address, EXCHANGE, i, j, amount, 0)
            assert same(found, seen, paid), (pool, i, j, amount)
            refused += found[0] != 0
        amounts = tuple(pool.balances[k] // 7 if k == i else 0 for k in range(n))
        burned = pool.supply // rng.randint(2, 10**6)
        for signature, arguments, reference in (
            ("get_virtual_price()(uint256)", (), lambda: curve_meta.virtual_price(pool)),
            (
                f"calc_token_amount(uint256[{n}],bool)(uint256)",
                (amounts, True),
                lambda: curve_meta.token_amount(pool, amounts, deposit=True),
            ),
            (
                f"add_liquidity(uint256[{n}],uint256)(uint256)",
                (amounts, 0),
                lambda: curve_meta.add_liquidity(pool, amounts)[0],
            ),
            (
                "calc_withdraw_one_coin(uint256,int128)(uint256)",
                (burned, i),
                lambda: curve_meta.withdraw_one(pool, i, burned)[0],
            ),
        ):
            got = answer(address, signature, *arguments)
            assert same(outcome(reference), got), (signature, pool, arguments)
    assert refused < count


@pytest.mark.parametrize(
    ("contract", "n"), [c for c in CASES if c[0].value not in ("aave", "steth")]
)
def test_events_keep_the_state(contract, n):
    rules = rules_of(contract, None, n)
    address, protocol = deployed(n, rules), CurveStable(CurveStable.Config())
    rng = random.Random(f"events {contract}{n}")
    followed = 0
    for _ in range(12):
        pool = with_supply(rng, random_pool(rng, coins=(n,), rules=rules, offpeg=(0,), wild=0))
        put(address, pool)
        state = state_of(pool, contract, address)
        for _ in range(4):
            i, j = rng.sample(range(n), 2)
            call = rng.choice(["exchange", "add", "remove"])
            try:
                if call == "exchange":
                    amount = int(pool.balances[i] * rng.uniform(0, 0.2))
                    chain().send(address, EXCHANGE, i, j, amount, 0)
                elif call == "add":
                    amounts = [int(b * rng.uniform(0, 0.2)) for b in pool.balances]
                    chain().send(address, f"add_liquidity(uint256[{n}],uint256)", amounts, 0)
                else:
                    burned = int(pool.supply * rng.uniform(0, 0.2))
                    chain().send(
                        address, "remove_liquidity_one_coin(uint256,int128,uint256)", burned, i, 0
                    )
            except Reverted:
                continue
            (log,) = chain().logs()
            state = protocol.apply(state, log)
            held = tuple(
                chain().call(address, "balances(uint256)(uint256)", k)[0] for k in range(n)
            )
            assert state.total_supply == chain().call(address, "totalSupply()(uint256)")[0]
            if not state.balances_current:
                break
            assert state.balances == held
            followed += 1
    assert followed > 20


def test_a_swap_that_contradicts_the_state_is_refused():
    rules = rules_of(Contract.FACTORY, None, 2)
    address, protocol = deployed(2, rules), CurveStable(CurveStable.Config())
    pool = random_pool(random.Random(1), coins=(2,), rules=rules, offpeg=(0,), wild=0)
    put(address, pool)
    chain().send(address, EXCHANGE, 0, 1, pool.balances[0] // 3, 0)
    (log,) = chain().logs()
    wrong = state_of(pool._replace(amp=pool.amp * 3 + 100), Contract.FACTORY, address)
    with pytest.raises(MalformedLog, match="paid"):
        protocol.apply(wrong, log)


def test_a_ramp_follows_the_clock():
    rules = rules_of(Contract.FACTORY, None, 2)
    address, protocol = deployed(2, rules), CurveStable(CurveStable.Config())
    pool = random_pool(random.Random(2), coins=(2,), rules=rules, offpeg=(0,), wild=0)
    put(address, pool)
    begin = chain().timestamp
    mark = chain().snapshot()
    try:
        chain().send(address, "ramp(uint256,uint256)", pool.amp * 7, begin + 86_400)
        state = protocol.apply(state_of(pool, Contract.FACTORY, address), chain().logs()[0])
        assert state.ramping
        for seconds in (0, 1, 40_000, 86_399, 86_400, 10**6):
            chain().set_block(timestamp=begin + seconds)
            block = QuoteBlock(number=1, timestamp=begin + seconds)
            amount = pool.balances[0] // 2
            quote = protocol.quote_exact_in(state, block, *COINS[:2], amount)
            assert quote.amount == chain().call(address, GET_DY, 0, 1, amount)[0]
        assert not protocol.apply(state, _exchange_log(address, pool)).balances_current
    finally:
        chain().revert(mark)
        chain().set_block(timestamp=begin)


def _exchange_log(address, pool):
    chain().send(address, EXCHANGE, 0, 1, pool.balances[0] // 3, 0)
    return chain().logs()[0]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("caches", [False, True])
def test_metapools_equal_the_contract(caches, count):
    rng = random.Random(f"meta {caches}")
    base_rules, rules = THREE_POOL, Rules(0, settles=not caches)
    address = chain().deploy(meta(3, rules, caches=caches))
    below = deployed(3, base_rules)
    now, refused = chain().timestamp, 0
    for _ in range(count):
        base = with_supply(rng, random_pool(rng, coins=(3,), rules=base_rules, offpeg=(0,), wild=0))
        put(below, base)
        pool = random_meta(rng, base)._replace(rules=rules)
        updated = now - rng.choice([0, 599, 600, 601, 10**6])
        cached = pool.rates[1] * rng.randint(990, 1000) // 1000
        if caches and now <= updated + 600:
            pool = pool._replace(rates=(pool.rates[0], cached))
        put(address, pool)
        chain().send(address, "found(address,uint256,uint256)", below, cached, updated)
        arrays = []
        for one in (pool, base):
            words, bits = kernels.layout(one), kernels.rule_bits(one.rules)
            assert kernels.prepare(words, bits) == 0
            arrays += [words, bits]
        i, j = rng.sample(range(4), 2)
        amount = random_amount(rng, (pool.balances[0], *base.balances)[i])
        found = meta_kernels.underlying_in(*arrays, i, j, amount, False)
        seen = answer(address, f"get_dy_underlying{GET_DY[6:]}", i, j, amount)
        paid = answer(address, f"exchange_underlying{EXCHANGE[8:]}", i, j, amount, 0)
        assert same(found, seen, paid), (pool, base, i, j, amount)
        refused += found[0] != 0
        found = kernels.exact_in(*arrays[:2], 0, 1, pool.balances[0] // 3)
        assert same(
            found,
            answer(address, GET_DY, 0, 1, pool.balances[0] // 3),
            answer(address, EXCHANGE, 0, 1, pool.balances[0] // 3, 0),
        )
    assert refused < count


def test_the_reference_refuses_where_the_contract_reverts():
    rules = rules_of(Contract.FACTORY, None, 2)
    address = deployed(2, rules)
    pool = random_pool(random.Random(3), coins=(2,), rules=rules, offpeg=(0,), wild=0)
    put(address, pool._replace(balances=(0, 10**6)))
    assert answer(address, GET_DY, 0, 1, 10**6) is None
    with pytest.raises(SwapRefused):
        curve_stable.exact_in(pool._replace(balances=(0, 10**6)), 0, 1, 10**6)

"""Curve StableSwap-NG plug-ins against Vyper bytecode: reads, events, plain pools and metapools."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from searcher.kernels.reference.curve_stable_ng import NgPool
from searcher.kernels.refusal import SwapRefused
from searcher.market.protocol import Quote, QuoteBlock
from searcher.market.protocols.curve_meta_ng import CurveMetaNg, CurveMetaNgIdentity
from searcher.market.protocols.curve_stable_ng import CurveNgIdentity, CurveStableNg
from tests.conformance.answering import answered
from tests.conformance.curve_ng_double import COINS, Double
from tests.conformance.evm import LocalEvm, Reverted
from tests.kernels.curve_ng_pools import amount, ordinary, two

PLAIN = CurveStableNg(CurveStableNg.Config())
META = CurveMetaNg(CurveMetaNg.Config())
COUNTS = [25, pytest.param(250, marks=pytest.mark.full)]


def plain_read(double):
    return answered(double.evm, PLAIN.reads(CurveNgIdentity(double.address, double.address)))


def now(double):
    return QuoteBlock(double.evm.number, double.evm.timestamp)


def quoted(quote, *args):
    try:
        return quote(*args)
    except SwapRefused:
        return None


def move(double, draw, n):
    """Change the pool in some way that it allows; return the events."""
    net = double.call("get_balances")
    supply = double.call("totalSupply")
    part = [draw.randrange(b // 9 + 1) for b in net]
    kind, *args = draw.choice(
        (
            ("exchange", *(pair := two(draw, n)), net[pair[0]] // draw.randrange(3, 999) + 1),
            ("add_liquidity", part),
            ("remove_liquidity_one_coin", supply // draw.randrange(20, 999) + 1, draw.randrange(n)),
            ("remove_liquidity_imbalance", part),
            ("remove_liquidity", supply // draw.randrange(20, 999) + 1),
            ("set_new_fee", draw.randrange(10**8), draw.randrange(5 * 10**10)),
        )
    )
    try:
        double.send(kind, *args)
    except Reverted:
        return kind, []
    return kind, double.evm.logs()


def deployable(draw, coins=None):
    pool = ordinary(draw, coins)
    return pool._replace(total_supply=max(pool.total_supply, 10**6))


@pytest.mark.parametrize("pools", COUNTS)
def test_events_leave_the_state_that_the_pool_is_in(pools):
    double = Double()
    draw = random.Random(91)
    seen = Counter()
    for _ in range(pools):
        pool = deployable(draw)
        double.state(pool)
        n = len(pool.balances)
        state = plain_read(double)
        for _ in range(8):
            kind, logs = move(double, draw, n)
            for log in logs:
                state = PLAIN.apply(state, log)
                seen[kind] += 1
            assert state == plain_read(double), kind
    assert len(seen) == 6
    assert min(seen.values()) > pools // 3


@pytest.mark.parametrize("pools", COUNTS)
def test_plain_quotes_are_the_bytecodes(pools):
    double = Double()
    draw = random.Random(92)
    for _ in range(pools):
        pool = deployable(draw)
        double.state(pool)
        begin, end = double.evm.timestamp - 10**5, double.evm.timestamp + 10**5
        if draw.random() < 0.5:
            double.send("set_ramp", pool.amp, draw.randrange(100, 10**6), begin, end)
        state = plain_read(double)
        for _ in range(4):
            i, j = two(draw, len(pool.balances))
            dx, dy = amount(draw, pool.balances[i]), amount(draw, pool.balances[j])
            said, paid = double.answer("get_dy", i, j, dx), double.answer("exchange", i, j, dx)
            ours = quoted(PLAIN.quote_exact_in, state, now(double), COINS[i], COINS[j], dx)
            if dx == 0:
                paid = 0
            assert ours == (None if None in (said, paid) else Quote(said, paid))
            said = double.answer("get_dx", i, j, dy)
            ours = quoted(PLAIN.quote_exact_out, state, now(double), COINS[i], COINS[j], dy)
            if ours is not None:
                assert ours.amount == said
                assert double.call("exchange", i, j, ours.realised) >= dy
            else:
                # The view may promise what no exchange can pay.
                assert said is None or double.answer("exchange", i, j, said + 1) in (None, 0)


class Metapool:
    """Two stand-ins, one holding the other's LP token, swapped as the metapools do."""

    def __init__(self):
        self.evm = LocalEvm()
        self.base, self.meta = Double(self.evm), Double(self.evm)

    def state(self, draw):
        base = deployable(draw, draw.choice((2, 3)))
        own = deployable(draw, 2)
        self.base.state(base, COINS[1 : 1 + len(base.balances)])
        self.meta.state(
            NgPool(
                (own.balances[0], base.total_supply // 3 + 1),
                (own.rates[0], 10**18),
                *own[2:],
            ),
            [COINS[0], self.base.address],
        )
        self.meta.send("set_base", self.base.address)
        self.price()
        return base

    def price(self):
        """Take the base pool's virtual price, as the metapools do before anything else."""
        rate = self.meta.evm.call(self.meta.address, "stored_rates()(uint256[])")[0][0]
        self.meta.send("set_rates", [rate, self.base.call("get_virtual_price")])

    def read(self):
        addresses = (self.meta.address, self.meta.address, self.base.address)
        return answered(self.meta.evm, META.reads(CurveMetaNgIdentity(*addresses)))

    def said(self, i, j, dx, n):
        if i and j:
            return self.base.call("get_dy", i - 1, j - 1, dx)
        if i:
            alone = [dx if k == i - 1 else 0 for k in range(n)]
            return self.meta.call("get_dy", 1, 0, self.base.call("calc_token_amount", alone, True))
        return self.base.call("calc_withdraw_one_coin", self.meta.call("get_dy", 0, 1, dx), j - 1)

    def paid(self, i, j, dx, n):
        if i and j:
            return self.base.call("exchange", i - 1, j - 1, dx)
        if i:
            alone = [dx if k == i - 1 else 0 for k in range(n)]
            return self.meta.call("exchange", 1, 0, self.base.call("add_liquidity", alone))
        out = self.meta.call("exchange", 0, 1, dx)
        return self.base.call("remove_liquidity_one_coin", out, j - 1)

    def asked(self, i, j, dy, n):
        if i:
            return self.base.call(
                "calc_withdraw_one_coin", self.meta.call("get_dx", 1, 0, dy), i - 1
            )
        alone = [dy if k == j - 1 else 0 for k in range(n)]
        return self.meta.call("get_dx", 0, 1, self.base.call("calc_token_amount", alone, False))


def answer(function, *args):
    try:
        return function(*args)
    except Reverted:
        return None


@pytest.mark.parametrize("pools", COUNTS)
def test_underlying_quotes_are_the_bytecodes(pools):
    pair = Metapool()
    draw = random.Random(93)
    seen = Counter()
    for _ in range(pools):
        base = pair.state(draw)
        n = len(base.balances)
        state = pair.read()
        coins = state.underlying
        held = (state.balances[0], *base.balances)
        for _ in range(4):
            i, j = two(draw, n + 1)
            dx = int(held[i] * 10 ** draw.uniform(-7, 0)) + 1
            dy = int(held[j] * 10 ** draw.uniform(-7, -0.2)) + 1
            block = now(pair.meta)
            expected = answer(pair.said, i, j, dx, n), answer(pair.paid, i, j, dx, n)
            ours = quoted(META.quote_exact_in, state, block, coins[i], coins[j], dx)
            assert ours == (None if None in expected else Quote(*expected)), (state, i, j, dx)
            seen["in", ours is None] += 1
            if i and j:
                continue
            asked = answer(pair.asked, i, j, dy, n)
            ours = quoted(META.quote_exact_out, state, block, coins[i], coins[j], dy)
            seen["out", ours is None] += 1
            if ours is not None:
                assert ours.amount == asked
                assert pair.paid(i, j, ours.realised, n) >= dy
                less = answer(pair.paid, i, j, ours.realised - 1, n)
                assert less is None or less < dy
    assert seen["in", False] > pools
    assert seen["out", False] > pools // 2


def test_a_metapool_follows_its_own_events_and_those_of_its_base():
    pair = Metapool()
    draw = random.Random(94)
    for _ in range(25):
        base = pair.state(draw)
        state = pair.read()
        for _ in range(6):
            double = draw.choice((pair.base, pair.meta))
            kind, logs = move(double, draw, 2 if double is pair.meta else len(base.balances))
            for log in logs:
                state = META.apply(state, log)
            pair.price()
            fresh = pair.read()
            assert state.base_pool == fresh.base_pool, kind
            assert state.balances == fresh.balances, kind
            assert state.total_supply == fresh.total_supply, kind

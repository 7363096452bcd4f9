"""Balancer's stable kernels against their references."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from searcher.kernels import balancer_stable as kernels
from searcher.kernels.reference import balancer_stable as reference
from searcher.kernels.reference.balancer_stable import StableMath, V2Stable, V3Stable
from searcher.kernels.reference.balancer_vault import V2Side, V3Side, V3Terms
from searcher.kernels.refusal import Status
from searcher.kernels.u256 import pack
from tests.kernels import balancer_pools as pools

ONE = 10**18
POOLS = {"v2": pools.v2_stable, "v3": pools.v3_stable}


@pytest.mark.parametrize("vault", POOLS)
@pytest.mark.parametrize("count", [3_000, pytest.param(50_000, marks=pytest.mark.full)])
def test_the_kernel_is_the_reference(vault, count):
    rng, seen = random.Random(count), Counter()
    for _ in range(count):
        pools.check(kernels, reference, POOLS[vault](rng), rng, seen)
    always = {
        Status.OK,
        Status.ZERO_AMOUNT,
        Status.OVERFLOW,
        Status.INSUFFICIENT_LIQUIDITY,
        Status.NO_CONVERGENCE,
    }
    more = {"v2": set(), "v3": {Status.UNSAFE_VALUES, Status.TOO_SMALL}}
    assert seen.keys() == always | more[vault]
    assert seen[Status.OK] > count // 2


@pytest.mark.parametrize("edition", StableMath)
def test_invariants_of_any_balances(edition):
    rng, number = random.Random(6), list(StableMath).index(edition)
    for _ in range(1500):
        balances = [rng.randrange(2 ** rng.randrange(1, 257)) for _ in range(rng.randrange(1, 6))]
        amp = rng.choice((1000, 200_000, 5_000_000, rng.randrange(2**64)))
        want = pools.answer(reference.invariant, amp, balances, edition)
        got = kernels.invariant(amp, pack(balances), number)
        assert got[0] == want[0], (amp, balances)
        assert want[1] is None or got[1] == want[1], (amp, balances)


def ordinary(edition=StableMath.V2):
    sides = (V2Side(7_000_000 * 10**6, 10**30), V2Side(9 * 10**24, ONE), V2Side(5 * 10**24, ONE))
    return V2Stable(sides, 4 * 10**14, 200_000, edition)


@pytest.mark.parametrize("edition", [StableMath.V2, StableMath.V2_ROUNDED_UP])
def test_more_in_never_gives_less_out(edition):
    pool = kernels.packed(ordinary(edition))
    rng = random.Random(7)
    last = 0
    for amount in sorted(rng.randrange(1, 10**13) for _ in range(3000)):
        status, out = kernels.exact_in(amount, pool, 0, 1)
        assert status == Status.OK
        assert out >= last
        last = out


def test_what_an_exact_output_takes_pays_for_it():
    pool = kernels.packed(ordinary())
    rng = random.Random(8)
    for _ in range(2000):
        wanted = rng.randrange(10**12, 8 * 10**24)
        status, needed = kernels.exact_out(wanted, pool, 0, 1)
        assert status == Status.OK
        status, out = kernels.exact_in(needed, pool, 0, 1)
        assert status == Status.OK
        # One unit of the token in, of 6 decimals, is 1e12 of the token out.
        assert wanted - 4 <= out <= wanted + 2 * 10**12


def test_the_marginal_rate_is_the_slope_of_the_exact_curve():
    pool = kernels.packed(ordinary())
    for amount in (0, 10**12, 8 * 10**12):
        status, rate = kernels.marginal_rate(amount, pool, 0, 1)
        step = 10**7
        outs = [kernels.exact_in(a, pool, 0, 1)[1] if a else 0 for a in (amount, amount + step)]
        assert status == Status.OK
        assert (outs[1] - outs[0]) / step == pytest.approx(rate, rel=1e-5)
    empty = kernels.packed(V2Stable([V2Side(0, ONE)] * 2, 0, 200_000))
    assert kernels.marginal_rate(0, empty, 0, 1)[0] == Status.EMPTY_POOL


def test_a_bounded_pool_refuses_unequal_balances():
    sides = [V3Side(10**22, 10**22, 1), V3Side(10**18 + 10**16, 10**18 + 10**16, 1)]
    for bounded, status in ((False, Status.OK), (True, Status.UNSAFE_VALUES)):
        pool = V3Stable(sides, V3Terms(10**15), 200_000, bounded)
        assert kernels.exact_in(10**20, kernels.packed(pool), 0, 1)[0] == status
        assert pools.answer(reference.exact_in, 10**20, pool, 0, 1)[0] == status

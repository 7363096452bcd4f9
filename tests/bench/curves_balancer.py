"""Balancer's curves for the bench: many quotes in one kernel call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from searcher.kernels import balancer_stable, balancer_weighted
from searcher.kernels._jit import kernel
from searcher.kernels.reference import balancer_stable as stable_reference
from searcher.kernels.reference import balancer_weighted as weighted_reference
from searcher.kernels.reference.balancer_stable import V2Stable, V3Stable
from searcher.kernels.reference.balancer_vault import V2Side, V3Side, V3Terms
from searcher.kernels.reference.balancer_weighted import V2Weighted, V3Weighted
from searcher.kernels.u256 import ZERO, Word, Words, pack, u256

Case = tuple[str, Callable[[], object], int, Callable[[], object], int]

_ONE = 10**18
_COUNT = 2_000
_REFERENCE_COUNT = 50

_weighted_in, _weighted_out = balancer_weighted.exact_in, balancer_weighted.exact_out
_stable_in, _stable_out = balancer_stable.exact_in, balancer_stable.exact_out
_invariant = balancer_stable.invariant


@kernel("U256(i8, i8, U256, u8[:,::1])")
def _loop(count: int, curve: int, step: Word, pool: Words) -> Word:
    """Quote `count` different amounts on one of the four curves; returns the sum of the answers."""
    total = ZERO()
    for n in range(1, count + 1):
        amount = step * u256(n)
        if curve == 0:
            total += _weighted_in(amount, pool, 0, 1)[1]
        elif curve == 1:
            total += _weighted_out(amount, pool, 0, 1)[1]
        elif curve == 2:
            total += _stable_in(amount, pool, 0, 1)[1]
        else:
            total += _stable_out(amount, pool, 0, 1)[1]
    return total


@kernel("U256(i8, U256, u8[:,::1])")
def _invariants(count: int, amp: Word, balances: Words) -> Word:
    total = ZERO()
    for _ in range(count):
        total += _invariant(amp, balances, 1)[1]
    return total


def bench_cases() -> list[Case]:
    """Return the cases of this family."""
    sides = [V2Side(105_034 * _ONE + 75_562, _ONE), V2Side(183_495_310_306, 10**30)]
    live = [V3Side(s.balance, s.upscaled, s.scaling // _ONE) for s in sides]
    uneven, even = (6 * _ONE // 10, 4 * _ONE // 10), (_ONE // 2, _ONE // 2)
    near_par = [V2Side(10**25 + n * 3 * 10**24, _ONE) for n in range(3)]
    terms = V3Terms(10**15, _ONE // 2)
    stable = V2Stable(near_par, 4 * 10**14, 200_000)
    stable_v3 = V3Stable([V3Side(s.balance, s.upscaled, 1) for s in near_par], terms, 200_000)
    balances = pack(stable.balances)
    return [
        _weighted("Balancer V2 weighted 60/40", V2Weighted(sides, 3 * 10**15, uneven)),
        _weighted("Balancer V2 weighted 60/40, exact out", V2Weighted(sides, 0, uneven), out=True),
        _weighted("Balancer V2 weighted 50/50", V2Weighted(sides, 3 * 10**15, even)),
        _weighted("Balancer V2 weighted 50/50 of 2021", V2Weighted(sides, 0, even, False)),
        _weighted("Balancer V3 weighted 60/40", V3Weighted(live, terms, uneven)),
        _stable("Balancer V2 stable, 3 tokens", stable),
        _stable("Balancer V2 stable, 3 tokens, exact out", stable, out=True),
        _stable("Balancer V3 stable, 3 tokens", stable_v3),
        (
            "Balancer stable invariant, 3 tokens",
            lambda: _invariants(500, stable.amp, balances),
            500,
            lambda: [
                stable_reference.invariant(stable.amp, stable.balances, stable.edition)
                for _ in range(_REFERENCE_COUNT)
            ],
            _REFERENCE_COUNT,
        ),
    ]


def _weighted(name: str, pool: V2Weighted | V3Weighted, *, out: bool = False) -> Case:
    return _case(name, (balancer_weighted, weighted_reference), pool, (0, out))


def _stable(name: str, pool: V2Stable | V3Stable, *, out: bool = False) -> Case:
    return _case(name, (balancer_stable, stable_reference), pool, (2, out))


def _case(name: str, modules: tuple[Any, Any], pool: Any, which: tuple[int, bool]) -> Case:
    curve, out = which
    kernels, reference = modules
    words = kernels.packed(pool)
    ask = reference.exact_out if out else reference.exact_in
    side = pool.sides[int(out)]
    held = side.balance if isinstance(side, V2Side) else side.raw
    step = held // 4 // _COUNT
    return (
        name,
        lambda: _loop(_COUNT, curve + int(out), step, words),
        _COUNT,
        lambda: [ask(step * n * 40, pool, 0, 1) for n in range(1, _REFERENCE_COUNT + 1)],
        _REFERENCE_COUNT,
    )

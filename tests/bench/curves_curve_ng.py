"""Curve StableSwap-NG for the bench: many quotes in one kernel call."""

from __future__ import annotations

from collections.abc import Callable

from searcher.kernels import curve_stable_ng as kernels
from searcher.kernels._jit import kernel
from searcher.kernels.reference import curve_stable_ng as reference
from searcher.kernels.reference.curve_stable_ng import NgPool
from searcher.kernels.u256 import ZERO, Word, Words, u256

Case = tuple[str, Callable[[], object], int, Callable[[], object], int]

_STEP = 1_000_003
_QUOTES = 1_000
_REFERRED = 20
_exact_in, _exchange, _prepare = kernels.exact_in, kernels.exchange, kernels.prepare
_exact_out, _least_in = kernels.exact_out, kernels.least_in

POOLS = {
    "2 coins": NgPool(
        (8_994_725_349517509957774712, 1_568_153_728639),
        (10**18, 10**30),
        100_000,
        1_000_000,
        5 * 10**10,
        10_550_045_569550900254909685,
    ),
    "3 coins": NgPool(
        (8_994_725_349517509957774712, 6_568_153_728639, 5_000_000 * 10**18),
        (10**18, 10**30, 10**18),
        20_000,
        1_000_000,
        5 * 10**10,
        20_000_000 * 10**18,
    ),
}


@kernel("U256(u8[:,::1], U256, i8, i8)")
def _loop(pool: Words, amount: Word, what: int, count: int) -> Word:
    """Quote coin 0 for coin 1; `what` is 0 get_dy, 1 exchange, 2 get_dx, 3 the least input."""
    total = ZERO()
    for i in range(count):
        given = amount + u256(i * _STEP)
        if what == 0:
            total += _exact_in(pool, 0, 1, given)[1]
        elif what == 1:
            total += _exchange(pool, 0, 1, given)[1]
        elif what == 2:
            total += _exact_out(pool, 0, 1, given)[1]
        else:
            total += _least_in(pool, 0, 1, given)[1]
    return total


@kernel("i8(u8[:,::1], i8)")
def _prepared(pool: Words, count: int) -> int:
    total = 0
    for _ in range(count):
        total += _prepare(pool)
    return total


def bench_cases() -> list[Case]:
    """Return (name, many quotes by the kernel, how many, some by the reference, how many)."""
    cases: list[Case] = []
    for coins, pool in POOLS.items():
        cases += [
            _case(f"curve ng get_dy, {coins}", pool, 0, reference.get_dy, 10**21),
            _case(f"curve ng exchange, {coins}", pool, 1, reference.exchange, 10**21),
            _case(f"curve ng get_dx, {coins}", pool, 2, reference.get_dx, 10**10),
            _case(f"curve ng least input, {coins}", pool, 3, reference.least_in, 10**10, quotes=50),
            _prepare_case(f"curve ng prepare, {coins}", pool),
        ]
    return cases


def _case(
    name: str,
    pool: NgPool,
    what: int,
    refer: Callable[[NgPool, int, int, int], object],
    amount: int,
    *,
    quotes: int = _QUOTES,
) -> Case:
    rows = kernels.rows(*pool)
    _prepare(rows)

    def referred() -> object:
        return [refer(pool, 0, 1, amount + i * _STEP) for i in range(_REFERRED)]

    return name, lambda: _loop(rows, amount, what, quotes), quotes, referred, _REFERRED


def _prepare_case(name: str, pool: NgPool) -> Case:
    rows = kernels.rows(*pool)

    def referred() -> object:
        return [
            reference.invariant(reference.scaled(pool.rates, pool.balances), pool.amp)
            for _ in range(_REFERRED)
        ]

    return name, lambda: _prepared(rows, _QUOTES), _QUOTES, referred, _REFERRED

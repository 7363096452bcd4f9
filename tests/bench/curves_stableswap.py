"""Curve's plain pools and metapools before StableSwap-NG."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from searcher.kernels import curve_meta, curve_stable
from searcher.kernels._jit import kernel
from searcher.kernels.reference import curve_meta as reference_meta
from searcher.kernels.reference import curve_stable as reference
from searcher.kernels.reference.curve_stable import Pool, Rules
from searcher.kernels.u256 import ZERO, Word, Words, u256

N = 512
M = 40
M_OUT = 2
"""The reference searches an exact output from nothing: milliseconds each."""
STEP = 7_919

THREE_POOL = Pool(
    # Mainnet block 24407242.
    (27137121100372139339642768, 27662471158553, 108298644409129),
    (10**18, 10**30, 10**30),
    4000,
    1_500_000,
    10**10,
    supply=156839057351449476746953842,
    rules=Rules(0, 1, False, False, True, True, True),
)
FACTORY = Pool(
    (8189776041162322264444, 9661706603857954240258), (10**18, 10**18), 40_000, 4_000_000, 5 * 10**9
)
META = Pool(
    (9 * 10**24, 8 * 10**24), (10**18, 1039823717075901888), 20_000, 4_000_000, rules=Rules(0)
)


@kernel("U256(u8[:, ::1], i8, i8, i8, U256, i8, i8)")
def loop(pool: Words, rules: int, i: int, j: int, amount: Word, n: int, kind: int) -> Word:
    """Quote (0), prepare and quote (1), or quote exact outputs (2); the sum keeps the work."""
    total, x = ZERO(), amount
    for k in range(n):
        if kind == 1:
            curve_stable.prepare(pool, rules)
        if kind == 2:
            _, seen, _ = curve_stable.exact_out(pool, rules, i, j, x)
        else:
            _, seen, _ = curve_stable.exact_in(pool, rules, i, j, x)
        total = total + seen
        x = x + u256(k * STEP)
    return total


@kernel("U256(u8[:, ::1], i8, u8[:, ::1], i8, i8, i8, U256, i8)")
def loop_underlying(
    meta: Words, rules: int, base: Words, base_rules: int, i: int, j: int, amount: Word, n: int
) -> Word:
    """Quote a metapool's coin against one of the base pool."""
    total, x = ZERO(), amount
    for k in range(n):
        _, seen, _ = curve_meta.underlying_in(meta, rules, base, base_rules, i, j, x, 0)
        total = total + seen
        x = x + u256(k * STEP)
    return total


def bench_cases() -> list[tuple[str, Callable[[], Any], int, Callable[[], Any], int]]:
    """Return the cases: name, kernel loop, its quotes, reference loop, its quotes."""
    cases = []
    for name, pool, amount in (
        ("3pool", THREE_POOL, 10**23),
        ("factory, 2 coins", FACTORY, 10**20),
    ):
        words, rules = _ready(pool)
        out = curve_stable.exact_in(words, rules, 0, 1, amount)[1]
        for kind, what, start, refer, m in (
            (0, "quote, prepared", amount, reference.exact_in, M),
            (1, "prepare and quote", amount, reference.exact_in, M),
            (2, "exact out, prepared", out, reference.exact_out, M_OUT),
        ):
            cases.append(
                (
                    f"Curve {name}: {what}",
                    partial(loop, words, rules, 0, 1, start, N, kind),
                    N,
                    partial(_refer, refer, pool, start, m),
                    m,
                )
            )
    below = _ready(THREE_POOL)
    above = _ready(META)
    cases.append(
        (
            "Curve metapool: underlying view and exchange, prepared",
            lambda: loop_underlying(*above, *below, 1, 0, 10**22, N),
            N,
            lambda: [
                reference_meta.underlying_in(META, THREE_POOL, 1, 0, 10**22 + STEP * k)
                for k in range(M)
            ],
            M,
        )
    )
    return cases


def _refer(quote: Callable[..., Any], pool: Pool, start: int, m: int) -> None:
    for k in range(m):
        quote(pool, 0, 1, start + STEP * k)


def _ready(pool: Pool) -> tuple[Words, int]:
    words, rules = curve_stable.layout(pool), curve_stable.rule_bits(pool.rules)
    curve_stable.prepare(words, rules)
    return words, rules

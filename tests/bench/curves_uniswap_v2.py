"""The constant product of Uniswap V2 and its forks."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from searcher.kernels import u256 as words
from searcher.kernels import uniswap_v2 as native
from searcher.kernels._jit import kernel
from searcher.kernels.reference import uniswap_v2 as reference

N = 4096
quote_out, quote_in = native.amount_out, native.amount_in


@kernel("U256(b1, u8[:,::1], u8[:,::1], u8[:,::1], i8)")
def loop(
    exact_out: bool, amounts: words.Words, has: words.Words, pays: words.Words, fee_pips: int
) -> words.Word:
    """Quote every row one way; the sum keeps the work from being left out."""
    total = words.ZERO()
    for i in range(amounts.shape[0]):
        row = (words.load(amounts, i), words.load(has, i), words.load(pays, i))
        if exact_out:
            total += quote_in(row[0], row[1], row[2], fee_pips)[1]
        else:
            total += quote_out(row[0], row[1], row[2], fee_pips)[1]
    return total


def bench_cases() -> list[tuple[str, Callable[[], Any], int, Callable[[], Any], int]]:
    """Return quotes of pairs as they are: reserves of 60 to 100 bits, inputs up to a tenth."""
    rng = random.Random(1)
    has, pays = ([rng.getrandbits(rng.randint(60, 100)) | 1 << 59 for _ in range(N)] for _ in "ab")
    amounts_in = [rng.randrange(1, reserve // 10) for reserve in has]
    amounts_out = [rng.randrange(1, reserve // 10) for reserve in pays]
    cases = []
    for name, exact_out, fee, amounts in (
        ("V2 exact in, 30 bps", False, 3000, amounts_in),
        ("V2 exact in, 25 bps", False, 2500, amounts_in),
        ("V2 exact out, 30 bps", True, 3000, amounts_out),
    ):
        arrays = [words.pack(column) for column in (amounts, has, pays)]
        refer = reference.amount_in if exact_out else reference.amount_out
        rows = list(zip(amounts, has, pays, strict=True))
        cases.append(
            (
                name,
                lambda exact_out=exact_out, arrays=arrays, fee=fee: loop(exact_out, *arrays, fee),
                N,
                lambda refer=refer, rows=rows, fee=fee: [refer(*row, fee) for row in rows],
                N,
            )
        )
    return cases

"""The arithmetic under every curve."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from searcher.kernels import u256 as words
from searcher.kernels._jit import kernel

N = 4096
BITS = {
    "add": (256, 256, 1),
    "mul": (256, 256, 1),
    "mul512": (256, 256, 1),
    "isqrt": (256, 1, 1),
    "muldiv 112x112/113": (112, 112, 113),
    "muldiv 224x160/160": (224, 160, 160),
    "muldiv 256x256/256": (255, 255, 256),
}
OPERATIONS: dict[str, Callable[[int, int, int], Any]] = {
    "add": lambda a, b, _: (a + b) & (2**256 - 1),
    "mul": lambda a, b, _: a * b & (2**256 - 1),
    "mul512": lambda a, b, _: divmod(a * b, 2**256),
    "isqrt": lambda a, _b, _d: math.isqrt(a),
}


@kernel("U256(i8, u8[:,::1], u8[:,::1], u8[:,::1])")
def loop(kind: int, a_all: words.Words, b_all: words.Words, d_all: words.Words) -> words.Word:
    """Carry out one operation on every row; the sum keeps the work from being left out."""
    total = words.ZERO()
    n = a_all.shape[0]
    if kind == 0:
        for i in range(n):
            total = total ^ (words.load(a_all, i) + words.load(b_all, i))
    elif kind == 1:
        for i in range(n):
            total = total ^ (words.load(a_all, i) * words.load(b_all, i))
    elif kind == 2:
        for i in range(n):
            high, low = words.mul512(words.load(a_all, i), words.load(b_all, i))
            total = total ^ high ^ low
    elif kind == 3:
        for i in range(n):
            total = total ^ words.isqrt(words.load(a_all, i))
    else:
        for i in range(n):
            _, q = words.muldiv(words.load(a_all, i), words.load(b_all, i), words.load(d_all, i))
            total = total ^ q
    return total


def bench_cases() -> list[tuple[str, Callable[[], Any], int, Callable[[], Any], int]]:
    """Return each operation over rows of random operands of its bits."""
    rng = random.Random(1)
    cases = []
    for place, (name, bits) in enumerate(BITS.items()):
        columns = [[rng.getrandbits(b) | 1 << (b - 1) for _ in range(N)] for b in bits]
        arrays = [words.pack(column) for column in columns]
        kind = np.int64(min(place, 4))
        operation = OPERATIONS.get(name, lambda a, b, d: a * b // d)
        rows = list(zip(*columns, strict=True))
        cases.append(
            (
                f"u256 {name}",
                lambda kind=kind, arrays=arrays: loop(kind, *arrays),
                N,
                lambda operation=operation, rows=rows: [operation(*row) for row in rows],
                N,
            )
        )
    return cases

"""degenbot's answers to the cases of `peers.py`, timed. Runs under degenbot's own interpreter.

Pools are made without a node: the attributes that its quotes read are set directly.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from statistics import median
from threading import Lock
from weakref import WeakSet

from degenbot.aerodrome.functions import calc_exact_in_stable
from degenbot.balancer.libraries import weighted_math
from degenbot.balancer.libraries.fixed_point import mul_up
from degenbot.curve.curve_stableswap_liquidity_pool import CurveStableswapPool
from degenbot.curve.types import CurveStableswapPoolState
from degenbot.uniswap.v2_functions import constant_product_calc_exact_in
from degenbot.uniswap.v3_libraries.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO
from degenbot.uniswap.v3_liquidity_pool import UniswapV3Pool
from degenbot.uniswap.v3_types import (
    UniswapV3BitmapAtWord,
    UniswapV3LiquidityAtTick,
    UniswapV3PoolState,
)

REPETITIONS = 5
POOL = "0x" + "77" * 20


def constant_product(pool):
    reserves = int(pool["reserve0"]), int(pool["reserve1"])
    fee = Fraction(3, 1000)
    return lambda way, amount: constant_product_calc_exact_in(
        amount_in=amount, reserves_in=reserves[way], reserves_out=reserves[1 - way], fee=fee
    )


def concentrated(pool):
    spacing = int(pool["tick_spacing"])
    bitmap, data = {}, {}
    for tick in pool["ticks"]:
        index = int(tick["index"])
        word, bit = divmod(index // spacing, 256)
        bitmap[word] = bitmap.get(word, 0) | 1 << bit
        data[index] = UniswapV3LiquidityAtTick(
            liquidity_net=int(tick["liquidity_net"]),
            liquidity_gross=int(tick["liquidity_gross"]),
            block=1,
        )
    there = UniswapV3Pool.__new__(UniswapV3Pool)
    there.address, there.fee, there.tick_spacing = POOL, int(pool["fee"]), spacing
    there.sparse_liquidity_map, there.name = False, "pool"
    there._state = UniswapV3PoolState(
        address=POOL,
        block=1,
        liquidity=int(pool["liquidity"]),
        sqrt_price_x96=int(pool["sqrt_price_x96"]),
        tick=int(pool["tick"]),
        tick_bitmap={w: UniswapV3BitmapAtWord(bitmap=b, block=1) for w, b in bitmap.items()},
        tick_data=data,
    )
    there._state_lock, there._subscribers = Lock(), WeakSet()
    there._swap_step_cache, there._swap_step_cache_lock = {}, Lock()

    def quote(way, amount):
        amounts = there._calculate_swap(
            zero_for_one=way == 0,
            amount_specified=amount,
            sqrt_price_limit_x96=MIN_SQRT_RATIO + 1 if way == 0 else MAX_SQRT_RATIO - 1,
        )
        return -amounts[1 - way]

    return quote


def stable_pair(pool):
    fixed = {
        "reserves0": int(pool["reserve0"]),
        "reserves1": int(pool["reserve1"]),
        "decimals0": 10 ** int(pool["decimals0"]),
        "decimals1": 10 ** int(pool["decimals1"]),
        "fee": Fraction(int(pool["fee"]), 10_000),
    }
    return lambda way, amount: calc_exact_in_stable(amount_in=amount, token_in=way, **fixed)


def stableswap(pool):
    there = CurveStableswapPool.__new__(CurveStableswapPool)
    there.address = POOL
    there.base_pool = None
    there.tokens = pool["coins"]
    there.fee = int(pool["fee"])
    there.rate_multipliers = tuple(10 ** (36 - int(d)) for d in pool["decimals"])
    there.a_coefficient = int(pool["future_a"]) // there.A_PRECISION
    there.initial_a_coefficient = there.future_a_coefficient = None
    there._block_timestamps = {1: 1_770_000_000}
    there._state = CurveStableswapPoolState(
        address=POOL, block=1, balances=tuple(map(int, pool["balances"]))
    )
    return lambda way, amount: there.get_dy(way, 1 - way, amount, block_identifier=1)


def weighted(pool):
    balances = [int(b) for b in pool["balances"]]
    weights = [int(w) for w in pool["normalized_weights"]]
    fee = int(pool["swap_fee_percentage"])
    return lambda way, amount: weighted_math._calc_out_given_in(
        balances[way],
        weights[way],
        balances[1 - way],
        weights[1 - way],
        amount - mul_up(amount, fee),
    )


BUILDERS = {
    "uniswap_v2": constant_product,
    "uniswap_v3": concentrated,
    "velodrome_v2": stable_pair,
    "curve_stable": stableswap,
    "balancer_v2_weighted": weighted,
}


def answer(case):
    pools = [BUILDERS[case["protocol"]](pool) for pool in case["pools"]]
    quotes = [(pools[place], way, int(amount)) for place, way, amount in case["quotes"]]
    samples = []
    for _ in range(REPETITIONS + 1):
        begun = time.perf_counter()
        answers = [quote(way, amount) for quote, way, amount in quotes]
        samples.append(time.perf_counter() - begun)
    return {"ns": median(samples[1:]) / len(quotes) * 1e9, "answers": [str(a) for a in answers]}


def main(cases, out):
    document = json.loads(Path(cases).read_text())
    found = {
        "version": version("degenbot"),
        "python": platform.python_version(),
        "families": {name: answer(case) for name, case in document.items()},
    }
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

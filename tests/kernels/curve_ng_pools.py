"""Random Curve StableSwap-NG pools and amounts, from everyday to the ends of the integers."""

from __future__ import annotations

from searcher.kernels.reference.curve_stable_ng import MAX, NgPool

DECIMALS = (6, 8, 18)


def ordinary(random, coins=None):
    """A pool as they are deployed, from balanced to far off its peg."""
    n = coins or random.choice((2, 2, 2, 3, 3, 4, 5, 6, 8))
    decimals = [random.choice(DECIMALS) for _ in range(n)]
    size = 10 ** random.uniform(0, 10)
    skew = random.choice((0.0, 0.3, 1.0, 3.0))
    balances = tuple(
        max(1, int(size * 10 ** random.uniform(-skew, skew) * 10**d)) for d in decimals
    )
    rates = tuple(
        10 ** (36 - d)
        * random.choice((10**18, 10**18, random.randrange(9 * 10**17, 3 * 10**18)))
        // 10**18
        for d in decimals
    )
    amp = random.choice((100, 1_000, 20_000, 100_000, random.randrange(100, 10**8)))
    fee = random.choice((0, 1_000_000, 4_000_000, random.randrange(10**8)))
    multiplier = random.choice(
        (0, 10**10, 2 * 10**10, 5 * 10**10, random.randrange(10**10, 10**11))
    )
    return NgPool(balances, rates, amp, fee, multiplier, max(1, int(size * n * 10**18)))


def strange(random):
    """A pool that no one would deploy: empty sides, huge or tiny numbers, broken parameters."""
    pool = ordinary(random)
    n = len(pool.balances)
    values = (0, 1, 2, 10**6, 10**18, 10**30, 2**96, 2**128, 2**192, 2**255, MAX)
    balances = tuple(random.choice((b, b, random.choice(values))) for b in pool.balances)
    rates = tuple(random.choice((r, r, r, random.choice(values))) for r in pool.rates)
    amp = random.choice((pool.amp, 0, 1, 10, 99, 10**8, MAX))
    supply = random.choice((pool.total_supply, 0, 1, 2**128, MAX))
    multiplier = random.choice((pool.offpeg_fee_multiplier, 2**64, MAX if pool.fee == 0 else 0))
    if random.random() < 0.3:
        balances = (0,) * n
    return NgPool(balances, rates, amp, pool.fee, multiplier, supply)


def amount(random, balance):
    """An amount to swap against a balance: dust, ordinary, too much, or the ends of the integer."""
    kind = random.randrange(12)
    if kind == 0:
        return random.choice((0, 1, 2, 3, 10, 1_000))
    if kind == 1:
        return random.choice((MAX, MAX - 1, 2**255, 2**128, 2**200))
    if kind == 2:
        return min(int(balance * random.uniform(0.9, 1.1)), MAX)
    return min(int(balance * 10 ** random.uniform(-9, 1)), MAX)


def two(random, n):
    """Two different places among `n`."""
    return random.sample(range(n), 2)

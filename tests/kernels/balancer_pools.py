"""Random Balancer pools and amounts, ordinary ones and those at the ends of what fits."""

from __future__ import annotations

from searcher.kernels.reference.balancer_stable import StableMath, V2Stable, V3Stable
from searcher.kernels.reference.balancer_vault import V2Side, V3Side, V3Terms, v3_live
from searcher.kernels.reference.balancer_weighted import V2Weighted, V3Weighted
from searcher.kernels.refusal import Status, SwapRefused

ONE = 10**18
FEES = (0, 10**12, 3 * 10**15, 10**17)


def amount(rng, balance):
    """An amount around a balance, or an edge."""
    kind = rng.randrange(8)
    if kind == 0:
        return rng.choice((0, 1, 2, 10**6, 2**112, 2**128, 2**255, 2**256 - 1))
    if kind == 1:
        return rng.randrange(2 ** rng.randrange(1, 257))
    if kind < 6:
        return rng.randrange(balance // 3 + 1)
    return rng.randrange(2 ** (balance.bit_length() + 1))


def weights(rng, count):
    if rng.random() < 0.4:
        return [ONE // count] * count
    if count == 2 and rng.random() < 0.5:
        return [8 * ONE // 10, 2 * ONE // 10]
    parts = [rng.randrange(1, 60) for _ in range(count)]
    return [ONE // 100 + (ONE - count * ONE // 100) * part // sum(parts) for part in parts]


def fee(rng):
    return rng.choice((*FEES, rng.randrange(10**17)))


def v2_sides(rng, count):
    sides = []
    for _ in range(count):
        balance = rng.randrange(2 ** rng.randrange(1, 113))
        managed = rng.randrange(balance + 1) if rng.random() < 0.2 else 0
        sides.append(V2Side(balance, ONE * 10 ** rng.randrange(19), managed))
    return sides


def v3_sides(rng, count):
    sides = []
    for _ in range(count):
        raw, scaling = rng.randrange(2 ** rng.randrange(1, 129)), 10 ** rng.randrange(19)
        rate = rng.choice((ONE, rng.randrange(ONE // 10, 3 * ONE)))
        sides.append(V3Side(raw, min(v3_live(raw, scaling, rate), 2**128 - 1), scaling, rate))
    return sides


def terms(rng):
    return V3Terms(fee(rng), rng.randrange(ONE), rng.choice((0, 10**6)))


def v2_weighted(rng):
    count = rng.randrange(2, 9)
    return V2Weighted(v2_sides(rng, count), fee(rng), weights(rng, count), rng.random() < 0.5)


def v3_weighted(rng):
    count = rng.randrange(2, 9)
    sides = v3_sides(rng, count)
    floors = rng.choice(((), [10**6] * count, [side.live // 2 for side in sides]))
    return V3Weighted(sides, terms(rng), weights(rng, count), floors)


def balanced(rng, count):
    """Balances of nearly the same worth, in 18 decimals, and near-par rates."""
    size = 2 ** rng.randrange(40, 106)
    return [
        (rng.randrange(size // 4, size * 4), ONE * rng.randrange(90, 110) // 100)
        for _ in range(count)
    ]


def v2_stable(rng):
    count = rng.randrange(2, 6)
    wild = rng.random() < 0.25
    sides = v2_sides(rng, count) if wild else [V2Side(*each) for each in balanced(rng, count)]
    amp = rng.randrange(1, 5001) * 1000
    return V2Stable(sides, fee(rng), amp, rng.choice((StableMath.V2, StableMath.V2_ROUNDED_UP)))


def v3_stable(rng):
    count = rng.randrange(2, 6)
    if rng.random() < 0.25:
        sides = v3_sides(rng, count)
    else:
        sides = [V3Side(raw, v3_live(raw, 1, rate), 1, rate) for raw, rate in balanced(rng, count)]
    return V3Stable(sides, terms(rng), rng.randrange(1, 50_001) * 1000, rng.random() < 0.5)


def held(side):
    return side.balance if isinstance(side, V2Side) else side.raw


def answer(function, *args):
    """What a reference says, as a kernel says it; no amount with a refusal."""
    try:
        return int(Status.OK), function(*args)
    except SwapRefused as refusal:
        return int(refusal.status), None


def check(curve, reference, pool, rng, seen):
    """Compare a kernel and its reference on one pool: both ways, one random amount each."""
    i, j = rng.sample(range(len(pool.sides)), 2)
    packed = curve.packed(pool)
    for name, place in (("exact_in", i), ("exact_out", j)):
        given = amount(rng, held(pool.sides[place]))
        want = answer(getattr(reference, name), given, pool, i, j)
        got = getattr(curve, name)(given, packed, i, j)
        assert got[0] == want[0], (name, given, pool, i, j)
        assert want[1] is None or got[1] == want[1], (name, given, pool, i, j)
        seen[want[0]] += 1

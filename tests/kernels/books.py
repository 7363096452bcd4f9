"""Random Liquidity Books, as pairs look on chains."""

from searcher.kernels.reference.liquidity_book import Bin, Fees, Pair

NOW = 1_700_000_000
CENTRE = 1 << 23


def any_fees(rng, active_id):
    filter_period = rng.choice((0, 10, 30))
    return Fees(
        base_factor=rng.choice((0, 1_000, 5_000, 10_000)),
        filter_period=filter_period,
        decay_period=filter_period + rng.choice((0, 90, 600)),
        reduction_factor=rng.choice((0, 5_000, 10_000)),
        variable_fee_control=rng.choice((0, 7_500, 40_000, 2_000_000)),
        protocol_share=rng.choice((0, 1_000, 2_500)),
        max_volatility_accumulator=rng.choice((0, 100_000, 350_000)),
        volatility_accumulator=rng.randrange(0, 350_000),
        volatility_reference=rng.randrange(0, 350_000),
        id_reference=active_id + rng.randrange(-30, 31),
        time_of_last_update=NOW - rng.choice((0, 5, 20, 60, 5_000)),
    )


def any_pair(rng, *, bins=12):
    """A pair around any price: dense or with gaps, its active bin empty at times."""
    active_id = CENTRE + rng.choice((0, rng.randrange(-3_000, 3_000), rng.randrange(-9_000, 9_000)))
    size = 10 ** rng.choice((0, 3, 6, 18, 24))
    ids = sorted(rng.sample(range(active_id - 20, active_id + 21), rng.randrange(0, bins + 1)))
    held = []
    for bin_id in ids:
        x = rng.randrange(1, size + 2) if bin_id >= active_id and rng.random() < 0.9 else 0
        y = rng.randrange(1, size + 2) if bin_id <= active_id and rng.random() < 0.9 else 0
        held.append(Bin(bin_id, x, y))
    return Pair(
        active_id,
        rng.choice((1, 2, 5, 10, 15, 20, 25, 50, 80, 100)),
        tuple(held),
        any_fees(rng, active_id),
        rng.random() < 0.5,
    )

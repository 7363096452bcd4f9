"""The float image of any curve against its exact quotes, on random states of every protocol."""

from __future__ import annotations

import importlib
import itertools
import math
import random
from typing import Any

import numpy as np
import pytest

from searcher.kernels.hops import hop, write_rates
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.memory import MarketMemory
from searcher.market.pieces import MOST_PIECES, pieces
from searcher.market.protocol import PROTOCOLS, Quote, QuoteBlock
from searcher.market.state import state_from
from searcher.market.ticks import TickTable

BLOCK = QuoteBlock(20_000_000, 1_720_000_000)
COUNTS = [8, pytest.param(150, marks=pytest.mark.full)]
NEAR = 2e-4
"""The error of 98 of 100 inputs, those behind the knee of a stable curve included."""
BRIDGED = {"curve_twocrypto_ng": 1e-3, "curve_tricrypto_ng": 1e-3}
"""The same where the fee falls as a pool comes into balance: searches take curves as concave."""
WORST = 3e-3
"""The error of all but 1 in 200: dust, fees of 99.99 %, reserves nine orders of magnitude apart."""
FAR = 0.02
"""The error of ranges and bins that share a piece, far from the price."""
SLOW = {"curve_meta", "curve_meta_ng"}


def image(drawn, amount):
    """What pieces say of an input."""
    k = max(0, int(np.searchsorted(drawn[:, 0], amount, "right")) - 1)
    inside = amount - drawn[k, 0]
    return drawn[k, 1] + drawn[k, 3] * inside / (drawn[k, 2] + inside)


def random_states(name, count):
    plugin = PROTOCOLS.load(name)
    module: Any = importlib.import_module(f"tests.conformance.states.{name}")
    for raw, block in itertools.islice(module.states(random.Random(3)), count):
        held = state_from(plugin.State, raw)
        names = [n for n in ("tokens", "coins") if hasattr(held, n)]
        if hasattr(module, "tokens"):
            tokens = module.tokens(held)
        else:
            tokens = getattr(held, names[0]) if names else (held.token0, held.token1)
        yield plugin(plugin.Config()), held, block, tokens[:2]


def exact(protocol, held, block, pair, amount):
    """The exact output; nothing when the pool refuses."""
    try:
        return protocol.quote_exact_in(held, block, *pair, amount).realised
    except SwapRefused:
        return None


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", [n for n in PROTOCOLS.names() if n not in SLOW])
def test_pieces_follow_the_curve_of_every_protocol(name, count):
    errors, shared_errors = [], []
    for protocol, held, block, tokens in random_states(name, count):
        for pair in itertools.permutations(tokens):
            drawn = pieces(protocol, held, block, *pair)
            assert len(drawn) <= MOST_PIECES
            if not len(drawn) or drawn[-1, 0] < 1e7:
                continue
            stepped = isinstance(getattr(held, "ticks", None), TickTable) or hasattr(held, "bins")
            end = drawn[-1, 0]
            for amount in map(int, np.geomspace(max(end * 1e-7, 1e6), end * 0.999, 24)):
                out = exact(protocol, held, block, pair, amount)
                if out is None or out < 10**8:
                    continue
                shared = stepped and amount > drawn[min(10, len(drawn) - 1), 0]
                error = abs(image(drawn, float(amount)) / out - 1.0)
                (shared_errors if shared else errors).append(error)
    assert len(errors) > 5 * count
    assert np.quantile(errors, 0.98) < BRIDGED.get(name, NEAR)
    assert np.quantile(errors, 0.995, method="lower") < WORST
    assert np.quantile([0.0, *shared_errors], 0.995, method="lower") < FAR


@pytest.mark.parametrize("name", PROTOCOLS.names())
def test_pieces_are_a_curve(name):
    """They begin at nothing with the spot rate, rise without a gap, and give nothing in the end."""
    for protocol, held, block, pair in random_states(name, 1 if name in SLOW else 10):
        drawn = pieces(protocol, held, block, *pair)
        if not len(drawn):
            continue
        assert np.isfinite(drawn).all()
        assert (drawn[0, :2] == 0.0).all()
        assert (np.diff(drawn[:, 0]) > 0.0).all()
        assert (drawn[:, 2] > 0.0).all()
        assert drawn[-1, 3] == 0.0
        for here, there in itertools.pairwise(drawn):
            width = there[0] - here[0]
            assert here[1] + here[3] * width / (here[2] + width) == pytest.approx(
                there[1], rel=1e-6
            )
        ends = drawn[:-1, 2] * drawn[:-1, 3] / (drawn[:-1, 2] + np.diff(drawn[:, 0])) ** 2
        begins = drawn[1:, 3] / drawn[1:, 2]
        assert np.quantile(begins / ends, 0.9) <= 1.0 + 1e-3, "searches take curves as concave"
        spot = protocol.marginal_rate(held, block, *pair, 0)
        if min(drawn[1, :2]) > 1e9:
            # A first piece that rises more steeply later on is a line: it begins above the spot.
            # The dust of a first bin is left to the next one's price.
            least = 0.9 if hasattr(held, "bins") else 1 - 1e-6
            assert spot * least <= drawn[0, 3] / drawn[0, 2] < spot * 1.2


def test_a_constant_product_is_one_piece():
    protocol, held, _, _ = next(random_states("solidly", 1))
    raw = {"token0": held.token0, "token1": held.token1, "stable": False, "fee": 30}
    pool = state_from(type(held), raw | {"reserve0": 10**21, "reserve1": 3 * 10**12})
    drawn = pieces(protocol, pool, BLOCK, held.token0, held.token1)
    assert len(drawn) == 2
    assert drawn[0, 2] == pytest.approx(10**21 / 0.997, rel=1e-4)
    assert drawn[0, 3] == pytest.approx(3 * 10**12, rel=1e-4)


def test_a_pool_that_does_not_swap_has_no_pieces():
    protocol, held, _, pair = next(random_states("solidly", 1))
    raw = {"token0": pair[0], "token1": pair[1], "reserve0": 1, "reserve1": 10**18, "fee": 1}
    closed = state_from(type(held), raw | {"stable": False, "is_paused": True})
    assert pieces(protocol, closed, BLOCK, *pair).shape == (0, 4)


@pytest.mark.parametrize(("where", "there"), [(-900, "up"), (900, "down")])
def test_a_price_outside_all_positions_reaches_them_one_way_only(where, there):
    plugin = PROTOCOLS.load("uniswap_v4")
    protocol = plugin(plugin.Config())
    tokens = [f"0x{n:040x}" for n in (1, 2)]
    from searcher.kernels.reference.uniswap_v3 import sqrt_at_tick

    held = state_from(
        plugin.State,
        {
            "currency0": tokens[0],
            "currency1": tokens[1],
            "fee": 500,
            "tick_spacing": 60,
            "sqrt_price_x96": sqrt_at_tick(where),
            "tick": where,
            "liquidity": 0,
            "ticks": [
                {"index": -300, "liquidity_net": 10**20},
                {"index": 300, "liquidity_net": -(10**20)},
            ],
        },
    )
    alive = tokens if there == "down" else tokens[::-1]
    drawn = pieces(protocol, held, BLOCK, *alive)
    assert len(drawn) == 2
    out = protocol.quote_exact_in(held, BLOCK, *alive, 10**15).realised
    assert image(drawn, 1e15) == pytest.approx(out, rel=1e-9)
    assert len(pieces(protocol, held, BLOCK, *alive[::-1])) == 0


class Ends:
    """A curve that refuses more than some input, or less than another."""

    def __init__(self, most, least=0):
        self.most, self.least, self.asked = most, least, 0

    def marginal_rate(self, _state, _block, _token_in, _token_out, amount):
        self.asked += 1
        if amount > self.most:
            raise SwapRefused(Status.RATIO_LIMIT, "too much")
        return 0.5

    def quote_exact_in(self, _state, _block, _token_in, _token_out, amount):
        self.asked += 1
        if amount > self.most:
            raise SwapRefused(Status.RATIO_LIMIT, "too much")
        if amount < self.least:
            raise SwapRefused(Status.TOO_SMALL, "too little")
        return Quote(amount // 2, amount // 2)


@pytest.mark.parametrize("least", [0, 10**6])
@pytest.mark.parametrize("most", [10**9, 3 * 10**18 + 7, 2**111 - 1])
def test_a_refusal_ends_the_curve(most, least):
    curve: Any = Ends(most, least)
    drawn = pieces(curve, None, BLOCK, "0x01", "0x02")
    assert 0.95 * most <= drawn[-1, 0] <= most
    assert image(drawn, 0.9 * most) == pytest.approx(0.45 * most, rel=1e-6)
    assert curve.asked < 40


class Endless(Ends):
    """A curve that bends everywhere: no number of pieces is enough."""

    def marginal_rate(self, _state, _block, _token_in, _token_out, amount):
        self.asked += 1
        return math.exp(-((amount / 1e20) ** 0.3)) * (1.0 + 0.5 * math.sin(amount))

    def quote_exact_in(self, _state, _block, _token_in, _token_out, amount):
        self.asked += 1
        return Quote(0, int(1e18 * math.log1p(amount / 1e15)))


def test_the_work_is_bounded():
    curve: Any = Endless(0)
    assert len(pieces(curve, None, BLOCK, "0x01", "0x02", most=16)) <= 16
    assert curve.asked < 80


@pytest.mark.parametrize("name", ["curve_stable", "liquidity_book", "balancer_v2_weighted"])
def test_kernels_read_the_pieces_as_they_are_meant(name):
    memory = MarketMemory(8)
    row = memory.add()
    memory.set_alive(row, alive=True)
    for protocol, held, block, pair in random_states(name, 5):
        sides = tuple(pieces(protocol, held, block, *p) for p in (pair, pair[::-1]))
        memory.write_pieces(row, (sides[0], sides[1]))
        write_rates(memory.table, row)
        for side, drawn in enumerate(sides):
            if not len(drawn):
                assert memory.rate[side] == -math.inf
                continue
            slope = drawn[0, 3] / drawn[0, 2]
            assert memory.rate[side] == pytest.approx(math.log(slope), rel=1e-9)
            for amount in np.geomspace(1.0, drawn[-1, 0] * 2, 20):
                out = hop(memory.table, side, amount)[0]
                assert out == pytest.approx(image(drawn, amount), rel=1e-9)

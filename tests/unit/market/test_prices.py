import math

import numpy as np
import pytest

from searcher.domain.events import BlockRef
from searcher.domain.units import Address, Hash32
from searcher.kernels.hops import write_image
from searcher.kernels.reference.uniswap_v3 import sqrt_at_tick
from searcher.market.memory import MarketMemory
from searcher.market.prices import PriceBook, PriceSettings
from searcher.market.ticks import Tick, TickTable

NATIVE, USDC, X, Y, LONELY = (Address(f"0x{n:040x}") for n in range(1, 6))
ETHER = 10**18


def ref(number, fork=0):
    return BlockRef(number, Hash32(f"0x{fork * 1_000_000 + number:064x}"))


class World:
    def __init__(self, **settings):
        self.memory = MarketMemory(64)
        self.book = PriceBook(self.memory, NATIVE, PriceSettings(**settings), kept_blocks=8)
        self.time = 1_700_000_000
        self.number = 0

    def pair(self, token0, token1, reserve0, reserve1):
        row = self.memory.add()
        self.memory.set_alive(row, alive=True)
        self.book.enter(row, token0, token1)
        self.set(row, reserve0, reserve1)
        return row

    def set(self, row, reserve0, reserve1):
        self.memory.write_product(row, reserve0, reserve1, 3000)
        write_image(self.memory.table, row)

    def concentrated(self, token0, token1, tick, liquidity):
        row = self.memory.add()
        self.memory.set_alive(row, alive=True)
        self.book.enter(row, token0, token1)
        table = TickTable(
            [Tick(-887220, liquidity, liquidity), Tick(887220, -liquidity, liquidity)]
        )
        self.memory.write_ticks(row, table, fee_pips=3000, spacing=60)
        self.memory.write_price(row, sqrt_at_tick(tick), liquidity, tick)
        write_image(self.memory.table, row)
        return row

    def block(self, seconds=12):
        self.number += 1
        self.time += seconds
        self.book.observe(ref(self.number), self.time)


def test_a_price_is_what_the_deepest_way_says():
    world = World()
    world.pair(NATIVE, USDC, 1000 * ETHER, 2_000_000 * 10**6)
    world.pair(USDC, X, 1_000_000 * 10**6, 500_000 * ETHER)
    world.pair(X, NATIVE, ETHER, ETHER // 10)  # thin, and says a hundred times as much
    world.block()
    assert world.book.price(NATIVE)[:2] == (1.0, 1.0)
    assert world.book.price(USDC).spot == pytest.approx(ETHER / 2000 / 10**6)
    assert world.book.price(X).spot == pytest.approx(2 / 2000)
    assert world.book.gain_wei(X, 5 * ETHER) == pytest.approx(5 * ETHER / 1000)


def test_concentrated_pools_tell_prices_both_ways():
    world = World()
    world.concentrated(NATIVE, USDC, -200_000, 10**18)
    world.concentrated(X, NATIVE, 6000, 10**22)
    world.block()
    assert world.book.price(USDC).spot == pytest.approx(1.0001**200_000)
    assert world.book.price(X).spot == pytest.approx(1.0001**6000)


def test_an_unknown_token_is_worth_nothing_to_get_and_anything_to_give():
    world = World()
    world.pair(NATIVE, USDC, ETHER, 10**6)
    world.pair(LONELY, Y, ETHER, ETHER)
    world.block()
    for token in (LONELY, X):
        assert world.book.price(token) is None
        assert world.book.gain_wei(token, 1) == 0.0
        assert world.book.cost_wei(token, 1) == math.inf


def test_who_moves_a_pool_for_one_block_moves_the_average_by_its_share_of_time():
    world = World(window_s=1200)
    row = world.pair(NATIVE, X, 100 * ETHER, 100 * ETHER)
    for _ in range(200):
        world.block()
    assert world.book.price(X).trusted
    world.set(row, 200 * ETHER, 50 * ETHER)
    world.block()
    moved = world.book.price(X)
    assert moved.spot == pytest.approx(4.0)
    share = 1 - math.exp(-12 / 1200)
    assert moved.average == pytest.approx(4.0**share)
    assert not moved.trusted
    assert moved.as_gain == moved.average
    assert moved.as_cost == moved.spot


def test_a_token_is_trusted_after_a_whole_window_only():
    world = World(window_s=36)
    world.pair(NATIVE, X, ETHER, ETHER)
    trusted = []
    for _ in range(5):
        world.block()
        trusted.append(world.book.price(X).trusted)
    assert trusted == [False, False, False, True, True]


def test_a_pool_that_leaves_tells_nothing_more():
    world = World()
    world.pair(NATIVE, USDC, ETHER, 10**6)
    row = world.pair(NATIVE, X, ETHER, ETHER)
    world.block()
    world.book.leave(row)
    world.block()
    assert world.book.price(X) is None
    assert world.book.price(USDC) is not None


def test_a_dead_row_tells_nothing():
    world = World()
    row = world.pair(NATIVE, X, ETHER, ETHER)
    world.memory.set_alive(row, alive=False)
    write_image(world.memory.table, row)
    world.block()
    assert world.book.price(X) is None


def test_unwinding_and_going_on_is_as_if_the_other_branch_had_not_been():
    rng = np.random.default_rng(3)
    straight, forked = World(), World()
    for world in (straight, forked):
        world.rows = [
            world.pair(NATIVE, USDC, 10 * ETHER, 10**10),
            world.pair(USDC, X, 10**10, ETHER),
        ]
    steps = [
        (int(rng.integers(1, 100)) * ETHER, int(rng.integers(1, 100)) * 10**9) for _ in range(12)
    ]
    for a, b in steps[:5]:
        for world in (straight, forked):
            world.set(world.rows[0], a, b)
            world.block()
    fork_at, time = ref(forked.number), forked.time
    for n in range(3):
        forked.set(forked.rows[0], (n + 1) * ETHER, 7)
        forked.pair(NATIVE, Y, ETHER, ETHER)
        forked.time += 13
        forked.book.observe(ref(forked.number + n + 1, fork=1), forked.time)
    forked.book.unwind(fork_at)
    forked.time = time
    for a, b in steps[5:]:
        for world in (straight, forked):
            world.set(world.rows[0], a, b)
            world.block()
    for token in (NATIVE, USDC, X):
        assert straight.book.price(token) == forked.book.price(token)


def test_unwinding_behind_what_is_kept_forgets_all():
    world = World(window_s=12)
    world.pair(NATIVE, X, ETHER, ETHER)
    for _ in range(20):
        world.block()
    world.book.unwind(ref(1))
    world.block()
    assert not world.book.price(X).trusted
    assert world.book.price(X).average == world.book.price(X).spot

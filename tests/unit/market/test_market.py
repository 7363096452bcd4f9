"""The market against a chain in memory: what it holds equals what the node answers."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from searcher.domain.errors import InvariantBroken, Misconfigured, NodeUnreachable, Rejected
from searcher.domain.events import Log
from searcher.domain.ports import TokenProof
from searcher.kernels.curves import DEAD
from searcher.market import concentrated
from searcher.market.market import Market
from searcher.market.protocol import Announcement
from searcher.market.protocols import uniswap_v2, uniswap_v3
from searcher.market.settings import DexSettings, TokenSettings
from tests.kernels.concentrated_pools import curve_of
from tests.unit.market.images import bytes_of
from tests.unit.market.world import (
    CHAIN,
    DAI,
    DEXES,
    FACTORIES,
    TOKENS,
    UNNAMED,
    USDC,
    WBTC,
    WETH,
    World,
    data,
    make_market,
    prove_all,
    selector,
    topic,
)


def exact(market):
    """What the market says of each pool, as the world's pools say it."""
    found = {}
    for row, pool in enumerate(market.pools):
        state = market.state(row)
        found[pool.address] = (
            ((state.reserve0, state.reserve1), None)
            if pool.protocol == "uniswap_v2"
            else (None, curve_of(state))
        )
    return found


def truth(world):
    return {a: (p.reserves, p.curve) for a, p in world.pools.items()}


def image(market):
    """Every byte that a search could see."""
    return bytes_of(market.memory), repr(exact(market)), repr(market.views())


def searched(market, pool):
    row = market.row(pool)
    return bool((market.memory.rate[2 * row : 2 * row + 2] > DEAD).any())


def test_topics_and_selectors_are_those_of_the_signatures():
    assert topic("PairCreated(address,address,address,uint256)") == uniswap_v2.PAIR_CREATED
    assert topic("Sync(uint112,uint112)") == uniswap_v2.SYNC
    assert selector("getReserves()") == uniswap_v2.GET_RESERVES
    assert topic("PoolCreated(address,address,uint24,int24,address)") == uniswap_v3.POOL_CREATED
    assert topic("Initialize(uint160,int24)") == uniswap_v3.INITIALIZE
    assert topic("Mint(address,address,int24,int24,uint128,uint256,uint256)") == uniswap_v3.MINT
    assert topic("Burn(address,int24,int24,uint128,uint256,uint256)") == uniswap_v3.BURN
    assert topic("Swap(address,address,int256,int256,uint160,uint128,int24)") == uniswap_v3.SWAP
    for name in ("slot0()", "liquidity()", "tickBitmap(int16)", "ticks(int24)"):
        constant = {"tickBitmap(int16)": "TICK_BITMAP"}.get(name, name.partition("(")[0].upper())
        assert selector(name) == getattr(concentrated, constant)


async def test_bootstrap_finds_and_reads_every_pool(world, market):
    assert exact(market) == truth(world)
    assert market.head == world.head
    statistics = market.statistics()
    assert (statistics.pools, statistics.searched) == (4, 4)
    assert all(searched(market, pool) for pool in world.pools)


async def test_a_range_that_the_node_refuses_is_halved(world):
    for _ in range(20):
        world.create_v2("v2", WETH, WBTC, 1, 1)
        world.seal()
    world.most_logs = 4
    market = make_market()
    await market.bootstrap(world, world.head)
    assert exact(market) == truth(world)


async def test_a_node_that_refuses_a_single_block_ends_the_search(world):
    world.most_logs = 0
    with pytest.raises(Rejected, match="more than"):
        await make_market().bootstrap(world, world.head)


async def test_an_unreachable_node_is_not_asked_for_less(world):
    async def call(method, params=()):
        world.requests.append(f"{method} x {len(params)}")
        raise NodeUnreachable("the node at x does not answer: start it")

    world.call = call
    with pytest.raises(NodeUnreachable):
        await make_market().bootstrap(world, world.head)
    assert world.requests == ["eth_getLogs x 1"]


async def test_only_configured_tokens_are_followed_unless_told_otherwise(world):
    pool = world.create_v2("v2", WETH, UNNAMED, 5, 5)
    world.seal()
    narrow, wide = make_market(), make_market(only_configured_tokens=False)
    for market in (narrow, wide):
        await market.bootstrap(world, world.head)
    assert narrow.row(pool) is None
    assert wide.row(pool) is not None
    assert wide.decimals(UNNAMED) == 18
    world.create_v2("v2", DAI, UNNAMED, 5, 5)
    narrow.apply(world.seal())
    assert narrow.statistics().not_followed == {
        "a token that is not configured": 1,
        "a log of a pool that is not followed": 1,
    }


async def test_a_token_without_decimals_is_set_aside(world):
    pool = world.create_v2("v2", WETH, UNNAMED, 5, 5)
    world.seal()
    world.broken.add(UNNAMED)
    market = make_market(only_configured_tokens=False)
    await market.bootstrap(world, world.head)
    prove_all(market)
    assert market.why_not(market.row(pool)).startswith("decimals: the call was refused")
    assert not searched(market, pool)


async def test_a_pool_that_does_not_answer_is_set_aside(world):
    pool = next(iter(world.pools))
    world.broken.add(pool)
    market = make_market()
    await market.bootstrap(world, world.head)
    prove_all(market)
    assert "the call was refused" in market.why_not(market.row(pool))
    assert market.statistics().searched == 3


async def test_pools_beyond_the_limit_are_counted(world):
    market = make_market(most_pools=3)
    await market.bootstrap(world, world.head)
    assert len(market.pools) == 3
    assert market.statistics().not_followed == {"beyond most_pools": 1}


async def test_new_pools_are_followed_from_their_first_log(world, market):
    second = world.create_v3(USDC, DAI, 500, 100, [(-1000, 1000, 10**18)])
    third = world.create_v2("fork", WETH, USDC, 10**18, 10**9)
    empty = world.create_v3(WBTC, DAI, 500)
    delta = market.apply(world.seal())
    assert exact(market) == truth(world)
    assert delta.rows == tuple(market.row(p) for p in (second, third, empty))
    assert delta.entered == delta.rows[:2]
    assert not market.unproven() or all(token != WBTC for token, _ in market.unproven())
    assert searched(market, second)
    assert not searched(market, empty)


async def test_a_block_that_does_not_follow_is_refused(world, market):
    world.seal()
    with pytest.raises(InvariantBroken, match="does not build on the market's head"):
        market.apply(world.seal())


# ---- following: any history of actions leaves the exact state of the chain

ticks = st.integers(-60, 60).map(lambda n: n * 60)
actions = st.one_of(
    st.tuples(st.just("swap"), st.integers(0, 3), st.integers(10**9, 10**23), st.booleans()),
    st.tuples(st.just("mint"), ticks, ticks, st.integers(1, 10**23)),
    st.tuples(st.just("burn"), st.integers(0, 5), st.floats(0.01, 1.0), st.none()),
    st.tuples(st.just("seal"), st.none(), st.none(), st.none()),
)


class Player:
    """Plays actions on the world and remembers the positions."""

    def __init__(self, world):
        self.world = world
        self.pools = list(world.pools)
        self.v3 = next(a for a, p in world.pools.items() if p.curve is not None)
        self.positions = []

    def play(self, action):
        kind, a, b, c = action
        if kind == "swap":
            pool = self.pools[a]
            fake = self.world.pools[pool]
            amount = b
            if fake.reserves is not None:
                amount = b % (fake.reserves[0 if c else 1] // 2) + 10**8
            try:
                self.world.swap(pool, amount, zero_for_one=c)
            except ValueError:
                return
        elif kind == "mint" and a < b:
            self.world.mint(self.v3, a, b, c)
            self.positions.append((a, b, c))
        elif kind == "burn" and self.positions:
            lower, upper, size = self.positions.pop(a % len(self.positions))
            part = max(1, int(size * b))
            self.world.burn(self.v3, lower, upper, part)
            if part < size:
                self.positions.append((lower, upper, size - part))


same_fixture = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def copy_pools(market, other):
    """Give another market the pools of this one, with their states and tokens' proofs."""
    for number, pool in enumerate(market.pools):
        said = Announcement(
            pool.id, pool.address, pool.tokens, pool.fee_pips, pool.tick_spacing, None
        )
        other._intake.add(pool.dex, pool.protocol, said, pool.tokens)
        other._intake.take_state(number, market.state(number))
    other.head = market.head
    prove_all(other)


def twin(world, market):
    """Both again as they are, so that every example starts from the same state."""
    other = World()
    other.__dict__.update(
        {k: v.copy() if hasattr(v, "copy") else v for k, v in world.__dict__.items()}
    )
    other.pools = {a: dataclasses.replace(p) for a, p in world.pools.items()}
    copy = make_market()
    copy_pools(market, copy)
    return other, copy


@same_fixture
@given(history=st.lists(actions, max_size=25))
async def test_after_any_blocks_the_market_is_the_chain(world, market, history):
    world, market = twin(world, market)
    player = Player(world)
    for action in history:
        if action[0] == "seal":
            market.apply(world.seal())
            assert exact(market) == truth(world)
        player.play(action)
    market.apply(world.seal())
    assert exact(market) == truth(world)
    assert market.statistics().malformed == {}
    fresh = make_market()
    copy_pools(market, fresh)
    for name in ("uniswap_v2", "uniswap_v3"):
        await fresh._intake.read_pools(world, world.head, name)
    assert [fresh.state(n) for n in range(4)] == [market.state(n) for n in range(4)]


@same_fixture
@given(history=st.lists(actions.filter(lambda a: a[0] != "seal"), min_size=1, max_size=12))
def test_an_overlay_is_the_state_behind_and_is_taken_off_exactly(world, market, history):
    world, market = twin(world, market)
    before = image(market)
    player = Player(world)
    effects = world.pending(lambda: [player.play(action) for action in history])
    with market.overlay(effects) as delta:
        inside = exact(market)
        changed = {market.pools[row].address for row in delta.rows}
    assert image(market) == before
    player = Player(world)
    for action in history:
        player.play(action)
    assert inside == truth(world)
    assert changed == {log.address for log in effects.logs}


async def test_an_overlay_is_taken_off_when_its_body_fails(world, market):
    before = image(market)
    pool = next(iter(world.pools))
    effects = world.pending(lambda: world.swap(pool, 10**19, zero_for_one=True))

    def fail():
        with market.overlay(effects):
            assert image(market) != before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert image(market) == before


async def test_overlays_nest(world, market):
    first, second, *_ = world.pools
    one = world.pending(lambda: world.swap(first, 10**19, zero_for_one=True))
    two = world.pending(lambda: world.swap(second, 10**19, zero_for_one=True))
    before = image(market)
    with market.overlay(one):
        between = image(market)
        with market.overlay(two):
            assert image(market) != between
        assert image(market) == between
    assert image(market) == before


@pytest.mark.parametrize("kind", ["failed", "stale"])
async def test_what_does_not_hold_on_the_head_is_not_laid(world, market, kind):
    pool = next(iter(world.pools))
    effects = world.pending(
        lambda: world.swap(pool, 10**19, zero_for_one=True), succeeded=kind != "failed"
    )
    if kind == "stale":
        market.apply(world.seal())
    before = image(market)
    with market.overlay(effects) as delta:
        assert delta.rows == ()
        assert image(market) == before


# ---- bad input


def bad_logs(v2, v3):
    sync, swap = topic("Sync(uint112,uint112)"), uniswap_v3.SWAP
    position = ("0x" + "00" * 32, "0x" + f"{60:064x}", "0x" + f"{120:064x}")
    return {
        "short data": Log(v2, (sync,), "0x" + "00" * 63),
        "too many topics": Log(v2, (sync, sync), data(1, 1)),
        "not hex": Log(v2, (sync,), "0x" + "zz" * 64),
        "a sign for a digit": Log(v2, (sync,), "0x+" + "0" * 62 + "1" + f"{5:064x}"),
        "beyond uint112": Log(v2, (sync,), data(2**112, 1)),
        "price outside": Log(v3, (swap, swap, swap), data(1, 1, 1, 10**22, 0)),
        "missed log": Log(v3, (swap, swap, swap), data(1, 1, 2**96, 7, 0)),
        "burn of nothing there": Log(v3, (uniswap_v3.BURN, *position), data(10**30, 0, 0)),
        "off the spacing": Log(
            v3, (uniswap_v3.MINT, *position[:2], "0x" + f"{121:064x}"), data(1, 1, 0, 0)
        ),
        "a topic cut short": Log(v3, (uniswap_v3.MINT, *position[:2], "0x12"), data(1, 1, 0, 0)),
        "a second Initialize": Log(v3, (uniswap_v3.INITIALIZE,), data(2**96, 0)),
    }


@pytest.mark.parametrize("name", bad_logs("", ""))
async def test_a_malformed_log_sets_its_pool_aside_until_a_rebuild(world, market, name):
    pools = list(world.pools)
    log = bad_logs(pools[0], pools[2])[name]
    others = [p for p in pools if p != log.address]
    world.swap(others[0], 10**18, zero_for_one=True)
    world.emit_raw(log)
    market.apply(world.seal())
    assert market.why_not(market.row(log.address)).startswith("a log that does not fit")
    assert not searched(market, log.address)
    assert sum(market.statistics().malformed.values()) == 1
    expected = truth(world)
    assert all(exact(market)[p] == expected[p] for p in others)
    await market.rebuild(world, world.head)
    assert exact(market) == expected
    assert searched(market, log.address)


async def test_a_malformed_log_of_a_pending_transaction_hides_its_pool_meanwhile(world, market):
    pool = next(iter(world.pools))
    bad = Log(pool, (uniswap_v2.SYNC,), "0x")
    effects = msgspec.structs.replace(world.pending(lambda: None), logs=(bad,))
    before = image(market)
    with market.overlay(effects) as delta:
        assert delta.rows == (market.row(pool),)
        assert not searched(market, pool)
    assert image(market) == before


async def test_a_malformed_announcement_is_counted(world, market):
    created = topic("PairCreated(address,address,address,uint256)")
    world.emit_raw(Log(FACTORIES["v2"], (created,), "0x"))
    market.apply(world.seal())
    assert market.statistics().not_followed == {"v2: malformed announcement": 1}


async def test_foreign_logs_change_nothing(world, market):
    pool = next(iter(world.pools))
    world.emit_raw(Log(pool, (topic("Transfer(address,address,uint256)"),), "0x"))
    world.emit_raw(Log(pool, (), "0x"))
    world.emit_raw(Log(UNNAMED, (uniswap_v2.SYNC,), "0x"))
    delta = market.apply(world.seal())
    assert delta.rows == ()


async def test_a_rebuild_follows_a_reorg(world, market):
    pools = list(world.pools)
    height = world.head.number
    world.swap(pools[0], 10**19, zero_for_one=True)
    gone = world.create_v2("v2", WETH, WBTC, 10**18, 10**9)
    market.apply(world.seal())
    prove_all(market)
    assert searched(market, gone)
    world.fork(height)
    world.swap(pools[1], 10**18, zero_for_one=False)
    world.seal()
    new = world.create_v2("fork", DAI, USDC, 10**18, 10**9)
    world.seal()
    await market.rebuild(world, world.head)
    prove_all(market)
    held = exact(market)
    assert {p: held[p] for p in world.pools} == truth(world)
    assert gone not in world.pools
    assert not searched(market, gone)
    assert "answered 0 bytes" in market.why_not(market.row(gone))
    assert searched(market, new)


# ---- standing


async def test_tokens_count_only_when_proven(world):
    market = make_market()
    await market.bootstrap(world, world.head)
    assert market.statistics().searched == 0
    unproven = dict(market.unproven())
    assert set(unproven) == {WETH, DAI, USDC}
    assert all(token in market_tokens(world, pool) for token, pool in unproven.items())
    topology = market.topology
    market.mark_proven(
        [
            TokenProof(WETH, sound=True, reason=""),
            TokenProof(DAI, sound=True, reason=""),
            TokenProof(USDC, sound=False, reason="transfer delivers 9900 of 10000"),
        ]
    )
    assert market.topology > topology
    assert market.unproven() == []
    assert market.statistics().set_aside == {"transfer delivers 9900 of 10000": 1}
    assert market.statistics().searched == 3


def market_tokens(world, pool):
    return world.pools[pool].token0, world.pools[pool].token1


async def test_setting_aside_outlives_logs_and_rebuilds(world, market):
    pool = next(iter(world.pools))
    market.set_aside(pool, "the owner says so")
    world.swap(pool, 10**18, zero_for_one=True)
    market.apply(world.seal())
    assert not searched(market, pool)
    await market.rebuild(world, world.head)
    assert market.why_not(market.row(pool)) == "the owner says so"
    assert not searched(market, pool)


@pytest.mark.parametrize(
    ("name", "dex", "message"),
    [
        (
            "x",
            DexSettings(protocol="uniswap_v2", factory=WETH),
            "dexes.x.fee_pips is missing: write",
        ),
        (
            "x",
            DexSettings(protocol="uniswap_v3", factory=WETH, fee_pips=3000),
            "dexes.x.fee_pips has no meaning",
        ),
        ("x", DexSettings(protocol="uniswap_v33", factory=WETH), "did you mean 'uniswap_v3'"),
        (
            "x",
            DexSettings(protocol="curve_stable", factory=WETH),
            "'curve_stable', whose pools are quoted and not followed",
        ),
        ("x", DEXES["v2"], "dexes.x.factory is that of v2 too"),
    ],
)
def test_settings_that_do_not_fit_are_refused(name, dex, message):
    with pytest.raises(Misconfigured, match=message):
        Market(CHAIN, wrapped_native=WETH, tokens=TOKENS, dexes={**DEXES, name: dex})


def test_tokens_are_named_or_written_out():
    market = make_market()
    assert market.token("USDC") == USDC
    assert market.token(UNNAMED) == UNNAMED
    with pytest.raises(Misconfigured, match="did you mean 'USDC'"):
        market.token("USDX")
    with pytest.raises(Misconfigured, match="not an address"):
        market.token("0x12")


async def test_many_pools_are_held(world):
    for _ in range(300):
        world.create_v2("v2", WETH, WBTC, 10**18, 10**9)
    world.create_v3(WETH, WBTC, 3000, 0, [(-600, 600, 10**18)])
    world.seal()
    market = make_market()
    await market.bootstrap(world, world.head)
    prove_all(market)
    assert exact(market) == truth(world)
    assert (market.memory.rate[: 2 * len(market.pools)] > DEAD).all()


def test_token_settings_know_their_range():
    with pytest.raises(ValueError, match="less than or equal to 77"):
        TokenSettings(address=WETH, decimals=78)

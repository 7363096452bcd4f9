"""The scanner against a chain in memory, and against every cycle there is."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from searcher.domain.clock import SystemClock
from searcher.domain.errors import Misconfigured
from searcher.domain.units import BPS
from searcher.kernels.refusal import SwapRefused
from searcher.opportunities.scanner import Scanner
from searcher.opportunities.settings import AmountLimits, CycleSettings
from searcher.opportunities.strategy import STRATEGIES, Trigger
from tests.unit.market.world import DAI, USDC, WBTC, WETH, World, make_market, prove_all

E18 = 10**18
CHEAP = {
    "least_profit_gwei": Decimal(1),
    "gas_share_bps": 10_000,
    "splits": False,
}


def scanner_of(market, priority_fee_wei=0, **knobs):
    config = CycleSettings(**(CHEAP | knobs))
    strategies = [STRATEGIES.load(name)(config) for name in STRATEGIES.names()]
    return Scanner(market, strategies, clock=SystemClock(), priority_fee_wei=priority_fee_wei)


async def market_of(world, **discovery):
    market = make_market(**discovery)
    await market.bootstrap(world, world.head)
    prove_all(market)
    return market


async def on_block(world, **knobs):
    """What a scanner with these knobs finds after a block, and the world sealed."""
    market = await market_of(world)
    scanner = scanner_of(market, **knobs)
    delta = market.apply(world.seal())
    return scanner.on_block(delta, world.context(1), 5), scanner, market


def balanced():
    """Pools of three tokens at one price, with nothing to earn but through a swap."""
    world = World()
    world.create_v2("v2", WETH, DAI, 1000 * E18, 1000 * E18)
    world.create_v2("fork", WETH, DAI, 1000 * E18, 1000 * E18)
    positions = [(-887220, 887220, 1000 * E18), (-1200, 1200, 5000 * E18)]
    world.create_v3(WETH, DAI, 3000, 0, positions)
    world.create_v2("v2", WETH, USDC, 1000 * E18, 1000 * 10**6)
    world.create_v2("v2", DAI, USDC, 1000 * E18, 1000 * 10**6)
    world.seal()
    return world


def replayed(world, opportunity):
    """Swap the hops on the world's own pools; return what the cycle and the conversion leave."""
    for hop in (*opportunity.hops, *opportunity.conversion):
        assert world.swap(hop.pool, hop.amount_in, zero_for_one=hop.zero_for_one) == hop.amount_out
    left = opportunity.amount_out - opportunity.amount_in
    return opportunity.conversion[-1].amount_out if opportunity.conversion else left


def check_chained(opportunity):
    hops = opportunity.hops
    assert all(a.amount_out == b.amount_in for a, b in pairwise(hops))
    assert all(a.token_out == b.token_in for a, b in pairwise(hops))
    assert hops[0].token_in == hops[-1].token_out
    profit = hops[-1].amount_out - hops[0].amount_in
    if opportunity.conversion:
        assert opportunity.conversion[0].amount_in == profit
        assert opportunity.conversion[-1].token_out == WETH
        assert opportunity.gross_wei == opportunity.conversion[-1].amount_out
    else:
        assert hops[0].token_in == WETH
        assert opportunity.gross_wei == profit
    assert len(opportunity.pools) == len(hops) + len(opportunity.conversion)


async def test_a_market_in_balance_holds_nothing():
    found, scanner, _ = await on_block(balanced())
    assert found == []
    assert scanner.statistics().blocks == 1


async def test_an_arbitrage_is_exact_to_the_wei():
    world = balanced()
    v2, *_ = world.pools
    world.swap(v2, 30 * E18, zero_for_one=True)
    (best, *_), _, market = await on_block(world)
    check_chained(best)
    assert best.id == f"testchain-0-{world.head.number}-0"
    assert (best.strategy, best.behind, best.received_ns) == ("arbitrage", (), 5)
    assert (best.parent, best.target_block) == (world.head, world.head.number + 1)
    assert best.net_wei == best.gross_wei - best.gas_estimate * 1
    assert replayed(world, best) == best.gross_wei
    assert market.state(0) is not None


async def test_opportunities_of_a_block_share_no_pool():
    world = balanced()
    v2, _, _, usdc_weth, _ = world.pools
    world.swap(v2, 50 * E18, zero_for_one=True)
    world.swap(usdc_weth, 40 * E18, zero_for_one=True)
    found, _, _ = await on_block(world)
    assert len(found) >= 2
    assert [o.net_wei for o in found] == sorted((o.net_wei for o in found), reverse=True)
    pools = [pool for o in found for pool in o.pools]
    assert len(pools) == len(set(pools))
    assert [o.id.rpartition("-")[2] for o in found] == [str(i) for i in range(len(found))]
    # Sharing no pool, all of them can land in one block, each with what it promised.
    for opportunity in found:
        check_chained(opportunity)
        assert replayed(world, opportunity) == opportunity.gross_wei
    one, _, _ = await on_block(world, max_opportunities=1)
    assert len(one) <= 1


async def test_what_was_not_taken_is_found_again_in_the_next_block():
    world = balanced()
    v2, *_ = world.pools
    world.swap(v2, 30 * E18, zero_for_one=True)
    market = await market_of(world)
    scanner = scanner_of(market)
    first = scanner.on_block(market.apply(world.seal()), world.context(1), 0)
    again = scanner.on_block(market.apply(world.seal()), world.context(1), 0)
    assert first[0].hops == again[0].hops
    assert first[0].id != again[0].id


async def test_a_backrun_follows_the_swap_that_opens_it():
    world = balanced()
    v2, *_ = world.pools
    market = await market_of(world)
    scanner = scanner_of(market)
    effects = world.pending(lambda: world.swap(v2, 30 * E18, zero_for_one=True))
    (found,) = scanner.on_pending(effects, world.context(1))
    check_chained(found)
    assert found.strategy == "backrun"
    assert found.behind == (effects.tx,)
    assert v2 in found.pools
    assert found.received_ns == effects.tx.received_ns
    # The user's swap first, then the hops: everything comes out as promised.
    world.swap(v2, 30 * E18, zero_for_one=True)
    assert replayed(world, found) == found.gross_wei
    # Nothing of it stays in the market or in the book.
    quiet = world.pending(lambda: None)
    assert scanner.on_pending(quiet, world.context(1)) == []
    assert scanner.on_pending(effects, world.context(1))[0].hops == found.hops


async def test_only_cycles_through_what_the_transaction_changed_are_offered():
    world = balanced()
    v2, fork, *_ = world.pools
    other = world.create_v2("v2", WETH, WBTC, 1000 * E18, 1000 * 10**8)
    world.create_v2("fork", WETH, WBTC, 1000 * E18, 1300 * 10**8)
    world.seal()
    market = await market_of(world)
    scanner = scanner_of(market, hops_most=2)
    quiet = world.pending(lambda: world.swap(v2, E18 // 1000, zero_for_one=True))
    assert scanner.on_pending(quiet, world.context(1)) == []
    loud = world.pending(lambda: world.swap(fork, 30 * E18, zero_for_one=True))
    (found,) = scanner.on_pending(loud, world.context(1))
    assert fork in found.pools
    assert other not in found.pools


async def test_the_search_behind_a_transaction_leaves_the_book_as_it_was():
    world = balanced()
    v2, *_ = world.pools
    market = await market_of(world)
    scanner = scanner_of(market)
    scanner.on_pending(world.pending(lambda: None), world.context(1))
    (searches,) = scanner._searches.values()
    book = searches.book
    before = book._best.copy()
    scanner.on_pending(
        world.pending(lambda: world.swap(v2, 30 * E18, zero_for_one=True)), world.context(1)
    )
    assert (book._best == before).all()


async def test_failed_and_stale_transactions_are_counted():
    world = balanced()
    v2, *_ = world.pools
    market = await market_of(world)
    scanner = scanner_of(market)

    def swap():
        world.swap(v2, 30 * E18, zero_for_one=True)

    failed, stale = world.pending(swap, succeeded=False), world.pending(swap)
    assert scanner.on_pending(failed, world.context(1)) == []
    delta = market.apply(world.seal())
    assert scanner.on_pending(stale, world.context(1)) == []
    market.apply(world.seal())
    assert scanner.on_block(delta, world.context(1), 0) == []
    refused = scanner.statistics().refused
    assert refused["the transaction fails"] == 1
    assert refused["another parent than the market's head"] == 2


async def test_profit_in_another_token_is_converted():
    world = balanced()
    _, _, _, _, v2 = world.pools
    world.create_v2("fork", DAI, USDC, 1000 * E18, 1000 * 10**6)
    world.swap(v2, 30 * E18, zero_for_one=True)
    (best, *_), _, _ = await on_block(world, start_tokens=("DAI",), hops_most=2)
    assert best.hops[0].token_in == DAI
    assert best.conversion
    check_chained(best)
    assert replayed(world, best) == best.gross_wei


async def test_profit_that_cannot_be_converted_is_not_offered():
    world = World()
    world.create_v2("v2", DAI, USDC, 1000 * E18, 1000 * 10**6)
    world.create_v2("fork", DAI, USDC, 1300 * E18, 1000 * 10**6)
    world.create_v2("v2", WETH, WBTC, 10 * E18, 10**9)
    world.seal()
    found, _, _ = await on_block(world, start_tokens=("DAI",))
    assert found == []


async def test_conversion_may_take_two_hops_over_a_start_token():
    world = World()
    world.create_v2("v2", DAI, USDC, 1000 * E18, 1000 * 10**6)
    world.create_v2("fork", DAI, USDC, 1300 * E18, 1000 * 10**6)
    world.create_v2("v2", DAI, WBTC, 1000 * E18, 10**9)
    world.create_v2("v2", WETH, WBTC, 10 * E18, 10**9)
    world.seal()
    found, _, _ = await on_block(world, start_tokens=("DAI", "WBTC"))
    assert [len(o.conversion) for o in found] == [2]
    check_chained(found[0])
    assert replayed(world, found[0]) == found[0].gross_wei


# ---- knobs


async def opened(**knobs):
    world = balanced()
    world.swap(next(iter(world.pools)), 30 * E18, zero_for_one=True)
    return (await on_block(world, **knobs))[0], world


async def test_denied_and_allowed_pools_and_tokens_are_obeyed():
    every, world = await opened()
    v2, fork, v3, *_ = world.pools
    denied, _ = await opened(pools_denied=(v2,))
    assert denied == []
    allowed, _ = await opened(pools_allowed=(v2, fork))
    assert {pool for o in allowed for pool in o.pools} == {v2, fork}
    without, _ = await opened(tokens_denied=("DAI",))
    assert all(DAI not in (h.token_in, h.token_out) for o in without for h in o.hops)
    only, _ = await opened(tokens_allowed=("WETH", DAI))
    assert {h.token_out for o in only for h in o.hops} == {WETH, DAI}
    assert every
    assert v3


async def test_amounts_stay_within_their_limits():
    (free, *_), _ = await opened(hops_most=2)
    most = Decimal(free.amount_in) / E18 / 2
    (capped, *_), _ = await opened(hops_most=2, amounts={"WETH": AmountLimits(most=most)})
    assert capped.amount_in <= most * E18
    assert capped.gross_wei < free.gross_wei
    least = Decimal(free.amount_in) / E18 * Decimal("1.5")
    (raised, *_), _ = await opened(hops_most=2, amounts={"WETH": AmountLimits(least=least)})
    assert raised.amount_in >= int(least * E18) * (1 - 1e-12)
    assert raised.gross_wei < free.gross_wei


async def test_hops_stay_within_their_limits():
    three, _ = await opened(hops_least=3)
    assert three
    assert {len(o.hops) for o in three} == {3}
    two, _ = await opened(hops_most=2)
    assert {len(o.hops) for o in two} == {2}


async def test_what_earns_too_little_is_left():
    (free, *_), _ = await opened(hops_most=2)
    at = Decimal(free.net_wei) / 10**9
    assert (await opened(hops_most=2, least_profit_gwei=at))[0]
    dearer, _ = await opened(hops_most=2, least_profit_gwei=at + 1)
    assert all(o.net_wei > free.net_wei for o in dearer)
    assert dearer == []


async def test_gas_may_take_its_share_and_no_more():
    (free, *_), _ = await opened(hops_most=2)
    fee = free.gross_wei // free.gas_estimate // 4
    kept, _ = await opened(hops_most=2, priority_fee_wei=fee, gas_share_bps=2_600)
    assert kept
    share = (kept[0].gross_wei - kept[0].net_wei) * BPS // kept[0].gross_wei
    assert 2_400 <= share <= 2_600
    assert (await opened(hops_most=2, priority_fee_wei=fee, gas_share_bps=2_400))[0] == []


async def test_tokens_set_aside_leave_the_search():
    world = balanced()
    world.swap(next(iter(world.pools)), 30 * E18, zero_for_one=True)
    market = await market_of(world)
    scanner = scanner_of(market)
    market.set_aside(DAI, "transfer delivers 9900 of 10000")
    delta = market.apply(world.seal())
    assert scanner.on_block(delta, world.context(1), 0) == []


async def test_new_pools_join_the_search():
    world = World()
    world.create_v2("v2", WETH, DAI, 1000 * E18, 1000 * E18)
    world.seal()
    market = await market_of(world)
    scanner = scanner_of(market)
    world.create_v2("fork", WETH, DAI, 1000 * E18, 1100 * E18)
    delta = market.apply(world.seal())
    (found,) = scanner.on_block(delta, world.context(1), 0)
    assert replayed(world, found) == found.gross_wei


async def test_a_pool_of_a_block_taken_back_leaves_and_another_takes_its_row():
    world = World()
    world.create_v2("v2", WETH, DAI, 1000 * E18, 1000 * E18)
    world.create_v2("v2", WETH, WBTC, 1000 * E18, 1000 * 10**8)
    world.seal()
    market = await market_of(world)
    scanner = scanner_of(market)
    parent = world.head
    gone = world.create_v2("fork", WETH, DAI, 1000 * E18, 1100 * E18)
    delta = market.apply(world.seal())
    assert len(scanner.on_block(delta, world.context(1), 0)) == 1
    row = market.row(gone)
    scanner.follow(market.unwind(parent))
    (searches,) = scanner._searches.values()
    book = searches.book
    assert book.statistics().rows == 2
    assert book.edges(WETH, DAI) == [0]
    world.headers.pop(), world.sealed.pop(), world.pools.pop(gone)
    other = world.create_v2("fork", WETH, WBTC, 1000 * E18, 1100 * 10**8)
    delta = market.apply(world.seal())
    (found,) = scanner.on_block(delta, world.context(1), 0)
    assert market.row(other) == row
    assert other in found.pools
    assert book.edges(WETH, DAI) == [0]
    assert replayed(world, found) == found.gross_wei


async def test_a_candidate_without_amounts_is_sized_by_exact_quotes():
    world = balanced()
    world.swap(next(iter(world.pools)), 30 * E18, zero_for_one=True)
    market = await market_of(world)
    scanner = scanner_of(market)
    scanner.on_block(market.apply(world.seal()), world.context(1), 0)
    ((strategy, searches), *_) = scanner._strategies
    plain = scanner._evaluator(strategy, searches, world.context(1))
    known = searches.book.search()[0]
    bare = known._replace(amounts=())
    expected, walked = plain.confirm(known), plain.confirm(bare)
    assert walked.hops == expected.hops
    assert (walked.net_wei, walked.gas_estimate) == (expected.net_wei, expected.gas_estimate)
    asked = []

    def half(market, block, edges, amount, *, least, most):
        asked.append((edges, amount, least, most))
        quotes, goes_in = [], amount // 2
        for edge in edges:
            quotes.append(market.quote(edge >> 1, block, goes_in, zero_for_one=edge & 1 == 0))
            goes_in = quotes[-1].realised
        return amount // 2, quotes

    scanner._refine = half
    sized = scanner._evaluator(strategy, searches, world.context(1)).confirm(bare)
    assert asked == [(known.edges, known.amount_in, 0.0, 2.0**112)]
    assert sized.hops[0].amount_in == known.amount_in // 2
    assert 0 < sized.gross_wei < expected.gross_wei
    scanner._refine = lambda *_, **__: (0, ())
    assert scanner._evaluator(strategy, searches, world.context(1)).confirm(bare) is None


async def test_cycles_beyond_the_limit_are_counted():
    _, scanner, _ = await on_block(balanced(), max_cycles=2)
    (searches,) = scanner.statistics().searches
    book = searches.book
    # There and back over one pair fits; the two ways round the triangle do not.
    assert (book.cycles, book.pairs_left_out) == (1, 1)


def test_unknown_tokens_are_refused_by_name():
    with pytest.raises(Misconfigured, match="did you mean 'WETH'"):
        scanner_of(make_market(), start_tokens=("WETHH",))


@pytest.mark.parametrize(
    "knobs", [{"hops_least": 4, "hops_most": 3}, {"amounts": {"WETH": {"least": 2, "most": 1}}}]
)
def test_limits_the_wrong_way_round_are_refused(knobs):
    with pytest.raises(ValidationError, match="swap them"):
        CycleSettings(**knobs)


def test_every_strategy_has_a_trigger_and_knobs_that_explain_themselves():
    assert STRATEGIES.names() == ["arbitrage", "backrun"]
    for name in STRATEGIES.names():
        plugin = STRATEGIES.load(name)
        assert plugin.trigger in Trigger
        assert plugin(plugin.Config()).name == name
        for field in plugin.Config.model_fields.values():
            assert field.description
            assert "unit" in field.json_schema_extra


# ---- everything that pays is found

prices = st.floats(0.95, 1.05)
depths = st.integers(10**20, 10**22)
tokens = st.sampled_from([WETH, DAI, WBTC])


@st.composite
def worlds(draw):
    world = World()
    for _ in range(draw(st.integers(2, 6))):
        first, second = draw(st.tuples(tokens, tokens).filter(lambda pair: pair[0] < pair[1]))
        if draw(st.booleans()):
            depth = draw(depths)
            dex = draw(st.sampled_from(["v2", "fork"]))
            world.create_v2(dex, first, second, depth, int(depth * draw(prices)))
        else:
            tick = draw(st.integers(-500, 500))
            positions = [(-887220, 887220, draw(depths)), (-600, 600, draw(depths))]
            world.create_v3(first, second, 3000, tick, positions)
    world.seal()
    return world


def brute_force(world):
    """The best profit in wei of any cycle from WETH of two or three hops, in exact integers."""
    edges = {}
    for address, pool in world.pools.items():
        edges.setdefault((pool.token0, pool.token1), []).append((address, True))
        edges.setdefault((pool.token1, pool.token0), []).append((address, False))
    ways = [(WETH, a, WETH) for a in (DAI, WBTC)]
    ways += [(WETH, DAI, WBTC, WETH), (WETH, WBTC, DAI, WETH)]
    best = 0
    for stops in ways:
        cycles = [()]
        for pair in pairwise(stops):
            cycles = [(*c, e) for c in cycles for e in edges.get(pair, ()) if e[0] not in dict(c)]
        for cycle in cycles:
            best = max(best, best_profit(world, cycle))
    return best


def best_profit(world, cycle):
    low, high = 1, 10**23
    while high - low > 10**12:
        third = (high - low) // 3
        if profit(world, cycle, low + third) < profit(world, cycle, high - third):
            low += third
        else:
            high -= third
    return profit(world, cycle, (low + high) // 2)


def profit(world, cycle, amount):
    start = amount
    for pool, zero_for_one in cycle:
        kept = world.pools[pool]
        before = (kept.reserves, kept.curve)
        try:
            amount = world.swap(pool, amount, zero_for_one=zero_for_one)
        except SwapRefused:
            return -start
        finally:
            kept.reserves, kept.curve = before
    return amount - start


@settings(max_examples=40, deadline=None)
@given(worlds())
async def test_the_best_there_is_is_found(world):
    best = brute_force(world)
    world.logs = []
    found, _, _ = await on_block(world)
    got = max((o.gross_wei for o in found), default=0)
    if best > 10**13:
        assert got >= best * (1 - 1e-6)
    for opportunity in found:
        check_chained(opportunity)
        assert replayed(world, opportunity) == opportunity.gross_wei


async def test_a_split_is_taken_where_it_leaves_more_than_the_best_cycle():
    world = balanced()
    v2, *_ = world.pools
    world.swap(v2, 300 * E18, zero_for_one=True)
    (cycle, *_), _, _ = await on_block(world)
    (best, *others), _, _ = await on_block(world, splits=True)
    assert best.is_split
    assert best.net_wei > cycle.net_wei
    assert best.gross_wei == best.amount_out - best.amount_in
    assert all(best.pools.isdisjoint(other.pools) for other in others)
    assert replayed(world, best) == best.gross_wei


async def test_a_split_behind_a_pending_swap_is_exact_and_leaves_the_market_alone():
    world = balanced()
    v2, *_ = world.pools
    market = await market_of(world)
    market.apply(world.seal())
    scanner = scanner_of(market, splits=True)
    effects = world.pending(lambda: world.swap(v2, 300 * E18, zero_for_one=True))
    (best,) = scanner.on_pending(effects, world.context(1))
    assert best.is_split
    assert best.behind == (effects.tx,)
    assert scanner.on_block(market.apply(world.seal()), world.context(1), 0) == []
    world.swap(v2, 300 * E18, zero_for_one=True)
    assert replayed(world, best) == best.gross_wei


def ring(hops):
    """Return a world whose one profitable way is a ring of so many tokens, and their pools."""
    world = World()
    tokens = [WETH, *(f"0x{0xAA00 + n:040x}" for n in range(hops - 1)), WETH]
    for place, (token, following) in enumerate(pairwise(tokens)):
        low, high = sorted((token, following))
        bonus = 130 if place == 0 else 100
        reserves = {token: 1000 * E18, following: bonus * 10 * E18}
        world.create_v2("v2", low, high, reserves[low], reserves[high])
    world.seal()
    return world


@pytest.mark.parametrize("hops", [5, 6])
async def test_longer_cycles_are_found_between_blocks(hops):
    world = ring(hops)
    market = await market_of(world, only_configured_tokens=False)
    scanner = scanner_of(market)
    assert scanner.on_block(market.apply(world.seal()), world.context(1), 5) == []
    context = world.context(1)
    under_way = scanner.look_further(context)
    while under_way:
        under_way = not scanner.advance()
    (best,) = scanner.further(context, 5)
    assert len(best.hops) == hops
    assert replayed(world, best) == best.gross_wei > 0


async def test_longer_cycles_are_not_looked_for_when_that_is_off_or_the_head_moved():
    world = ring(5)
    market = await market_of(world, only_configured_tokens=False)
    scanner = scanner_of(market, further_hops_most=0)
    scanner.on_block(market.apply(world.seal()), world.context(1), 0)
    assert not scanner.look_further(world.context(1))
    assert scanner.further(world.context(1), 0) == []
    scanner = scanner_of(market)
    old = world.context(1)
    scanner.on_block(market.apply(world.seal()), world.context(1), 0)
    assert not scanner.look_further(old)
    assert scanner.further(old, 0) == []


async def test_the_strategy_of_the_lower_priority_number_gets_the_pool():
    world = balanced()
    v2, *_ = world.pools
    world.swap(v2, 30 * E18, zero_for_one=True)
    market = await market_of(world)
    kind = STRATEGIES.load("arbitrage")
    poor = kind(CycleSettings(**CHEAP, hops_most=2, priority=0), "first")
    rich = kind(CycleSettings(**CHEAP, hops_most=3, priority=1), "second")
    scanner = Scanner(market, [rich, poor], clock=SystemClock())
    found = scanner.on_block(market.apply(world.seal()), world.context(1), 0)
    assert found[0].strategy == "first"
    pools = [pool for opportunity in found for pool in opportunity.pools]
    assert len(pools) == len(set(pools))

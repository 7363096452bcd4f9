"""Markets put down and taken up again: equal to the bit, or refused and said."""

from __future__ import annotations

import asyncio
import os
from types import MappingProxyType

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from searcher.domain.clock import SystemClock
from searcher.domain.errors import InvariantBroken
from searcher.domain.registry import Registry
from searcher.kernels.memory import PIECEWISE
from searcher.market import copying, snapshot, snapshots
from searcher.market.market import Market
from searcher.market.protocol import Protocol
from searcher.market.protocols.uniswap_v2 import UniswapV2
from searcher.market.settings import DexSettings, DiscoverySettings, SnapshotSettings
from searcher.market.snapshot_file import SnapshotFile, stored
from searcher.market.snapshots import Snapshots
from tests.unit.market.chain import Chain
from tests.unit.market.world import (
    DAI,
    DEXES,
    FACTORIES,
    TOKENS,
    UNNAMED,
    USDC,
    WBTC,
    WETH,
    make_market,
    prove_all,
)

CHAIN_ID = 7
POSITIONS = [(-887220, 887220, 10**21), (-1200, 1200, 10**22), (-600, 60, 3 * 10**21)]


class JumpingClock(SystemClock):
    """The process's clock, which a test can set forward."""

    def __init__(self):
        self.ahead_ns = 0

    def monotonic_ns(self):
        return super().monotonic_ns() + self.ahead_ns


@pytest.fixture
def chain():
    chain = Chain()
    chain.pair = chain.create_v2("v2", WETH, DAI, 10**21, 10**21)
    chain.create_v2("fork", WETH, DAI, 10**21, 2 * 10**21)
    chain.create_v2("v2", WETH, UNNAMED, 10**21, 10**21)
    chain.create_v2("v2", WETH, WBTC, 0, 0)
    chain.pool = chain.create_v3(WETH, DAI, 3000, 0, POSITIONS)
    chain.create_v3(WETH, USDC, 500, 10, [(-1000, 1000, 10**20)])
    chain.seal()
    return chain


@pytest.fixture
async def market(chain):
    market = make_market(only_configured_tokens=False)
    await market.bootstrap(chain, chain.head, timestamp=chain.headers[-1].timestamp)
    prove_all(market)
    market.set_aside(UNNAMED, "it charges for transfers")
    trade(chain, market)
    return market


def trade(chain, market, blocks=1):
    for n in range(blocks):
        chain.swap(chain.pair, 10**15 + n, zero_for_one=n % 2 == 0)
        chain.swap(chain.pool, 10**18 + n, zero_for_one=n % 3 == 0)
        chain.mint(chain.pool, -60 * (n % 7 + 1), 60 * (n % 5 + 1), 10**18)
        if n % 4 == 0:
            chain.create_v2("v2", DAI, USDC, 10**20, 10**8)
        market.apply(chain.seal())


def image(market):
    """Everything that a search, a quote or a person could see of a market."""
    rows = market.memory.rows
    arrays = {name: part.tobytes() for name, part in market.memory.parts().items()}
    states = [market.state(number) for number in range(len(market.pools))]
    standing = [market.why_not(row) for row in range(rows)]
    tokens = {token for pool in market.pools for token in pool.tokens}
    decimals = {token: market.decimals(token) for token in tokens}
    return (
        market.head,
        list(market.pools),
        list(market.rows),
        arrays,
        states,
        standing,
        decimals,
        sorted(market.unproven()),
        [market.number(pool.id) for pool in market.pools],
    )


def snapshots_of(market, folder, *, chain_id=CHAIN_ID, clock=None, **settings):
    options = SnapshotSettings(**settings)
    return Snapshots(market, folder, options, chain_id=chain_id, clock=clock or SystemClock())


def empty(**discovery):
    return make_market(**{"only_configured_tokens": False, **discovery})


async def restored(chain, folder, market=None, **options):
    """Return a market taken up from a folder, the header it stands on, and the counters."""
    market = market or empty()
    taker = snapshots_of(market, folder, **options)
    header = await taker.restore(chain, chain.headers[-1])
    return market, header, taker.statistics()


async def test_a_market_comes_back_to_the_bit(chain, market, tmp_path):
    path = await snapshots_of(market, tmp_path).write()
    again, header, statistics = await restored(chain, tmp_path)
    assert header == chain.headers[-1]
    assert statistics.refused == {}
    assert stored(tmp_path) == [path]
    assert image(again) == image(market)
    whole = again.whole()
    assert whole.parent == market.head
    searched = [row for row in range(len(market.rows)) if not market.why_not(row)]
    assert (list(whole.rows), list(whole.entered)) == (list(range(len(market.rows))), searched)


async def test_a_restored_market_goes_on_as_the_other_does(chain, market, tmp_path):
    await snapshots_of(market, tmp_path).write()
    again, _, _ = await restored(chain, tmp_path)
    first = len(chain.headers)
    trade(chain, market, blocks=9)
    base = market.head
    for header, logs in zip(chain.headers[first:], chain.sealed[first:], strict=True):
        delta = again.apply(chain.applied(header, logs))
        assert delta.parent == header.ref
    assert again.head == base
    assert image(again) == image(market)
    back = chain.headers[first + 2].ref
    for each in (market, again):
        each.unwind(back)
    assert image(again) == image(market)


async def test_a_restored_market_equals_one_read_anew(chain, market, tmp_path):
    trade(chain, market, blocks=6)
    await snapshots_of(market, tmp_path).write()
    again, _, _ = await restored(chain, tmp_path)
    anew = empty()
    await anew.bootstrap(chain, chain.head)
    assert [again.state(n) for n in range(len(again.pools))] == [
        anew.state(anew.number(pool.id)) for pool in again.pools
    ]


async def test_a_pool_with_a_wrong_log_stays_out_until_it_is_read(chain, market, tmp_path):
    bad = replace(chain.sealed[-1][0], data="0x12")
    chain.emit_raw(bad)
    market.apply(chain.seal())
    await snapshots_of(market, tmp_path).write()
    again, _, _ = await restored(chain, tmp_path)
    assert again.why_not(again.row(bad.address)) == market.why_not(market.row(bad.address)) != ""
    chain.swap(chain.pair, 10**15, zero_for_one=True)
    again.apply(chain.seal())
    assert again.why_not(again.row(bad.address)) != ""


async def test_blocks_that_are_applied_meanwhile_are_in_it(chain, market, tmp_path, monkeypatch):
    monkeypatch.setattr(copying, "SLICE_BYTES", 4096)
    monkeypatch.setattr(copying, "MOST_AT_ONCE", 8)
    monkeypatch.setattr(snapshots, "SLICE_NS", 0)
    monkeypatch.setattr(snapshot, "_TOGETHER", 2)
    for _ in range(30):
        chain.create_v2("v2", WETH, WBTC, 10**20, 10**10)
    market.apply(chain.seal())
    at = {market.head: image(market)}
    began = market.head
    writing = asyncio.create_task(snapshots_of(market, tmp_path).write())
    while not writing.done():
        await asyncio.sleep(0)
        trade(chain, market)
        at[market.head] = image(market)
    assert await writing is not None
    again, header, _ = await restored(chain, tmp_path)
    assert began.number < header.number < market.head.number
    assert without_arrays(image(again)) == without_arrays(at[header.ref])


def without_arrays(kept):
    """Leave the arrays out: what lies in slots that are free may differ."""
    return [part for part in kept if not isinstance(part, dict) or "shape" not in part]


# ---- what is refused


async def refusal_of(chain, folder, cause, **options):
    market, header, statistics = await restored(chain, folder, **options)
    assert header is None
    assert market.head is None
    assert market.pools == []
    assert statistics.refused == {cause: 1}


async def test_of_another_chain(chain, market, tmp_path):
    await snapshots_of(market, tmp_path).write()
    await refusal_of(chain, tmp_path, "of another chain", chain_id=8)


async def test_of_another_chain_with_the_same_id(chain, market, tmp_path):
    writer = snapshots_of(market, tmp_path)
    await writer.restore(chain, chain.headers[-1])  # learns which chain it is
    await writer.write()
    chain.headers[0] = replace(chain.headers[0], hash="0x" + "00" * 32)
    await refusal_of(chain, tmp_path, "of another chain")


@pytest.mark.parametrize(
    "change",
    [
        {"most_pools": 19_999},
        {"only_configured_tokens": True},
    ],
)
async def test_of_another_configuration(chain, market, tmp_path, change):
    await snapshots_of(market, tmp_path).write()
    await refusal_of(chain, tmp_path, "of another configuration", market=empty(**change))


async def test_how_pools_are_looked_for_is_no_other_configuration(chain, market, tmp_path):
    await snapshots_of(market, tmp_path).write()
    _, header, _ = await restored(chain, tmp_path, market=empty(batch_calls=7, rescan_blocks=9))
    assert header is not None


async def test_of_another_fee(chain, market, tmp_path, monkeypatch):
    await snapshots_of(market, tmp_path).write()
    dex = DexSettings(protocol="uniswap_v2", factory=FACTORIES["v2"], fee_pips=2999)
    monkeypatch.setitem(DEXES, "v2", dex)
    await refusal_of(chain, tmp_path, "of another configuration")


async def test_of_other_decimals(chain, market, tmp_path, monkeypatch):
    await snapshots_of(market, tmp_path).write()
    monkeypatch.setitem(TOKENS, "DAI", TOKENS["DAI"].model_copy(update={"decimals": 17}))
    await refusal_of(chain, tmp_path, "of another configuration")


async def test_of_another_version(chain, market, tmp_path, monkeypatch):
    await snapshots_of(market, tmp_path).write()

    class TokenRecord(msgspec.Struct, frozen=True, array_like=True):
        address: str
        sound: bool

    monkeypatch.setattr(snapshot, "TokenRecord", TokenRecord)
    await refusal_of(chain, tmp_path, "written by another version")


async def test_too_far_behind(chain, market, tmp_path):
    await snapshots_of(market, tmp_path).write()
    for _ in range(3):
        chain.seal()
    await refusal_of(chain, tmp_path, "too far behind the chain", most_blocks_behind=2)


async def test_damaged(chain, market, tmp_path):
    path = await snapshots_of(market, tmp_path).write()
    raw = bytearray(path.read_bytes())
    with SnapshotFile(path) as file:
        place = file._sections["words"].begin
    raw[place] ^= 1
    path.write_bytes(raw)
    await refusal_of(chain, tmp_path, "corrupted")


async def test_of_a_block_that_was_reorganised_away_the_one_before_serves(chain, market, tmp_path):
    writer = snapshots_of(market, tmp_path)
    older = await writer.write()
    connected = image(market)
    trade(chain, market)
    newer = await writer.write()
    os.utime(older, ns=(1, 1))
    os.utime(newer, ns=(2, 2))
    chain.fork(chain.head.number - 1)
    chain.seal()
    chain.seal()
    again, header, statistics = await restored(chain, tmp_path)
    assert statistics.refused == {"does not connect to the chain": 1}
    assert header == chain.headers[-3]
    assert image(again) == connected


async def test_of_a_block_that_the_node_has_not_yet(chain, market, tmp_path):
    await snapshots_of(market, tmp_path).write()
    chain.fork(0)
    await refusal_of(chain, tmp_path, "does not connect to the chain")


async def test_a_node_that_keeps_no_block_0_serves_as_well(chain, market, tmp_path):
    await snapshots_of(market, tmp_path).write()
    ask = chain.call

    async def call(method, params=()):
        return None if params[:1] == ["0x0"] else await ask(method, params)

    chain.call = call
    _, header, _ = await restored(chain, tmp_path)
    assert header is not None


async def test_a_market_that_holds_something_takes_nothing_up(chain, market, tmp_path):
    await snapshots_of(market, tmp_path).write()
    before = image(market)
    with pytest.raises(InvariantBroken, match="taken up by an empty one"):
        await restored(chain, tmp_path, market=market)
    assert image(market) == before


# ---- when they are written


async def settle(writer):
    """Wait for the snapshot under way, if there is one."""
    if writer._writing is not None:
        await writer._writing


async def test_one_is_written_at_once_and_then_by_time(market, tmp_path):
    clock = JumpingClock()
    writer = snapshots_of(market, tmp_path, clock=clock, every_minutes=30)
    written = []
    for minutes in (0, 29, 1, 15, 15):
        clock.ahead_ns += minutes * 60 * 10**9
        writer.on_block()
        await settle(writer)
        written.append(writer.statistics().written)
    assert written == [1, 1, 2, 2, 3]


async def test_or_by_blocks(chain, market, tmp_path):
    writer = snapshots_of(market, tmp_path, every_minutes=0, every_blocks=3)
    written = []
    for _ in range(7):
        writer.on_block()
        await settle(writer)
        written.append(writer.statistics().written)
        trade(chain, market)
    assert written == [1, 1, 1, 2, 2, 2, 3]


async def test_or_never(market, tmp_path):
    writer = snapshots_of(market, tmp_path, every_minutes=0, on_stop=False)
    writer.on_block()
    await settle(writer)
    await writer.close()
    assert writer.statistics().written == 0
    assert stored(tmp_path) == []


async def test_a_restored_one_is_not_written_again_at_once(chain, market, tmp_path):
    await snapshots_of(market, tmp_path).write()
    again = empty()
    writer = snapshots_of(again, tmp_path)
    await writer.restore(chain, chain.headers[-1])
    writer.on_block()
    await writer.close()
    assert writer.statistics().written == 0


async def test_the_last_one_is_written_at_the_end(chain, market, tmp_path):
    writer = snapshots_of(market, tmp_path)
    writer.on_block()
    trade(chain, market, blocks=3)
    await writer.close()
    _, header, _ = await restored(chain, tmp_path)
    assert header == chain.headers[-1]


async def test_two_are_kept(chain, market, tmp_path):
    writer = snapshots_of(market, tmp_path)
    for _ in range(4):
        await writer.write()
        trade(chain, market)
    assert len(stored(tmp_path)) == 2


async def test_a_disk_that_takes_none_is_said_and_changes_nothing(market, tmp_path):
    folder = tmp_path / "a file"
    folder.write_text("no folder")
    writer = snapshots_of(market, folder)
    assert await writer.write() is None
    assert writer.statistics().failed == {"FileExistsError": 1}


async def test_a_market_that_is_being_read_is_not_written(market, tmp_path):
    writer = snapshots_of(market, tmp_path)
    market.head = None
    assert await writer.write() is None
    writer.on_block()
    assert writer._writing is None
    assert writer.statistics().failed == {"the market was being read": 1}


# ---- pools whose states are structs


class KeptPools(UniswapV2):
    """Pairs whose state is a struct, with a fee that moves, announced with or without tokens."""

    kind = PIECEWISE
    hot = MappingProxyType({})
    volatile = frozenset({"fee_pips"})

    def refresh(self, state):
        yield []
        return {"fee_pips": state.fee_pips + 5}

    def announced(self, name, dex, log):
        said = super().announced(name, dex, log)
        return replace(said, tokens=()) if int(said.id, 16) % 2 else said


class KeptRegistry(Registry):
    """The protocols, Uniswap V2's pairs kept as structs."""

    def load(self, name):
        return KeptPools if name == "uniswap_v2" else super().load(name)


def drawn(_protocol, state, block, token_in, _token_out):
    """Return as many pieces as tell the state and the block apart."""
    first = float(state.reserve0 if token_in == state.token0 else state.reserve1)
    fee = float(block.volatile.get("fee_pips", 0))
    return np.array([[fee, first, k, 1.0] for k in range(1 + int(fee) % 3)])


def struct_market():
    market = make_market(only_configured_tokens=False)
    return Market(
        market.chain,
        wrapped_native=WETH,
        tokens=TOKENS,
        dexes=DEXES,
        discovery=DiscoverySettings(only_configured_tokens=False),
        protocols=KeptRegistry("searcher.market.protocols", Protocol),
        pieces=drawn,
    )


async def test_states_that_no_array_holds_come_back_and_wait_for_what_moves(chain, tmp_path):
    market = struct_market()
    await market.bootstrap(chain, chain.head, timestamp=5)
    prove_all(market)
    chain.create_v2("v2", DAI, WBTC, 10**20, 10**8)
    chain.create_v2("v2", DAI, UNNAMED, 10**20, 10**8)
    chain.swap(chain.pair, 10**15, zero_for_one=True)
    market.apply(chain.seal())
    assert len(market.contents().nameless) == 1  # two were announced; one did not say its tokens
    await snapshots_of(market, tmp_path).write()
    again, header, statistics = await restored(chain, tmp_path, market=struct_market())
    assert statistics.refused == {}
    assert header == chain.headers[-1]
    assert again.contents().nameless == market.contents().nameless
    moving = [n for n, pool in enumerate(again.pools) if pool.protocol == "uniswap_v2"]
    assert moving
    for number in moving:
        assert not again.is_searched(number)
        assert again.state(number) == market.state(number) is not None
    for each in (market, again):
        await each.refresh_volatile(chain, chain.head)
        prove_all(each)
    assert image(again) == image(market)
    assert all(again.is_searched(n) for n in moving if again.pools[n].token1 != UNNAMED)
    chain.swap(chain.pair, 10**16, zero_for_one=False)
    block = chain.seal()
    for each in (market, again):
        each.apply(block)
        await each.refresh_volatile(chain, chain.head)
    assert image(again) == image(market)

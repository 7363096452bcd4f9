"""Warm starts and the tripwire against the protocols' real bytecode, while users trade."""

from __future__ import annotations

import pytest
import pytest_asyncio

from searcher.chains.anvil import Anvil
from searcher.chains.rpc import RpcClient
from searcher.devnet.laboratory import Laboratory
from searcher.domain.clock import SystemClock
from searcher.domain.ports import TokenProof
from searcher.market.settings import SnapshotSettings, TripwireSettings
from searcher.market.snapshots import Snapshots
from searcher.market.tripwire import Drift, Tripwire
from searcher.ops.warm_start import WarmStart
from tests.conformance.test_market_on_chain import CHAIN, block_of, header_of, market_of

pytestmark = pytest.mark.devnet

RESERVES_SLOT = 8
"""Where UniswapV2Pair has its two reserves and their time, in one word."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def laboratory():
    async with Laboratory([CHAIN], block_time_ms=400) as laboratory:
        yield laboratory.manifests[CHAIN]


async def read(laboratory, rpc):
    market = market_of(laboratory)
    header = await header_of(rpc, "latest")
    await market.bootstrap(rpc, header.ref, timestamp=header.timestamp)
    proofs = [TokenProof(token, sound=True, reason="") for token, _ in market.unproven()]
    market.mark_proven(proofs)
    return market, header


def held(market):
    rows = range(market.memory.rows)
    return (
        market.head,
        market.pools,
        [market.state(number) for number in range(len(market.pools))],
        [market.why_not(row) for row in rows],
        market.memory.rate[: 2 * len(rows)].tobytes(),
        market.memory.exact[: 2 * len(rows)].tobytes(),
    )


@pytest.mark.timeout(120)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_market_taken_up_and_caught_up_is_the_chain(laboratory, tmp_path):
    async with RpcClient(laboratory.http_url) as rpc:
        market, header = await read(laboratory, rpc)

        def snapshots_of(market):
            clock, chain_id = SystemClock(), laboratory.chain_id
            return Snapshots(market, tmp_path, SnapshotSettings(), chain_id=chain_id, clock=clock)

        await snapshots_of(market).write()
        for number in range(header.number + 1, header.number + 6):
            block = await block_of(rpc, number)
            market.apply(block)
        again = market_of(laboratory)
        begun = WarmStart(again, snapshots_of(again), rpc, SystemClock())
        delta = await begun.stand_on(block.header)
        assert delta.parent == market.head
        assert delta.entered == market.whole().entered != ()
        assert held(again) == held(market)
        # It holds something now: whoever asks again is told to read the market anew.
        assert await begun.stand_on(block.header) is None


@pytest.mark.timeout(120)
@pytest.mark.asyncio(loop_scope="module")
async def test_storage_changed_behind_the_contract_trips_the_wire(laboratory):
    # A fork, because nobody can change storage behind the laboratory's builder.
    async with (
        Anvil(fork_url=laboratory.http_url, chain_id=laboratory.chain_id) as fork,
        RpcClient(fork.http_url, timeout_s=60) as rpc,
    ):
        market, _ = await read(laboratory, rpc)
        tripwire = Tripwire(market, rpc, TripwireSettings(pools=100))
        tripwire.begin()
        victim = next(p for p in market.pools if p.protocol == "uniswap_v2")

        async def check_next_block():
            await rpc.call("evm_mine")
            delta = market.apply(await block_of(rpc, market.head.number + 1))
            tripwire.on_block({market.rows[row].pool for row in delta.rows})
            return await tripwire.findings()

        assert await check_next_block() == []
        assert tripwire.statistics().pools == len(market.pools)

        place = [victim.address, hex(RESERVES_SLOT)]
        word = int(await rpc.call("eth_getStorageAt", [*place, "latest"]), 16)
        # One unit less of the first token.
        await rpc.call("anvil_setStorageAt", [*place, f"0x{word - 1:064x}"])
        findings = await check_next_block()
        assert [(market.pools[f.pool].id, f.drift) for f in findings] == [
            (victim.id, Drift.SILENT_CHANGE)
        ]
        assert not market.is_searched(market.number(victim.id))
        assert tripwire.statistics().node_faults == {}

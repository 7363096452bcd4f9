from __future__ import annotations

import pytest

from searcher.chains.blocks import parse_header
from searcher.domain.clock import SystemClock
from searcher.domain.errors import Retryable
from searcher.domain.events import BlockRef
from searcher.domain.ports import TokenProof
from searcher.simulation.simulator import backends
from searcher.simulation.tokens import SimulatedTokenProver

HELD = 10**21


async def prover_and_head(chain) -> tuple[SimulatedTokenProver, BlockRef]:
    plugin = backends().load("eth_simulate")
    simulator = plugin(plugin.Config(), rpc=chain.rpc, clock=SystemClock())
    head = parse_header(await chain.rpc.call("eth_getBlockByNumber", ["latest", False])).ref
    return SimulatedTokenProver(simulator, chain.rpc), head


CASES = {
    "Sound": "",
    "ReturnsNothing": "",
    "KeepsAFee": "transfer delivers 99000000000000000000 of 100000000000000000000",
    "TakesMore": "transfer of 100000000000000000000 debits 100000000000000000001",
    "SaysNo": f"transfer returns 0x{0:064x} instead of true",
    "CannotBeSold": "transfer to the pool fails: reverted: no way back",
    "HidesBalances": "balanceOf gives no balance",
    "BurnsAllGas": "transfer to a contract fails: execution failed",
    "LimitsTransfers": (
        f"of {HELD // 2}, half of what the pool holds, transfer to a contract fails:"
        " reverted: too much at once"
    ),
    "ShunsContracts": "transfer to a contract fails: reverted: no robots",
    "IsPaused": "transfer to a contract fails: reverted: Pausable: paused",
}


async def test_each_kind_of_token_is_told_apart_in_one_request(chain):
    pool = await chain.deploy("Till")
    tokens = [(await chain.deploy(name, int(pool, 16), HELD), pool) for name in CASES]
    prover, head = await prover_and_head(chain)
    requests = chain.rpc.statistics().requests
    proofs = await prover.prove(tokens, head)
    assert proofs == [
        TokenProof(token, not reason, reason)
        for (token, _), reason in zip(tokens, CASES.values(), strict=True)
    ]
    assert chain.rpc.statistics().requests - requests <= 6


@pytest.mark.parametrize("name", ["EarnsInterest", "RebasesDaily", "RebasesByBlock"])
async def test_a_balance_that_moves_by_itself_is_noticed(chain, name):
    pool = await chain.deploy("Till")
    token = await chain.deploy(name, int(pool, 16), HELD)
    prover, head = await prover_and_head(chain)
    (proof,) = await prover.prove([(token, pool)], head)
    assert not proof.sound
    assert proof.reason.startswith("a balance moves by itself: ")


@pytest.mark.parametrize("held", [1, 9_999, 10_000, 10_001, 100_001])
async def test_little_is_moved_where_the_pool_holds_little(chain, held):
    pool = await chain.deploy("Till")
    sound = await chain.deploy("Sound", int(pool, 16), held)
    greedy = await chain.deploy("TakesMore", int(pool, 16), held)
    prover, head = await prover_and_head(chain)
    assert [p.sound for p in await prover.prove([(sound, pool), (greedy, pool)], head)] == [
        True,
        False,
    ]


async def test_a_pool_without_the_token_proves_nothing(chain):
    pool = await chain.deploy("Till")
    token = await chain.deploy("Sound", 1, HELD)
    prover, head = await prover_and_head(chain)
    nothing = "0x" + "99" * 20
    assert await prover.prove([(token, pool), (nothing, pool)], head) == [
        TokenProof(token, False, "the pool holds none of it"),
        TokenProof(nothing, False, "balanceOf gives no balance"),
    ]
    assert await prover.prove([], head) == []


async def test_tokens_that_spoil_a_block_do_not_spoil_the_others(chain):
    pool = await chain.deploy("Till")
    sound = await chain.deploy("Sound", int(pool, 16), HELD)
    burning = await chain.deploy("BurnsAllGas", int(pool, 16), HELD)
    await chain.rpc.call("evm_setBlockGasLimit", [hex(3_500_000)])
    await chain.rpc.call("evm_mine")
    prover, head = await prover_and_head(chain)
    tokens = [(burning, pool), (sound, pool), (burning, pool), (sound, pool)]
    assert [p.sound for p in await prover.prove(tokens, head)] == [False, True, False, True]


async def test_an_unknown_block_is_retryable(chain):
    prover, _ = await prover_and_head(chain)
    with pytest.raises(Retryable, match="does not know block"):
        await prover.prove([], BlockRef(1, "0x" + "ee" * 32))

"""Every pool's state at every block, folded from the chain's own logs.

Constant-product reserves are the last Sync; concentrated pools are the last Initialize or Swap
with every Mint and Burn since their creation. Nothing is re-read block by block, and the fold is
compared with the pools' storage at both ends of the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from verify.curves import Concentrated, ConstantProduct, Pool, State
from verify.node import (
    NOBODY,
    Node,
    address_of,
    calldata,
    in_order,
    signed,
    topic,
    view,
    words,
)
from verify.run import ChainRun, Dex

PAIR_CREATED = topic("PairCreated(address,address,address,uint256)")
POOL_CREATED = topic("PoolCreated(address,address,uint24,int24,address)")
SYNC = topic("Sync(uint112,uint112)")
V2_SWAP = topic("Swap(address,uint256,uint256,uint256,uint256,address)")
INITIALIZE = topic("Initialize(uint160,int24)")
V3_SWAP = topic("Swap(address,address,int256,int256,uint160,uint128,int24)")
MINT = topic("Mint(address,address,int24,int24,uint128,uint256,uint256)")
BURN = topic("Burn(address,int24,int24,uint128,uint256,uint256)")
STATE_TOPICS = (SYNC, INITIALIZE, V3_SWAP, MINT, BURN)

States = Mapping[str, State]


class HistoryBroken(Exception):
    """The logs do not add up to the storage, so nothing can be proved from them."""


@dataclass(frozen=True)
class History:
    """The pools of one chain and their states at the end of every block of the run.

    `at_end_of` reaches from the block before the first to the last. `swaps_checked` is how many
    swaps of concentrated pools in the chain's history our curve has reproduced to the wei.
    """

    pools: Mapping[str, Pool]
    at_end_of: Mapping[int, States]
    swaps_checked: int


def read_history(node: Node, run: ChainRun) -> History:
    """Find the run's pools, fold their logs, and compare with storage. Raises HistoryBroken."""
    pools = discover(node, run)
    logs = _pool_logs(node, run, pools)
    states: States = {}
    at_end_of: dict[int, States] = {}
    checked = 0
    before = run.first_block - 1
    position = 0
    for block in range(before, run.last_block + 1):
        start = position
        while position < len(logs) and int(logs[position]["blockNumber"], 16) <= block:
            position += 1
        fresh = logs[start:position]
        checked += replayed_swaps(pools, states, fresh)
        states, _ = fold(pools, states, fresh)
        at_end_of[block] = states
    for block in (before, run.last_block):
        _compare_with_storage(node, pools, at_end_of[block], block)
    return History(pools, at_end_of, checked)


def discover(node: Node, run: ChainRun) -> dict[str, Pool]:
    """Find the pools of the run's DEXes between known tokens that move what they say."""
    pools = {pool.address: pool for dex in run.dexes for pool in _created(node, run, dex)}
    listed = {a: p for a, p in pools.items() if {p.token0, p.token1} <= run.tokens.keys()}
    short = {t for t in run.tokens if not _moves_its_amount(node, listed, t, run.last_block)}
    return {a: p for a, p in listed.items() if not {p.token0, p.token1} & short}


def _created(node: Node, run: ChainRun, dex: Dex) -> Iterator[Pool]:
    paired = dex.protocol == "uniswap_v2"
    query = {
        "address": dex.factory,
        "topics": [PAIR_CREATED if paired else POOL_CREATED],
        "fromBlock": hex(dex.first_block),
        "toBlock": hex(run.last_block),
    }
    for log in node.call("eth_getLogs", query):
        tokens = address_of(log["topics"][1]), address_of(log["topics"][2])
        data = words(log["data"])
        if paired:
            yield Pool(address_of(data[0]), dex.name, dex.protocol, *tokens, dex.fee_pips)
        else:
            fee, spacing = int(log["topics"][3], 16), signed(data[0])
            yield Pool(address_of(data[1]), dex.name, dex.protocol, *tokens, fee, spacing)


def _moves_its_amount(node: Node, pools: Mapping[str, Pool], token: str, block: int) -> bool:
    """Try a transfer out of a pool: a token that takes a fee shows, whatever it is said to be."""
    holder, held = richest(node, pools.values(), token, block)
    if held == 0:
        return True
    amount = max(1, held // 1000)
    calls = [
        {
            "from": holder,
            "to": token,
            "data": calldata("transfer(address,uint256)", int(NOBODY, 16), amount),
        },
        view(token, "balanceOf(address)", int(NOBODY, 16)),
    ]
    payload = {"blockStateCalls": [{"calls": calls}], "validation": False}
    sent, balance = node.call("eth_simulateV1", payload, hex(block))[0]["calls"]
    return int(sent["status"], 16) == 1 and words(balance["returnData"]) == [amount]


def richest(node: Node, pools: Iterable[Pool], token: str, block: int) -> tuple[str, int]:
    """Find the pool that holds most of a token, and how much; ("", 0) when none holds any."""
    holders = [p.address for p in pools if token in {p.token0, p.token1}]
    reads = [view(token, "balanceOf(address)", int(holder, 16)) for holder in holders]
    held = node.batch([("eth_call", [read, hex(block)]) for read in reads])
    amounts = (int(h, 16) for h in held)
    return max(zip(holders, amounts, strict=True), key=lambda pair: pair[1], default=("", 0))


def _pool_logs(node: Node, run: ChainRun, pools: Mapping[str, Pool]) -> list[dict[str, Any]]:
    if not pools:
        return []
    query = {
        "address": sorted(pools),
        "topics": [list(STATE_TOPICS)],
        "fromBlock": hex(min(dex.first_block for dex in run.dexes)),
        "toBlock": hex(run.last_block),
    }
    return list(in_order(node.call("eth_getLogs", query)))


def fold(
    pools: Mapping[str, Pool], states: States, logs: Iterable[Mapping[str, Any]]
) -> tuple[States, frozenset[str]]:
    """Apply logs in their order; returns the new states and the pools that they touched."""
    changed: dict[str, State] = {}
    for log in logs:
        address = str(log["address"]).lower()
        if address not in pools or not log["topics"] or log["topics"][0] not in STATE_TOPICS:
            continue
        changed[address] = _after(changed.get(address) or states.get(address), log)
    return {**states, **changed}, frozenset(changed)


def _after(state: State | None, log: Mapping[str, Any]) -> State:
    kind, data = log["topics"][0], words(log["data"])
    if kind == SYNC:
        return ConstantProduct(data[0], data[1])
    if kind == INITIALIZE:
        return Concentrated(sqrt_price=data[0], tick=signed(data[1]), liquidity=0)
    if not isinstance(state, Concentrated):
        raise HistoryBroken(f"Pool {log['address']} has logs from before its Initialize.")
    if kind == V3_SWAP:
        return replace(state, sqrt_price=data[2], liquidity=data[3], tick=signed(data[4]))
    lower, upper = (signed(int(t, 16)) for t in log["topics"][2:4])
    added = data[1] if kind == MINT else -data[0]
    return _with_position(state, lower, upper, added)


def _with_position(state: Concentrated, lower: int, upper: int, added: int) -> Concentrated:
    net, gross = dict(state.net), dict(state.gross)
    for tick, change in ((lower, added), (upper, -added)):
        net[tick] = net.get(tick, 0) + change
        gross[tick] = gross.get(tick, 0) + added
        if gross[tick] == 0:
            del net[tick], gross[tick]
    active = state.liquidity + (added if lower <= state.tick < upper else 0)
    return replace(state, liquidity=active, net=net, gross=gross)


def replayed_swaps(
    pools: Mapping[str, Pool], states: States, logs: Iterable[Mapping[str, Any]]
) -> int:
    """Swap again, by our own maths, what concentrated pools swapped; returns how many.

    A swap of an exact input must end at the same output, price and liquidity; one of an exact
    output may by rounding stop a hair earlier and is told by an output no greater than ours.
    Raises HistoryBroken where the real pool gave more than our curve, which then is wrong.
    """
    count = 0
    for log in logs:
        address = str(log["address"]).lower()
        if address not in pools:
            continue
        state = states.get(address)
        if log["topics"][0] == V3_SWAP and isinstance(state, Concentrated):
            amounts = [signed(word) for word in words(log["data"])[:2]]
            zero_for_one = amounts[0] > 0
            paid, got = max(amounts), -min(amounts)
            ours = state.swap(pools[address], zero_for_one, paid)[1]
            if got > ours:
                raise HistoryBroken(
                    f"Pool {address} gave {got} for {paid} in block {int(log['blockNumber'], 16)}, "
                    f"but our curve gives {ours}."
                )
            count += got == ours
        states, _ = fold(pools, states, [log])
    return count


def _compare_with_storage(
    node: Node, pools: Mapping[str, Pool], states: States, block: int
) -> None:
    at = hex(block)
    asked: list[tuple[str, int, list[int]]] = []
    calls: list[tuple[str, list[Any]]] = []

    def ask(address: str, kept: int, expected: list[int], signature: str, *arguments: int) -> None:
        asked.append((address, kept, expected))
        calls.append(("eth_call", [view(address, signature, *arguments), at]))

    for address, state in states.items():
        if isinstance(state, ConstantProduct):
            ask(address, 2, [state.reserve0, state.reserve1], "getReserves()")
            continue
        ask(address, 2, [state.sqrt_price, state.tick % (1 << 256)], "slot0()")
        ask(address, 1, [state.liquidity], "liquidity()")
        for tick in state.ticks:
            expected = [state.gross[tick], state.net[tick] % (1 << 256)]
            ask(address, 2, expected, "ticks(int24)", tick)
    for (address, kept, expected), answer in zip(asked, node.batch(calls), strict=True):
        if words(answer)[:kept] != expected:
            raise HistoryBroken(
                f"Pool {address} ({pools[address].dex}) holds {words(answer)[:kept]} at the end of "
                f"block {block}, but its logs add up to {expected}."
            )

"""Every pool's state at every block, folded from the chain's own logs.

Constant-product reserves are the last Sync; concentrated pools are the last Initialize or Swap
with every Mint and Burn since their creation. Nothing is re-read block by block, and the fold is
compared with the pools' storage at both ends of the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from verify.curves import Concentrated, ConstantProduct, Pool, State
from verify.node import Node, address_of, in_order, signed, topic, view, words
from verify.run import FEE_ON_TRANSFER, ChainRun

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
    pools: dict[str, Pool] = {}
    usable = {a for a, token in run.tokens.items() if token.quirk != FEE_ON_TRANSFER}
    for dex in run.dexes:
        created = PAIR_CREATED if dex.protocol == "uniswap_v2" else POOL_CREATED
        query = {
            "address": dex.factory,
            "topics": [created],
            "fromBlock": hex(dex.first_block),
            "toBlock": hex(run.last_block),
        }
        for log in node.call("eth_getLogs", query):
            token0, token1 = address_of(log["topics"][1]), address_of(log["topics"][2])
            if token0 not in usable or token1 not in usable:
                continue
            data = words(log["data"])
            if dex.protocol == "uniswap_v2":
                address, fee, spacing = address_of(data[0]), dex.fee_pips, 0
            else:
                address, fee = address_of(data[1]), int(log["topics"][3], 16)
                spacing = signed(data[0])
            pools[address] = Pool(address, dex.name, dex.protocol, token0, token1, fee, spacing)
    return pools


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

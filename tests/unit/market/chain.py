"""A world that also answers what snapshots and the tripwire ask of a node."""

from __future__ import annotations

from msgspec.structs import replace

from searcher.chains.blocks import logs_bloom
from searcher.domain.units import Hash32, keccak256
from tests.unit.market.world import World, data, selector, word

TOKENS = {selector(f"{name}()"): name for name in ("token0", "token1")}


class Chain(World):
    """`spoil` may change answers of eth_call; `donated` is what pools have beyond reserves."""

    made = 0
    """Headers so far: blocks of two branches never share a hash."""

    def __init__(self):
        super().__init__()
        self.spoil = lambda _to, _data, _block, answer: answer
        self.donated = {}

    async def call(self, method, params=()):
        if method == "eth_getBlockByNumber":
            number = int(params[0], 16)
            return self.block(self.headers[number]) if number < len(self.headers) else None
        if method == "eth_getLogs" and "blockHash" in params[0]:
            return self._logs_of_block(params[0]["blockHash"])
        if method == "eth_getLogs" and isinstance(params[0]["address"], str):
            return self._logs_of_one(**params[0])
        return await super().call(method, params)

    async def batch_settled(self, calls):
        if calls and calls[0][0] in {"eth_getBlockByNumber", "eth_getLogs"}:
            return [await self.call(*call) for call in calls]
        return await super().batch_settled(calls)

    def block(self, header):
        return {
            "number": hex(header.number),
            "hash": header.hash,
            "parentHash": header.parent_hash,
            "timestamp": hex(header.timestamp),
            "baseFeePerGas": hex(header.base_fee_wei),
            "gasLimit": hex(header.gas_limit),
            "gasUsed": hex(header.gas_used),
            "miner": header.coinbase,
            "logsBloom": f"0x{logs_bloom(self.sealed[header.number]):0512x}",
        }

    def _logs_of_block(self, block_hash):
        (number,) = [header.number for header in self.headers if header.hash == block_hash]
        return [
            {
                "address": log.address,
                "topics": list(log.topics),
                "data": log.data,
                "logIndex": hex(log.log_index),
                "blockHash": block_hash,
            }
            for log in self.sealed[number]
        ]

    def _header(self, number, parent):
        self.made += 1
        made = keccak256(f"{number}{parent}{self.made}".encode())
        return replace(super()._header(number, parent), hash=Hash32("0x" + made.hex()))

    def _logs_of_one(self, address, fromBlock, toBlock, topics):  # noqa: N803  as JSON has them
        return [
            {
                "address": log.address,
                "topics": list(log.topics),
                "data": log.data,
                "logIndex": hex(log.log_index),
            }
            for number in range(int(fromBlock, 16), int(toBlock, 16) + 1)
            for log in self.sealed[number]
            if log.address == address and log.topics[0] in topics[0]
        ]

    def _eth_call(self, call, block):
        if call["data"].startswith(selector("balanceOf(address)")):
            answer = self._balance(call["to"], "0x" + call["data"][-40:], block["blockHash"])
        elif call["data"] in TOKENS:
            pool = self.states[block["blockHash"]][call["to"]]
            answer = data(getattr(pool, TOKENS[call["data"]]))
        else:
            answer = super()._eth_call(call, block)
        return self.spoil(call["to"], call["data"], block["blockHash"], answer)

    def _balance(self, token, holder, block_hash):
        pool = self.states[block_hash][holder]
        reserve = pool.reserves[token == pool.token1]
        return "0x" + word(reserve + self.donated.get(holder, 0))

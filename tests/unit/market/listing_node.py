"""A node that answers views out of a table, and logs out of a list; it counts what it is asked."""

from __future__ import annotations

from collections import Counter

from searcher.domain.errors import Rejected
from searcher.domain.units import keccak256


def topic(signature):
    return "0x" + keccak256(signature.encode()).hex()


def selector(signature):
    return topic(signature)[:10]


def address(number):
    return f"0x{number:040x}"


def padded(of):
    return f"0x{of[2:]:0>64}"


def words(*values):
    return "0x" + "".join(
        f"{(int(v, 16) if isinstance(v, str) else v) % 2**256:064x}" for v in values
    )


class ListingNode:
    """Views by (contract, calldata); a missing one reverts. Logs as eth_getLogs gives them."""

    def __init__(self, views=None, logs=()):
        self.views = dict(views or {})
        self.logs = list(logs)
        self.asked = Counter()
        self.ranges = []
        self.most_blocks = None
        self.faults = []
        self.salt = 0
        """Another one is another chain."""

    def view(self, to, signature, answer, *args):
        data = selector(signature) + "".join(
            f"{int(a, 16) if isinstance(a, str) else a:064x}" for a in args
        )
        self.views[to, data] = answer

    def log(self, block, emitter, topics, data="0x", index=0):
        self.logs.append(
            {
                "blockNumber": hex(block),
                "address": emitter,
                "topics": list(topics),
                "data": data,
                "logIndex": hex(index),
            }
        )

    async def call(self, method, params=()):
        self.asked[method] += 1
        if self.faults:
            fault = self.faults.pop(0)
            if fault is not None:
                raise fault
        if method == "eth_getBlockByNumber":
            return {"hash": f"0x{self.salt:032x}{int(params[0], 16):032x}"}
        if method == "eth_getLogs":
            return self._logs(params[0])
        return self._view(params)

    async def batch_settled(self, calls):
        self.asked["batch"] += 1
        if self.faults:
            fault = self.faults.pop(0)
            if fault is not None:
                raise fault
        answers = []
        for _, params in calls:
            try:
                answers.append(self._view(params))
            except Rejected as refused:
                answers.append(refused)
        return answers

    def _view(self, params):
        if len(params) > 2:
            raise Rejected("too many arguments, want at most 2")
        call = params[0]
        if call["to"] not in {to for to, _ in self.views}:
            return "0x"
        answer = self.views.get((call["to"], call["data"]))
        if answer is None:
            raise Rejected("execution reverted")
        return answer

    def _logs(self, query):
        begin, end = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        if self.most_blocks is not None and end - begin + 1 > self.most_blocks:
            raise Rejected("query returned more than 10000 results")
        self.ranges.append((begin, end))
        return [
            {k: v for k, v in log.items() if k != "blockNumber"}
            for log in self.logs
            if begin <= int(log["blockNumber"], 16) <= end
            and log["address"] in query["address"]
            and all(
                wanted is None or (place < len(log["topics"]) and log["topics"][place] in wanted)
                for place, wanted in enumerate(query["topics"])
            )
        ]

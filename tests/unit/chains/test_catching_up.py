from __future__ import annotations

import pytest

from searcher.chains.blocks import parse_header, parse_log
from searcher.chains.catching_up import WINDOW, missed_blocks
from searcher.chains.rpc import RpcFault
from searcher.domain.errors import Retryable
from tests.unit.chains.test_blocks import InstantClock, ScriptedNode

LENGTH = 3 * WINDOW + 5


class NumberedNode(ScriptedNode):
    """The scripted chain, asked by number and many requests at once."""

    def __init__(self):
        super().__init__()
        self.chain = self.grow("a", range(LENGTH + 1), "0x" + "00" * 32)
        self.spoiled: dict[int, list] = {}

    async def batch_settled(self, calls):
        self.asked.append(f"{len(calls)} x {calls[0][0]}")
        return [self.answer(method, *params) for method, params in calls]

    def answer(self, method, wanted, *_):
        if method == "eth_getLogs":
            raw = self.blocks[wanted["blockHash"]]
            spoiled = self.spoiled.get(int(raw["number"], 16))
            return spoiled.pop(0) if spoiled else self.logs[raw["hash"]]
        return self.chain[int(wanted, 16)]

    def header(self, number):
        return parse_header(self.chain[number])


async def missed(node, after, to, blocks=None):
    blocks = [] if blocks is None else blocks
    async for block in missed_blocks("test", node, after, to, InstantClock()):
        blocks.append(block)
    return blocks


async def test_the_way_to_the_head_is_whole_and_takes_two_requests_a_window():
    node = NumberedNode()
    blocks = await missed(node, node.header(0), node.header(LENGTH))
    assert [block.header for block in blocks] == [node.header(n) for n in range(1, LENGTH + 1)]
    for block in blocks:
        assert block.logs == tuple(map(parse_log, node.logs[block.header.hash]))
    assert node.asked == [
        request
        for size in (WINDOW, WINDOW, WINDOW, 5)
        for request in (f"{size} x eth_getBlockByNumber", f"{size} x eth_getLogs")
    ]


async def test_nothing_is_missed_at_the_head():
    node = NumberedNode()
    assert await missed(node, node.header(7), node.header(7)) == []
    assert node.asked == []


@pytest.mark.parametrize("answer", [[], None, RpcFault(-32000, "unknown block"), [{"a": 1}]])
async def test_logs_that_are_not_proven_are_asked_for_again(answer):
    node = NumberedNode()
    node.spoiled[WINDOW + 2] = [answer]
    blocks = await missed(node, node.header(0), node.header(LENGTH))
    assert [block.header.number for block in blocks] == list(range(1, LENGTH + 1))
    assert f"{WINDOW - 1} x eth_getBlockByNumber" in node.asked


async def test_a_node_that_keeps_a_log_back_is_not_believed():
    node = NumberedNode()
    node.spoiled[5] = [[]] * 100
    got = []
    with pytest.raises(Retryable, match=r"block 5 whole \(bloom_differs\)"):
        await missed(node, node.header(0), node.header(9), got)
    assert [block.header.number for block in got] == [1, 2, 3, 4]


async def test_a_block_that_does_not_build_on_the_one_before_is_not_taken():
    node = NumberedNode()
    node.chain[6] = node.add("b", 6, "0x" + "66" * 32)
    with pytest.raises(Retryable, match="foreign_block"):
        await missed(node, node.header(0), node.header(9))


async def test_a_block_that_is_not_there_ends_the_search():
    node = NumberedNode()
    node.chain[6] = None
    with pytest.raises(Retryable, match="unknown_block"):
        await missed(node, node.header(0), node.header(9))


async def test_a_head_that_was_reorganised_away_is_said():
    node = NumberedNode()
    head = node.header(9)
    node.chain[9] = node.add("b", 9, node.chain[8]["hash"])
    with pytest.raises(Retryable, match="changed while"):
        await missed(node, node.header(0), head)

from __future__ import annotations

import pytest

from searcher.domain.errors import NodeUnreachable, Rejected, Retryable
from searcher.market.budget import BudgetedNode, BudgetSettings, BudgetSpent
from tests.unit.market.listing_node import ListingNode, words

A = "0x" + "0a" * 20
VIEW = ("eth_call", [{"to": A, "data": "0x12345678"}, {"blockHash": "0x00"}])


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now_ns = 0
        self.slept = []

    def monotonic_ns(self):
        return self.now_ns

    def wall_ns(self):
        return self.now_ns

    async def sleep(self, seconds):
        self.slept.append(round(seconds, 6))
        self.now_ns += round(seconds * 1e9)


def budgeted(node=None, **settings):
    node = node or ListingNode({(A, "0x12345678"): words(1)})
    clock = Clock()
    return BudgetedNode(node, BudgetSettings(**settings), clock), node, clock


async def test_requests_keep_the_pace():
    node, _, clock = budgeted(units_per_second=10)
    for _ in range(4):
        await node.call(*VIEW)
    assert clock.slept == [0.1, 0.1, 0.1]
    assert await node.batch_settled([VIEW] * 20) == [words(1)] * 20
    await node.call(*VIEW)
    assert clock.slept[-2:] == [0.1, 2.0]
    assert node.statistics().waited_ns == 2_400_000_000
    clock.now_ns += 10_000_000_000
    await node.call(*VIEW)
    assert len(clock.slept) == 5


async def test_without_a_pace_nobody_waits():
    node, _, clock = budgeted()
    for _ in range(100):
        await node.call(*VIEW)
    assert clock.slept == []


async def test_a_spent_budget_stops_before_the_request():
    node, inner, _ = budgeted(most_units=25, method_units={"eth_call": 10})
    await node.call(*VIEW)
    await node.call(*VIEW)
    with pytest.raises(BudgetSpent, match="budget of 25 units is spent: start again to go on"):
        await node.call(*VIEW)
    assert inner.asked["eth_call"] == 2
    assert node.statistics().units == 20


async def test_a_node_in_trouble_is_asked_again_with_patience():
    faults = [Retryable("HTTP 429"), NodeUnreachable("down"), Retryable("HTTP 502")]
    inner = ListingNode({(A, "0x12345678"): words(1)})
    inner.faults = list(faults)
    node, _, clock = budgeted(inner, first_wait_ms=100, longest_wait_ms=300)
    assert await node.call(*VIEW) == words(1)
    assert clock.slept == [0.1, 0.2, 0.3]
    inner.faults = list(faults)
    assert await node.batch_settled([VIEW]) == [words(1)]
    assert node.statistics().repeated == 6


async def test_patience_has_an_end():
    inner = ListingNode()
    inner.faults = [Retryable("HTTP 429")] * 9
    node, _, clock = budgeted(inner, attempts=3, first_wait_ms=100)
    with pytest.raises(Retryable, match="429"):
        await node.call(*VIEW)
    assert (inner.asked["eth_call"], clock.slept) == (3, [0.1, 0.2])


async def test_a_refusal_is_not_repeated():
    inner = ListingNode({(A, "0x00"): "0x"})
    node, _, clock = budgeted(inner)
    with pytest.raises(Rejected):
        await node.call(*VIEW)
    assert (inner.asked["eth_call"], clock.slept) == (1, [])


@pytest.mark.parametrize(
    ("fault", "tries"), [(Retryable("timed out"), 2), (NodeUnreachable("down"), 4)]
)
async def test_a_wide_range_of_logs_is_left_to_who_can_make_it_smaller(fault, tries):
    inner = ListingNode()
    inner.faults = [fault] * 3
    node, _, clock = budgeted(inner, first_wait_ms=100)
    query = [{"fromBlock": "0x1", "toBlock": "0x9", "address": [], "topics": [[]]}]
    if tries == 2:
        with pytest.raises(Retryable, match="timed out"):
            await node.call("eth_getLogs", query)
    else:
        assert await node.call("eth_getLogs", query) == []
    assert inner.asked["eth_getLogs"] == tries == len(clock.slept) + 1
    inner.faults = [Retryable("timed out")] * 3
    query = [{"fromBlock": "0x1", "toBlock": "0x1", "address": [], "topics": [[]]}]
    assert await node.call("eth_getLogs", query) == []

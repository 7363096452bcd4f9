from __future__ import annotations

import pytest
from eth_abi.abi import decode, encode

from searcher.domain.errors import NodeUnreachable, Rejected, Retryable
from searcher.market.multicall import MULTICALL3, Multicall, Way
from tests.unit.market.listing_node import ListingNode, address, words

A, B = address(0xA1), address(0xB1)
BLOCK = {"blockHash": "0x" + "ab" * 32}
CALLS = "(address,bool,bytes)[]"


def view(to, data="0x12345678"):
    return ("eth_call", [{"to": to, "data": data}, BLOCK])


class Aggregating(ListingNode):
    """A node that runs `aggregate3`: lent to it, or deployed, or neither."""

    def __init__(self, *, takes_overrides=True, has_multicall3=True, most=10**9, mute=()):
        views = {(A, f"0x{n:08x}"): words(n) for n in range(1000)}
        super().__init__(views)
        self.takes_overrides = takes_overrides
        self.has_multicall3 = has_multicall3
        self.most = most
        self.mute = set(mute)
        self.sizes = []

    async def call(self, method, params=()):
        self.asked[method] += 1
        if self.faults:
            raise self.faults.pop(0)
        lent = len(params) == 3
        if lent and not self.takes_overrides:
            return "0x"
        if not lent and not (self.has_multicall3 and params[0]["to"] == MULTICALL3):
            return "0x"
        assert params[0]["data"][:10] == "0x82ad56cb"
        (calls,) = decode([CALLS], bytes.fromhex(params[0]["data"][10:]))
        self.sizes.append(len(calls))
        if len(calls) > self.most:
            raise Rejected("execution reverted: GasRanShort")
        results = []
        for to, allowed, data in calls:
            assert allowed
            key = (to, "0x" + data.hex())
            if key[1] in self.mute and not lent:
                results.append((False, b""))
            elif key in self.views:
                results.append((True, bytes.fromhex(self.views[key][2:])))
            else:
                results.append((False, b"no"))
        return "0x" + encode(["(bool,bytes)[]"], [results]).hex()


def views_of(count):
    return [view(A, f"0x{n:08x}") for n in range(count)]


async def test_many_views_are_one_call():
    node = Aggregating()
    multicall = Multicall(node, most_calls=100)
    answers = await multicall.batch_settled(views_of(250))
    assert answers == [words(n) for n in range(250)]
    assert (node.sizes, node.asked["batch"]) == ([100, 100, 50], 0)
    assert multicall.statistics().way is Way.LENS
    assert multicall.statistics().views == 250


async def test_a_view_that_reverts_is_an_exception_in_its_place():
    for node in (Aggregating(), Aggregating(takes_overrides=False)):
        answers = await Multicall(node).batch_settled([view(A, "0x00000001"), view(B), view(A)])
        assert answers[0] == words(1)
        assert [str(a) for a in answers[1:]] == ["it reverted with 0x6e6f"] * 2


async def test_where_code_cannot_be_lent_multicall3_answers():
    node = Aggregating(takes_overrides=False)
    multicall = Multicall(node, most_calls=10)
    assert await multicall.batch_settled(views_of(20)) == [words(n) for n in range(20)]
    assert multicall.statistics().way is Way.MULTICALL3
    assert node.sizes == [10, 10]


async def test_where_neither_is_there_a_batch_does():
    node = Aggregating(takes_overrides=False, has_multicall3=False)
    multicall = Multicall(node, most_calls=10)
    assert await multicall.batch_settled(views_of(20)) == [words(n) for n in range(20)]
    assert multicall.statistics().way is Way.PLAIN
    assert (node.sizes, node.asked["batch"]) == ([], 2)


async def test_a_node_without_state_overrides_may_refuse_them():
    node = ListingNode({(A, "0x00000001"): words(1), (A, "0x00000002"): words(2)})
    multicall = Multicall(node)
    calls = [view(A, "0x00000001"), view(A, "0x00000002")]
    assert await multicall.batch_settled(calls) == [words(1), words(2)]
    assert multicall.statistics().way is Way.PLAIN


async def test_of_multicall3_a_failure_without_a_reason_is_asked_again():
    node = Aggregating(takes_overrides=False, mute={"0x00000003", "0x00000005"})
    assert await Multicall(node).batch_settled(views_of(10)) == [words(n) for n in range(10)]
    assert node.asked["batch"] == 1


async def test_what_is_too_much_is_halved():
    node = Aggregating(most=30)
    answers = await Multicall(node, most_calls=100).batch_settled(views_of(100))
    assert answers == [words(n) for n in range(100)]
    assert node.sizes == [100, 50, 25, 25, 25, 25]


async def test_a_timeout_is_too_much_and_an_unreachable_node_is_not():
    node = Aggregating()
    node.faults = [Retryable("timed out")]
    assert len(await Multicall(node, most_calls=10).batch_settled(views_of(10))) == 10
    assert node.sizes == [5, 5]
    node.faults = [NodeUnreachable("down")]
    with pytest.raises(NodeUnreachable):
        await Multicall(node).batch_settled(views_of(10))


@pytest.mark.parametrize(
    "answer", [None, 5, "0xzz", "0x12", words(32), words(32, 3), words(32, 2, 64, 2**40, 1, 64)]
)
async def test_an_answer_that_is_something_else_is_not_believed(answer):
    node = Aggregating()

    async def lies(method, _params=()):
        node.asked[method] += 1
        return answer

    node.call = lies
    calls = [view(A, "0x00000001"), view(A, "0x00000002")]
    multicall = Multicall(node)
    assert await multicall.batch_settled(calls) == [words(1), words(2)]
    assert multicall.statistics().way is Way.PLAIN


async def test_what_is_no_view_of_one_block_goes_as_it_is():
    node = Aggregating()
    multicall = Multicall(node)
    other = ("eth_call", [{"to": A, "data": "0x00000001"}, {"blockHash": "0x" + "cd" * 32}])
    with_gas = ("eth_call", [{"to": A, "data": "0x00000001", "gas": "0x1"}, BLOCK])
    for calls in ([view(A, "0x00000001"), other], [with_gas, with_gas]):
        assert await multicall.batch_settled(calls) == [words(1), words(1)]
    assert await multicall.batch_settled([]) == []
    assert (node.asked["batch"], node.asked["eth_call"]) == (3, 0)

from __future__ import annotations

import pytest

from searcher.domain.errors import LimitTripped, Misconfigured, NodeUnreachable, Rejected, Retryable
from searcher.domain.events import BlockRef
from searcher.market.budget import BudgetedNode, BudgetSettings
from searcher.market.census import Census
from searcher.market.discovery import Discovery
from searcher.market.protocol import PROTOCOLS
from searcher.market.settings import DexSettings, DiscoverySettings
from tests.unit.market.listing_node import ListingNode, address, padded, topic, words
from tests.unit.market.test_budget import Clock

FACTORY, LIST = address(0xFA), address(0xFC)
A, B, C = map(address, (0x0A, 0x0B, 0x0C))
PAIR_CREATED = topic("PairCreated(address,address,bool,address,uint256)")
CHAIN_ID = 5
PAIRS = 40


def head(number):
    return BlockRef(number, f"0x{number:064x}")


def census_of(**more):
    dexes = {"pairs": DexSettings(protocol="solidly", factory=FACTORY, first_block=100, **more)}
    protocols = {
        name: PROTOCOLS.load(dex.protocol)(PROTOCOLS.load(dex.protocol).Config())
        for name, dex in dexes.items()
    }
    return Census("test", dexes, protocols)


def announce(node, block, pair, tokens=(A, B)):
    topics = (PAIR_CREATED, padded(tokens[0]), padded(tokens[1]))
    node.log(block, FACTORY, topics, words(0, pair, 1))


@pytest.fixture
def node():
    node = ListingNode()
    for place in range(PAIRS):
        announce(node, 100 + 10 * place, address(0x5000 + place))
    return node


def pairs(count, first=0):
    return [address(0x5000 + place) for place in range(first, count)]


def discovery(folder=None, census=None, *, width=50, tokens=None, watch=lambda _: None, rescan=10):
    settings = DiscoverySettings(log_range_blocks=width, rescan_blocks=rescan)
    return Discovery(
        "test",
        CHAIN_ID,
        census or census_of(),
        settings,
        tokens=tokens,
        folder=folder,
        watch=watch,
    )


async def test_every_pool_up_to_the_head_is_found_in_order(node):
    steps = []
    found = await discovery(watch=steps.append).find(node, head(295))
    assert [pool.id for pool in found] == pairs(20)
    assert node.ranges[0] == (100, 149)
    assert node.ranges[-1] == (250, 295)
    assert (steps[-1].done, steps[-1].total, steps[-1].pools) == (196, 196, 20)
    assert [step.done for step in steps] == [50, 100, 150, 196]


async def test_a_range_that_is_too_much_is_halved_and_widens_again(node):
    node.most_blocks = 25
    found = await discovery(width=100).find(node, head(499))
    assert [pool.id for pool in found] == pairs(40)
    assert all(end - begin < 25 for begin, end in node.ranges)
    starts = [begin for begin, _ in node.ranges]
    assert starts == sorted(set(starts))


async def test_a_node_that_refuses_a_single_block_is_not_asked_for_ever(node):
    node.most_blocks = 0
    with pytest.raises(Rejected, match="more than 10000 results"):
        await discovery().find(node, head(500))


async def test_an_unreachable_node_is_not_taken_for_one_that_finds_it_too_much(node):
    node.faults = [NodeUnreachable("down")]
    with pytest.raises(NodeUnreachable):
        await discovery().find(node, head(500))
    assert node.asked["eth_getLogs"] == 1


@pytest.mark.parametrize("answer", [None, {}, [{"address": 5}], [{"topics": []}]])
async def test_an_answer_that_is_no_list_of_logs_is_refused(node, answer):
    node._logs = lambda _: answer
    with pytest.raises(Rejected, match=r"eth_getLogs answered|did not answer a list"):
        await discovery().find(node, head(100))


async def test_a_node_that_does_not_filter_announces_nothing(node):
    everything = [log | {} for log in node.logs]
    everything[0]["address"] = address(0xBAD)
    everything[1]["topics"] = [topic("Transfer(address,address,uint256)")]
    node._logs = lambda _: everything
    found = await discovery(width=1000).find(node, head(499))
    assert [pool.id for pool in found] == pairs(40, first=2)


async def test_only_pools_of_wanted_tokens_are_asked_for(node):
    announce(node, 105, address(0x7001), tokens=(A, C))
    found = await discovery(tokens={A, C}, width=1000).find(node, head(499))
    assert [pool.id for pool in found] == [address(0x7001)]


# ---- going on


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("after", range(1, 9))
async def test_a_killed_bootstrap_goes_on_where_it_was(node, tmp_path, after):
    steps = []

    def watch(step):
        steps.append(step)
        if len(steps) == after:
            raise Killed

    with pytest.raises(Killed):
        await discovery(tmp_path, watch=watch).find(node, head(499))
    done = node.ranges[-1][1]
    node.ranges.clear()
    found = await discovery(tmp_path).find(node, head(499))
    assert [pool.id for pool in found] == pairs(40)
    # But for the blocks that a reorganisation may have replaced.
    assert not node.ranges or node.ranges[0][0] == done + 1 - 10


async def test_the_next_start_asks_for_what_is_new(node, tmp_path):
    first = await discovery(tmp_path).find(node, head(399))
    node.ranges.clear()
    found = await discovery(tmp_path).find(node, head(499))
    assert found[: len(first)] == first
    assert [pool.id for pool in found] == pairs(40)
    assert node.ranges[0][0] == 390
    assert found[3].tokens == (A, B)


async def test_a_spent_budget_keeps_what_was_found(node, tmp_path):
    async def spend():
        settings = BudgetSettings(most_units=5)
        return await discovery(tmp_path).find(BudgetedNode(node, settings, Clock()), head(499))

    seen = []
    for _ in range(2):
        with pytest.raises(LimitTripped, match="start again to go on"):
            await spend()
        seen.append(node.ranges[-1][1])
    assert seen == sorted(set(seen))
    found = await spend()
    assert [pool.id for pool in found] == pairs(40)


async def test_another_scope_is_begun_anew(node, tmp_path):
    await discovery(tmp_path).find(node, head(499))
    for other in (
        discovery(tmp_path, tokens={A, B}),
        discovery(tmp_path, census_of()),
    ):
        node.ranges.clear()
        assert len(await other.find(node, head(499))) == 40
        assert node.ranges[0][0] == 100


async def test_what_was_found_on_another_chain_is_forgotten(node, tmp_path):
    await discovery(tmp_path).find(node, head(499))
    again = ListingNode()
    again.salt = 1
    announce(again, 300, address(0x9999))
    found = await discovery(tmp_path).find(again, head(499))
    assert [p.id for p in found] == [address(0x9999)]
    shorter = ListingNode()
    shorter.salt = 2
    assert await discovery(tmp_path).find(shorter, head(120)) == []


async def test_pools_since_a_block_are_found_without_a_trace(node, tmp_path):
    first = discovery(tmp_path)
    await first.find(node, head(299))
    node.ranges.clear()
    kept = (tmp_path / "test.found").read_bytes()
    since = await first.find_since(node, head(499), 290)
    assert [p.id for p in since] == pairs(40, first=19)
    assert (node.ranges[0][0], (tmp_path / "test.found").read_bytes()) == (290, kept)


@pytest.mark.parametrize("cut", [1, 20, 41, 100, 333])
async def test_a_torn_file_is_true_up_to_its_last_whole_frame(node, tmp_path, cut):
    await discovery(tmp_path).find(node, head(499))
    file = tmp_path / "test.found"
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])
    assert [p.id for p in await discovery(tmp_path).find(node, head(499))] == pairs(40)


async def test_any_damaged_byte_costs_what_comes_after_it_and_no_more(node, tmp_path):
    await discovery(tmp_path).find(node, head(499))
    file = tmp_path / "test.found"
    whole = file.read_bytes()
    for place in range(0, len(whole), 397):
        damaged = bytearray(whole)
        damaged[place] ^= 0x40
        file.write_bytes(damaged)
        found = await discovery(tmp_path).find(node, head(499))
        assert [p.id for p in found] == pairs(40), place


async def test_a_folder_that_cannot_be_written_is_the_operators_to_mend(node, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match=r"discovery\.folder"):
        await discovery(tmp_path / "file").find(node, head(499))


async def test_a_list_is_read_once_and_then_from_its_end(tmp_path):
    dexes = {"ng": DexSettings(protocol="curve_stable_ng", factory=LIST)}
    kind = PROTOCOLS.load("curve_stable_ng")
    node = ListingNode()

    def grow(count):
        node.view(LIST, "pool_count()", words(count))
        for place in range(count):
            pool = address(0x5000 + place)
            node.view(LIST, "pool_list(uint256)", words(pool), place)
            node.view(LIST, "is_meta(address)", words(0), pool)
            node.view(LIST, "get_implementation_address(address)", words(1), pool)

    for count in (3, 5):
        grow(count)
        census = Census("test", dexes, {"ng": kind(kind.Config())})
        found = await discovery(tmp_path, census).find(node, head(500))
        assert [pool.id for pool in found] == pairs(count)
    assert node.asked["eth_getLogs"] == 0
    # The three of the first reading were not asked for again.
    for place in range(3):
        node.view(LIST, "pool_list(uint256)", None, place)
    grow_only = await discovery(tmp_path, Census("test", dexes, {"ng": kind(kind.Config())})).find(
        node, head(500)
    )
    assert len(grow_only) == 5


async def test_what_the_node_does_not_answer_is_lost_nowhere(node, tmp_path):
    node.faults = [None, None, None, *[Retryable("HTTP 502")] * 20]
    with pytest.raises(Retryable):
        await discovery(tmp_path).find(node, head(499))
    node.faults = []
    assert [p.id for p in await discovery(tmp_path).find(node, head(499))] == pairs(40)

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from searcher.chains.blocks import BlockAssembler, logs_bloom, parse_head, parse_header, parse_log
from searcher.chains.channel import Channel, Overflow
from searcher.chains.rpc import RpcFault
from searcher.domain.clock import SystemClock
from searcher.domain.errors import NodeUnreachable
from searcher.domain.events import BlockApplied, ChainReorganised
from searcher.domain.units import keccak256

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


def block_hash(branch: str, number: int) -> str:
    return "0x" + keccak256(f"{branch}{number}".encode()).hex()


def raw_log(where: int, index: int, of: str) -> dict:
    return {
        "address": "0x" + f"{where:040x}",
        "topics": [TRANSFER, "0x" + f"{where * 7:064x}"],
        "data": "0x01",
        "logIndex": hex(index),
        "blockHash": of,
    }


class ScriptedNode:
    """A node whose chain the test writes; answers the assembler's two questions from it."""

    def __init__(self) -> None:
        self.blocks: dict[str, dict] = {}
        self.logs: dict[str, list[dict]] = {}
        self.asked: list[str] = []
        self.refusals: dict[str, list] = {}

    def add(self, branch: str, number: int, parent: str, logs: int = 1) -> dict:
        own = block_hash(branch, number)
        self.logs[own] = [raw_log(number * 10 + i, i, own) for i in range(logs)]
        self.blocks[own] = {
            "number": hex(number),
            "hash": own,
            "parentHash": parent,
            "timestamp": hex(1000 + number),
            "baseFeePerGas": "0x7",
            "gasLimit": "0x1c9c380",
            "gasUsed": "0x0",
            "miner": "0x" + "00" * 20,
            "logsBloom": "0x" + f"{logs_bloom(map(parse_log, self.logs[own])):0512x}",
        }
        return self.blocks[own]

    def grow(self, branch: str, numbers: range, parent: str) -> list[dict]:
        grown = []
        for number in numbers:
            grown.append(self.add(branch, number, parent, logs=number % 3))
            parent = grown[-1]["hash"]
        return grown

    async def call(self, method, params=()):
        await asyncio.sleep(0)
        self.asked.append(method)
        wanted = params[0]["blockHash"] if method == "eth_getLogs" else params[0]
        for refusal in self.refusals.get(method, [])[:1]:
            self.refusals[method].pop(0)
            if isinstance(refusal, Exception):
                raise refusal
            return refusal
        if method == "eth_getLogs":
            if wanted not in self.logs:
                raise RpcFault(-32000, "unknown block")
            return self.logs[wanted]
        return self.blocks.get(wanted)


class InstantClock(SystemClock):
    """Sleeps by letting time jump, so that patience runs out at once."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self.ahead_ns

    async def sleep(self, seconds: float) -> None:
        self.ahead_ns += int(seconds * 1e9)
        await asyncio.sleep(0)


class Rig:
    """An assembler on a scripted chain of blocks 0 to 9 of branch a; block 0 is applied."""

    def __init__(self, **options) -> None:
        self.node = ScriptedNode()
        self.chain = self.node.grow("a", range(10), "0x" + "00" * 32)
        self.heads = Channel(64, Overflow.KEEP_NEWEST)
        self.assembler = BlockAssembler(
            "test", self.node, self.heads, clock=InstantClock(), **options
        )
        self.events = self.assembler.blocks(parse_header(self.chain[0]))

    def announce(self, *raws: dict) -> None:
        for raw in raws:
            self.heads.put(parse_head(raw, 42))

    async def take(self, count: int) -> list:
        async with asyncio.timeout(5):
            return [await anext(self.events) for _ in range(count)]


def numbers(events: list) -> list[int]:
    assert all(isinstance(event, BlockApplied) for event in events)
    return [event.header.number for event in events]


async def test_announced_blocks_come_out_in_order_with_their_logs():
    rig = Rig()
    rig.announce(*rig.chain[1:4])
    events = await rig.take(3)
    assert numbers(events) == [1, 2, 3]
    assert [len(event.logs) for event in events] == [1, 2, 0]
    assert events[1].logs[1] == parse_log(rig.node.logs[rig.chain[2]["hash"]][1])
    assert all(event.received_ns == 42 for event in events)


async def test_a_gap_is_filled_by_walking_back():
    rig = Rig()
    rig.announce(rig.chain[5])
    assert numbers(await rig.take(5)) == [1, 2, 3, 4, 5]
    assert rig.assembler.statistics().filled == 4


async def test_repeated_and_old_heads_are_ignored():
    rig = Rig()
    rig.announce(rig.chain[1], rig.chain[1], rig.chain[0], rig.chain[2], rig.chain[1], rig.chain[3])
    assert numbers(await rig.take(3)) == [1, 2, 3]
    assert rig.assembler.statistics().repeated == 3


@pytest.mark.parametrize(("fork_at", "announced"), [(3, [5]), (3, [3, 4, 5]), (4, [4]), (2, [6])])
async def test_another_branch_is_followed_from_the_ancestor_that_it_shares(fork_at, announced):
    rig = Rig()
    rig.announce(*rig.chain[1:5])
    await rig.take(4)
    branch = rig.node.grow("b", range(fork_at, 9), rig.chain[fork_at - 1]["hash"])
    by_number = {int(raw["number"], 16): raw for raw in branch}
    rig.announce(*(by_number[n] for n in announced), by_number[announced[-1] + 1])
    new = range(fork_at, announced[-1] + 2)
    (reorg, *applied) = await rig.take(1 + len(new))
    assert isinstance(reorg, ChainReorganised)
    assert reorg.abandoned.number == 4
    assert reorg.head == parse_header(rig.chain[fork_at - 1])
    assert reorg.ancestor == reorg.head.ref
    assert numbers(applied) == list(new)
    assert all(event.header.hash == by_number[event.header.number]["hash"] for event in applied)
    assert all(
        event.logs == tuple(map(parse_log, rig.node.logs[event.header.hash])) for event in applied
    )
    counts = rig.assembler.statistics()
    assert (counts.reorganised, counts.too_deep) == (1, 0)


@pytest.mark.parametrize(("depth", "followed"), [(1, True), (2, True), (3, True), (4, False)])
async def test_a_branch_is_followed_to_the_configured_depth(depth, followed):
    rig = Rig(reorg_depth=3)
    rig.announce(*rig.chain[1:7])
    await rig.take(6)
    first = 7 - depth
    branch = rig.node.grow("b", range(first, 9), rig.chain[first - 1]["hash"])
    rig.announce(branch[-1])
    (reorg,) = await rig.take(1)
    if followed:
        assert reorg.ancestor == parse_header(rig.chain[first - 1]).ref
        assert numbers(await rig.take(9 - first)) == list(range(first, 9))
    else:
        assert (reorg.ancestor, reorg.head) == (None, parse_header(branch[-1]))
        rig.announce(rig.node.add("b", 9, branch[-1]["hash"]))
        assert numbers(await rig.take(1)) == [9]
    assert rig.assembler.statistics().too_deep == (not followed)


async def test_a_chain_that_goes_back_and_forth_is_followed_each_time():
    rig = Rig()
    rig.announce(*rig.chain[1:4])
    await rig.take(3)
    branch = rig.node.grow("b", range(2, 6), rig.chain[1]["hash"])
    rig.announce(branch[1])
    assert [e.head.number for e in await rig.take(1)] == [1]
    assert numbers(await rig.take(2)) == [2, 3]
    rig.announce(rig.chain[4])
    (reorg, *applied) = await rig.take(4)
    assert (reorg.abandoned.hash, reorg.head.number) == (branch[1]["hash"], 1)
    assert [event.header.hash for event in applied] == [raw["hash"] for raw in rig.chain[2:5]]
    rig.announce(branch[2])
    assert isinstance((await rig.take(1))[0], ChainReorganised)
    assert numbers(await rig.take(3)) == [2, 3, 4]


async def test_a_gap_too_deep_to_walk_is_reported_as_a_reorganisation():
    rig = Rig(gap_depth=3)
    rig.announce(rig.chain[8], rig.chain[9])
    reorg, after = await rig.take(2)
    assert isinstance(reorg, ChainReorganised)
    assert (reorg.head.number, reorg.ancestor, after.header.number) == (8, None, 9)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ([], "bloom_differs"),
        ("one of two", "bloom_differs"),
        ("second of two", "log_missing"),
        ("of another block", "foreign_block"),
        ([{}], "malformed"),
        ([None], "malformed"),
        ("with a topic that is no hex", "malformed"),
        (RpcFault(-32000, "unknown block"), "RpcFault"),
        (NodeUnreachable("gone"), "NodeUnreachable"),
    ],
)
async def test_logs_that_are_not_proven_complete_are_asked_for_again(answer, cause):
    rig = Rig()
    rig.announce(rig.chain[1])
    await rig.take(1)
    complete = rig.node.logs[rig.chain[2]["hash"]]
    wrong = {
        "one of two": complete[:1],
        "second of two": complete[1:],
        "with a topic that is no hex": [{**complete[0], "topics": ["0x" + "zz" * 32]}, complete[1]],
        "of another block": rig.node.logs[rig.chain[1]["hash"]],
    }
    lies = wrong.get(answer, answer) if isinstance(answer, str) else answer
    rig.node.refusals["eth_getLogs"] = [lies, lies]
    rig.announce(rig.chain[2])
    (event,) = await rig.take(1)
    assert len(event.logs) == 2
    assert rig.assembler.statistics().failed_attempts == {cause: 2}


async def test_logs_where_the_header_says_there_are_none_are_never_believed():
    rig = Rig(patience_s=1)
    own = rig.chain[3]["hash"]
    rig.node.logs[own] = [raw_log(1, 0, own)]
    rig.announce(rig.chain[3])
    await rig.take(2)
    awaited = asyncio.create_task(rig.take(1))
    async with asyncio.timeout(5):
        while rig.assembler.statistics().failed_attempts.get("bloom_differs", 0) < 30:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert not awaited.done()
    rig.node.logs[own] = []
    assert numbers(await awaited) == [3]


async def test_a_node_that_is_away_for_long_is_waited_for():
    rig = Rig(patience_s=1)
    rig.node.refusals["eth_getLogs"] = [NodeUnreachable("gone")] * 100
    with capture_logs() as lines:
        rig.announce(rig.chain[1])
        assert numbers(await rig.take(1)) == [1]
    complaints = [line for line in lines if line["event"] == "block_incomplete"]
    assert 20 < len(complaints) < 60
    assert complaints[0]["cause"] == "NodeUnreachable"


async def test_a_parent_that_the_node_does_not_know_yet_is_asked_for_again():
    rig = Rig()
    rig.node.refusals["eth_getBlockByHash"] = [None, rig.chain[0], {"hash": 1}]
    rig.announce(rig.chain[2])
    assert numbers(await rig.take(2)) == [1, 2]
    assert rig.assembler.statistics().failed_attempts == {
        "unknown_block": 1,
        "foreign_block": 1,
        "malformed": 1,
    }


async def test_a_block_that_was_reorganised_away_does_not_hold_up_its_successor():
    rig = Rig()
    lost = rig.node.add("lost", 1, rig.chain[0]["hash"])
    del rig.node.logs[lost["hash"]]
    rig.announce(lost, rig.chain[1], rig.chain[2])
    assert numbers(await rig.take(2)) == [1, 2]
    assert rig.assembler.statistics().superseded == 1


async def test_without_a_start_the_first_head_is_applied():
    rig = Rig()
    rig.events = rig.assembler.blocks()
    rig.announce(rig.chain[6], rig.chain[7])
    assert numbers(await rig.take(2)) == [6, 7]


@settings(max_examples=60, deadline=None)
@given(st.data())
async def test_whatever_is_announced_what_comes_out_is_a_chain(data):
    rig = Rig(gap_depth=4)
    trunk = rig.chain
    forks = [
        raw
        for at in (2, 4, 6)
        for raw in rig.node.grow(f"f{at}", range(at, at + 4), trunk[at - 1]["hash"])
    ]
    announced = data.draw(st.lists(st.sampled_from(trunk[1:] + forks), min_size=1, max_size=25))
    end = rig.node.add("end", 1, "0x" + "ee" * 32)
    rig.announce(*announced, end)
    head = trunk[0]["hash"]
    seen = {head}
    while head != end["hash"]:
        (event,) = await rig.take(1)
        if isinstance(event, ChainReorganised):
            assert event.abandoned.hash == head
            assert event.ancestor in {event.head.ref, None}
            if event.ancestor:
                assert event.head.hash in seen
            head = event.head.hash
        else:
            assert event.header.parent_hash == head
            head = event.header.hash
        seen.add(head)
    counts = rig.assembler.statistics()
    assert counts.applied - counts.filled + counts.too_deep + counts.repeated == len(announced) + 1


@pytest.mark.parametrize(
    "change",
    [
        {"number": None},
        {"hash": "0x12"},
        {"parentHash": None},
        {"timestamp": "soon"},
        {"gasLimit": 5},
        {"gasLimit": "0x1"},
        {"gasUsed": "0x1c9c381"},
        {"number": "-0x1"},
        {"number": "0x" + "f" * 17},
        {"miner": None},
        {"logsBloom": "0x00"},
        {"logsBloom": None},
        {"logsBloom": "0x" + "zz" * 256},
    ],
)
def test_a_malformed_header_is_refused(change):
    raw = {**ScriptedNode().add("a", 1, "0x" + "00" * 32), **change}
    with pytest.raises(ValueError, match=r"."):
        parse_head(raw, 0)


def test_a_header_from_before_eip_1559_has_no_base_fee():
    raw = ScriptedNode().add("a", 1, "0x" + "00" * 32)
    del raw["baseFeePerGas"]
    assert parse_header(raw).base_fee_wei == 0


@pytest.mark.parametrize(
    "change", [{"removed": True}, {"address": "0x1"}, {"topics": ["0x1"]}, {"data": None}]
)
def test_a_malformed_log_is_refused(change):
    with pytest.raises(ValueError, match="log"):
        parse_log({**raw_log(1, 0, "0x"), **change})

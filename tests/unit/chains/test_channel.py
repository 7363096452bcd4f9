from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.chains.channel import Channel, Overflow


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5), st.sampled_from(list(Overflow)))
def test_every_item_is_accounted_for(puts, capacity, overflow):
    channel, taken = Channel(capacity, overflow), []
    for number, is_put in enumerate(puts):
        if is_put:
            channel.put(number)
        elif len(channel):
            taken.append(channel.get_nowait())
        assert len(channel) <= capacity
    counts = channel.statistics()
    assert counts.put == counts.taken + counts.dropped + counts.waiting == sum(puts)
    assert taken == sorted(taken)


def test_the_oldest_gives_way():
    channel = Channel(2, Overflow.DROP_OLDEST)
    for item in "abc":
        channel.put(item)
    assert [channel.get_nowait(), channel.get_nowait()] == ["b", "c"]


def test_the_newest_replaces_all():
    channel = Channel(2, Overflow.KEEP_NEWEST)
    for item in "abc":
        channel.put(item)
    assert channel.get_nowait() == "c"
    assert channel.statistics().dropped == 2


async def test_a_waiting_consumer_gets_what_comes():
    channel = Channel(2, Overflow.DROP_OLDEST)
    got = asyncio.create_task(channel.get())
    channel.put("a")
    assert await got == "a"
    with pytest.raises(IndexError):
        channel.get_nowait()

import asyncio

from searcher.devnet import turnstile
from searcher.devnet.turnstile import Turnstile


async def test_mining_waits_for_reads_and_reads_for_mining():
    gate, told = Turnstile(), []
    first_reads, may_end = asyncio.Event(), asyncio.Event()

    async def read(name, *, hold=False):
        async with gate.reading():
            told.append(f"{name} begins")
            first_reads.set()
            if hold:
                await may_end.wait()
            told.append(f"{name} ends")

    async def mine():
        async with gate.mining():
            told.append("mined")

    first = asyncio.create_task(read("first", hold=True))
    await first_reads.wait()
    miner = asyncio.create_task(mine())
    await asyncio.sleep(0)
    second = asyncio.create_task(read("second"))
    await asyncio.sleep(0)
    may_end.set()
    await asyncio.gather(first, miner, second)

    assert told == ["first begins", "first ends", "mined", "second begins", "second ends"]


async def test_a_read_that_never_ends_does_not_stop_the_chain(monkeypatch):
    monkeypatch.setattr(turnstile, "LONGEST_WAIT_S", 0.01)
    gate = Turnstile()

    async with gate.reading(), gate.mining():
        pass

"""Writes opportunities as fast as it can and says each one's number once it is acknowledged."""

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from searcher.domain.clock import SystemClock
from searcher.domain.codec import from_json
from searcher.domain.plan import Mode, Opportunity
from searcher.domain.registry import Registry
from searcher.ledger.ledger import Ledger
from searcher.ledger.store import Store


async def main(path: Path, template: Opportunity) -> None:
    plugin = Registry("searcher.ledger.stores", Store).load("sqlite")
    ledger = await Ledger.open(
        plugin(plugin.Config(path=path)),
        mode=Mode.LIVE,
        config_hash="",
        version="",
        clock=SystemClock(),
    )
    numbers = iter(range(10**9))

    async def work() -> None:
        for number in numbers:
            await ledger.found(msgspec.structs.replace(template, id=f"devnet-9-{number}"))
            os.write(1, f"{number}\n".encode())

    await asyncio.gather(*(work() for _ in range(8)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), from_json(Opportunity, sys.argv[2])))

import asyncio
import os
import sys
from pathlib import Path

import pytest

from searcher.domain.codec import to_json

WRITER = Path(__file__).with_name("killed_writer.py")
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("acknowledged_before_the_kill", [1, 50, 400])
async def test_what_was_acknowledged_survives_kill_9(
    open_ledger, words, path, acknowledged_before_the_kill
):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        WRITER,
        path,
        to_json(words.opportunity()).decode(),
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        stdout=asyncio.subprocess.PIPE,
    )
    lines = []
    async with asyncio.timeout(60):
        while len(lines) < acknowledged_before_the_kill:
            lines.append(await process.stdout.readline())
        process.kill()
        rest = await process.stdout.read()
        await process.wait()
    whole_lines = b"".join([*lines, rest]).split(b"\n")[:-1]
    acknowledged = {f"devnet-9-{int(line)}" for line in whole_lines}

    async with await open_ledger() as ledger:
        kept = {row.opportunity_id for row in await ledger.reader.opportunities()}

    assert len(acknowledged) >= acknowledged_before_the_kill
    assert acknowledged <= kept

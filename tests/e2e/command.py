"""The command line, run as a person would."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.station import PROGRAM, ROOT, environment


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """What it said, which is one line and not the trace of a defect."""
        (line,) = self.err.strip().splitlines()
        assert "Traceback" not in line
        assert "unexpected error" not in line
        assert self.out == ""
        return line


async def say(
    *arguments: str, python: Path | None = None, within_s: float = 60.0, **variables: str
) -> Said:
    """Run the command line as a person would, and return once it has ended by itself."""
    process = await asyncio.create_subprocess_exec(
        python or sys.executable,
        "-c",
        PROGRAM,
        *arguments,
        cwd=ROOT,
        env=environment(**variables),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(within_s):
            out, err = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())

"""A protocol's reads, answered by contracts on the local EVM."""

from __future__ import annotations

from typing import Any

from tests.conformance.evm import LocalEvm, Reverted


def answered(evm: LocalEvm, reads: Any) -> Any:
    """Carry out a protocol's reads, and return what they say."""
    try:
        calls = next(reads)
        while True:
            calls = reads.send([_answer(evm, call.to, call.data) for call in calls])
    except StopIteration as stop:
        return stop.value


def _answer(evm: LocalEvm, to: str, data: str) -> tuple[int, ...] | str:
    before = evm.snapshot()
    try:
        output = evm.execute(to, bytes.fromhex(data[2:]))
    except Reverted as error:
        return f"it reverted: {error.reason}"
    finally:
        evm.revert(before)
    return tuple(int.from_bytes(output[i : i + 32]) for i in range(0, len(output), 32))

"""Runs groups of transactions on a block that does not exist yet, and says what each group pays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from searcher.chains.rpc import RpcClient, RpcFault
from searcher.devnet.block import NextBlock
from searcher.devnet.transactions import SignedTransaction
from searcher.domain.units import Uint256

_PROBE: Final = "0x00000000000000000000000000000000c01bba5e"
_PROBE_CODE: Final = "0x413160005260206000f3"
"""Returns BALANCE(COINBASE); a call to it before and after a group measures what the group pays."""


class Execution(Struct, frozen=True):
    """How one transaction ran; `output` is its return data, or its revert data."""

    succeeded: bool
    gas_used: int
    output: str
    logs: int


class GroupTrial(Struct, frozen=True):
    """How a group ran, and the wei that the block's beneficiary gained by it."""

    executions: tuple[Execution, ...]
    payment_wei: Uint256

    @property
    def gas_used(self) -> int:
        """Gas of the whole group."""
        return sum(execution.gas_used for execution in self.executions)


async def run_groups(
    rpc: RpcClient, groups: Sequence[Sequence[SignedTransaction]], block: NextBlock
) -> list[GroupTrial]:
    """Run the groups one after another on the parent's state, under the block's environment.

    Nonces and fees are not judged here: the node does not check them in a simulation.

    Raises:
        RpcFault: the node cannot run them, such as for lack of money.
    """
    probe = {"to": _PROBE, "input": "0x"}
    calls: list[dict[str, Any]] = [probe]
    for group in groups:
        calls += [transaction.to_call() for transaction in group]
        calls.append(probe)
    state_calls = {
        "stateOverrides": {_PROBE: {"code": _PROBE_CODE}},
        "blockOverrides": block.overrides(),
        "calls": calls,
    }
    request = {"blockStateCalls": [state_calls], "validation": False}
    (simulated,) = await rpc.call("eth_simulateV1", [request, block.parent_hash])
    results = simulated["calls"]
    if len(results) != len(calls):
        raise RpcFault(-32000, f"the node ran {len(results)} of {len(calls)} calls")
    trials, place, before = [], 1, int(results[0]["returnData"], 16)
    for group in groups:
        ran = results[place : place + len(group)]
        place += len(group) + 1
        after = int(results[place - 1]["returnData"], 16)
        # A transaction may take from the beneficiary only what is its own: never in practice.
        trials.append(GroupTrial(tuple(map(_execution, ran)), max(after - before, 0)))
        before = after
    return trials


def _execution(result: dict[str, Any]) -> Execution:
    error = result.get("error") or {}
    return Execution(
        succeeded=result["status"] == "0x1",
        gas_used=int(result["gasUsed"], 16),
        output=error.get("data") or result["returnData"] or error.get("message", ""),
        logs=len(result["logs"]),
    )

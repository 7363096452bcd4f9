"""Why a bundle did not land, as far as the chain can tell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from searcher.domain.errors import SearcherError
from searcher.domain.events import BlockApplied
from searcher.domain.plan import Plan, Submission, SubmissionState
from searcher.domain.units import Hash32

_Call = Callable[[str, Sequence[Any]], Awaitable[Any]]


async def why_not(
    call: _Call,
    plan: Plan,
    submissions: Sequence[Submission],
    *,
    block_hash: Hash32 | None,
    block: BlockApplied,
) -> str:
    """Return the likeliest reason, in words; what cannot be asked is said so.

    Args:
        call: JSON-RPC call of the chain's node.
        plan: what was sent.
        submissions: what the relays answered.
        block_hash: the hash of the target block, None when it is not known any more.
        block: the last applied block.
    """
    if all(s.state is SubmissionState.UNRESOLVED for s in submissions):
        return "no relay answered"
    try:
        return (
            await _missing_user(call, plan)
            or await _rival(call, plan, block_hash, block)
            or "not included"
        )
    except (SearcherError, KeyError, TypeError, ValueError, AttributeError):
        return "not included; the node did not tell why"


async def _missing_user(call: _Call, plan: Plan) -> str:
    target = plan.opportunity.target_block
    for tx in plan.opportunity.behind:
        receipt = await call("eth_getTransactionReceipt", [tx.hash])
        if receipt is None:
            return f"user transaction {tx.hash} did not land"
        number = int(receipt["blockNumber"], 16)
        if number != target:
            return f"user transaction {tx.hash} landed in block {number}, not in {target}"
    return ""


async def _rival(call: _Call, plan: Plan, block_hash: Hash32 | None, block: BlockApplied) -> str:
    pools = plan.opportunity.pools
    if block_hash is None:
        return ""
    if block_hash == block.header.hash and not any(log.address in pools for log in block.logs):
        return ""
    logs = await call("eth_getLogs", [{"blockHash": block_hash, "address": sorted(pools)}])
    followed = {tx.hash for tx in plan.opportunity.behind}
    for log in logs:
        by = log["transactionHash"].lower()
        if by not in followed:
            pool = log["address"].lower()
            return f"outbid: pool {pool} was touched by transaction {by} in the block"
    return ""

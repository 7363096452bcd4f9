"""What the market asks of a node; `chains.rpc.RpcClient` is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from searcher.domain.events import BlockRef
from searcher.domain.units import Address

AGGREGATE3: Final = "0x82ad56cb"
"""aggregate3((address,bool,bytes)[]) of Multicall3, and of `contracts/src/CallReader.sol`."""


class Node(Protocol):
    """JSON-RPC, one request or many in one."""

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Return the result, or raise the error of the one request."""

    async def batch_settled(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Return a result per request, in order; a refused one is its exception."""


async def read_words(
    node: Node, calls: Sequence[tuple[Address, str]], block: BlockRef, *, batch_calls: int
) -> list[tuple[int, ...] | str]:
    """Call contracts on the state of exactly `block`.

    Args:
        node: whom to ask.
        calls: contract and calldata (0x hex) of each.
        block: named by its hash (EIP-1898), so that a reorg cannot mix two states.
        batch_calls: how many go into one request.

    Returns:
        For each call the 32-byte words of its answer, or why there is none.
    """
    at = {"blockHash": block.hash}
    answers: list[tuple[int, ...] | str] = []
    for begin in range(0, len(calls), batch_calls):
        batch = [
            ("eth_call", [{"to": to, "data": data}, at])
            for to, data in calls[begin : begin + batch_calls]
        ]
        answers.extend(_words(answer) for answer in await node.batch_settled(batch))
    return answers


def _words(answer: Any) -> tuple[int, ...] | str:
    if isinstance(answer, Exception):
        return f"the call was refused: {answer}"
    if not isinstance(answer, str) or not answer.startswith("0x"):
        return "the node's answer is not hex"
    body = answer[2:]
    if not body or len(body) % 64:
        return f"the contract answered {len(body) // 2} bytes, not whole words"
    try:
        return tuple(int(body[i : i + 64], 16) for i in range(0, len(body), 64))
    except ValueError:
        return "the node's answer is not hex"

"""Simulation by the chain's own node, with `eth_simulateV1` (execution-apis).

Nodes differ in how strictly they validate: Anvil takes any nonce and more gas than the block has,
geth refuses both. What they leave out is checked here, from nonces read in the same request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, TypeAlias

from searcher.chains.blocks import parse_log
from searcher.chains.quantity import quantity
from searcher.chains.rpc import RpcFault
from searcher.domain.errors import InvariantBroken, Misconfigured, Retryable
from searcher.domain.events import BlockContext
from searcher.domain.units import Address
from searcher.simulation.simulator import Call, CallResult, Simulator, Unexecutable

_NO_SUCH_METHOD: Final = -32601
_INVALID_PARAMS: Final = -32602
_UNEXECUTABLE: Final = frozenset({-32003, *range(-38015, -38009), -38024, -38025})
"""Refusals of the whole block for one of its transactions: execution-apis, and Anvil's own."""
_UNEXECUTABLE_WORDS: Final = ("intrinsic gas", "insufficient funds", "nonce too")
_UNKNOWN_WORDS: Final = ("not found", "unknown block", "could not find")

_Request: TypeAlias = tuple[str, Sequence[Any]]


class EthSimulate(Simulator):
    """Asks the node that the chain's blocks come from.

    The parent is named by its hash, so that a reorganisation cannot slip another state under the
    proof. A node that takes only numbers is found out on first use; with it the hash of the block
    under that number is read before and after.
    """

    name: ClassVar[str] = "eth_simulate"
    _by_hash: bool | None = None

    async def _execute(
        self, context: BlockContext, calls: Sequence[Call], *, validate: bool
    ) -> list[CallResult]:
        if self._by_hash is None:
            self._by_hash = await self._takes_hashes(context)
        parent = {"blockHash": context.parent.hash} if self._by_hash else hex(context.parent.number)
        senders = dict.fromkeys(
            call.sender for call in calls if validate and call.nonce is not None
        )
        asked: list[_Request] = [("eth_simulateV1", [_body(context, calls, validate), parent])]
        asked += [("eth_getTransactionCount", [sender, parent]) for sender in senders]
        if self._by_hash:
            answers = await self._rpc.batch_settled(asked)
        else:
            answers = await self._ask_by_number(context, asked)
        return self._judge(context, calls, answers, list(senders), validate=validate)

    async def _ask_by_number(self, context: BlockContext, asked: list[_Request]) -> list[Any]:
        """Ask between two readings of the block that the number stands for."""
        read: _Request = ("eth_getBlockByNumber", [hex(context.parent.number), False])
        before, *answers, after = await self._rpc.batch_settled([read, *asked, read])
        for block in (before, after):
            if not isinstance(block, Mapping) or block.get("hash") != context.parent.hash:
                raise Retryable(
                    f"block {context.parent.number} of {self._rpc.name} is not (or no more) "
                    f"{context.parent.hash}: wait for the chain to settle"
                )
        return answers

    async def _takes_hashes(self, context: BlockContext) -> bool:
        """Find out with an empty simulation whether the node lets a state be named by its hash."""
        body: dict[str, Any] = {"blockStateCalls": [{}]}
        try:
            await self._rpc.call("eth_simulateV1", [body, {"blockHash": context.parent.hash}])
        except RpcFault as fault:
            if fault.code != _INVALID_PARAMS:
                raise self._sorted(fault, context) from fault
            return False
        return True

    def _judge(
        self,
        context: BlockContext,
        calls: Sequence[Call],
        answers: Sequence[Any],
        senders: Sequence[Address],
        *,
        validate: bool,
    ) -> list[CallResult]:
        """Check the answers against what was asked, and turn them into results."""
        for answer in answers:
            if isinstance(answer, RpcFault):
                raise self._sorted(answer, context) from answer
        simulated, *counts = answers
        try:
            nonces = {s: quantity(c) for s, c in zip(senders, counts, strict=True)}
            _check_nonces(calls, nonces)
            (block,) = simulated
            self._check_block(context, block, validate=validate)
            results = [_result(raw) for raw in block["calls"]]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise Retryable(
                f"the node at {self._rpc.name} gave no simulated block: {error!r}"
            ) from error
        if len(results) != len(calls):
            raise InvariantBroken(
                f"the node at {self._rpc.name} simulated {len(results)} of {len(calls)} calls"
            )
        _check_gas(context, calls, results)
        return results

    def _check_block(
        self, context: BlockContext, block: Mapping[str, Any], *, validate: bool
    ) -> None:
        """Make sure that the block and its environment are the ones asked for.

        geth names the parent; Anvil leaves it zero.
        """
        parent = quantity(block.get("parentHash") or "0x0")
        if parent and parent != int(context.parent.hash, 16):
            raise Retryable(
                f"the node at {self._rpc.name} simulated on block 0x{parent:064x}, "
                f"not on {context.parent.hash}: wait for the chain to settle"
            )
        base_fee_wei = quantity(block.get("baseFeePerGas") or "0x0")
        simulated = (
            quantity(block["number"]),
            quantity(block["timestamp"]),
            quantity(block["gasLimit"]),
            base_fee_wei if validate else context.base_fee_wei,
            block["miner"].lower(),
        )
        asked = (
            context.number,
            context.timestamp,
            context.gas_limit,
            context.base_fee_wei,
            context.coinbase,
        )
        if simulated != asked:
            raise InvariantBroken(
                f"the node at {self._rpc.name} simulated in block {simulated}, not {asked}: "
                "it does not honour block overrides"
            )

    def _sorted(self, fault: RpcFault, context: BlockContext) -> Exception:
        """Return the fault as the error that names its remedy."""
        words = fault.message.lower()
        if fault.code == _NO_SUCH_METHOD:
            return Misconfigured(
                f"the node at {self._rpc.name} has no eth_simulateV1: use a node that does"
            )
        if fault.code in _UNEXECUTABLE or any(word in words for word in _UNEXECUTABLE_WORDS):
            return Unexecutable(f"the node refuses the block: {fault.message}")
        if any(word in words for word in _UNKNOWN_WORDS):
            return Retryable(
                f"the node at {self._rpc.name} does not have the state of block "
                f"{context.parent.number} ({context.parent.hash}): {fault.message}"
            )
        return fault


PLUGIN = EthSimulate


def _body(context: BlockContext, calls: Sequence[Call], validate: bool) -> dict[str, Any]:
    overrides = {
        "number": hex(context.number),
        "time": hex(context.timestamp),
        "gasLimit": hex(context.gas_limit),
        "feeRecipient": context.coinbase,
        "baseFeePerGas": hex(context.base_fee_wei if validate else 0),
    }
    listed = [_call(call, validate) for call in calls]
    return {
        "blockStateCalls": [{"blockOverrides": overrides, "calls": listed}],
        "validation": validate,
    }


def _call(call: Call, validate: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "from": call.sender,
        "to": call.to,
        "input": "0x" + call.data.hex(),
        "value": hex(call.value),
    }
    if call.gas is not None:
        body["gas"] = hex(call.gas)
    if call.nonce is not None:
        body["nonce"] = hex(call.nonce)
    if validate:
        body["maxFeePerGas"] = hex(call.max_fee_wei)
        body["maxPriorityFeePerGas"] = hex(call.max_priority_fee_wei)
    if call.access_list:
        body["accessList"] = [{"address": a, "storageKeys": k} for a, k in call.access_list]
    return body


def _result(raw: Mapping[str, Any]) -> CallResult:
    """Read one call's result; revert data stands in the error (geth) or as the return (Anvil)."""
    succeeded = quantity(raw["status"]) == 1
    returned = bytes.fromhex(raw["returnData"][2:])
    error = raw.get("error") or {}
    data = error.get("data")
    revert = bytes.fromhex(data[2:]) if isinstance(data, str) else returned
    return CallResult(
        succeeded=succeeded,
        gas_used=quantity(raw["gasUsed"]),
        return_data=returned if succeeded else b"",
        logs=tuple(map(parse_log, raw["logs"])),
        error="" if succeeded else str(error.get("message") or "failed"),
        revert_data=b"" if succeeded else revert,
    )


def _check_nonces(calls: Sequence[Call], nonces: Mapping[Address, int]) -> None:
    following = dict(nonces)
    for call in calls:
        if call.sender not in following:
            continue
        due = following[call.sender]
        if call.nonce is not None and call.nonce != due:
            raise Unexecutable(
                f"the transaction of {call.sender} has nonce {call.nonce}, but {due} is due"
            )
        following[call.sender] = due + 1


def _check_gas(context: BlockContext, calls: Sequence[Call], results: Sequence[CallResult]) -> None:
    left = context.gas_limit
    for call, result in zip(calls, results, strict=True):
        if (call.gas or 0) > left:
            raise Unexecutable(
                f"the transaction of {call.sender} asks for {call.gas} gas, the block has {left}"
            )
        left -= result.gas_used

"""The relay: signed requests with bundles and private transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from aiohttp import web

from searcher.chains.rpc import RpcClient, RpcFault
from searcher.devnet import jsonrpc, relay_signature
from searcher.devnet.block import NextBlock
from searcher.devnet.builder import Builder
from searcher.devnet.bundles import bundle_hash
from searcher.devnet.faults import FaultKind
from searcher.devnet.jsonrpc import failed, response, succeeded
from searcher.devnet.transactions import SignedTransaction, decode
from searcher.devnet.trial import Execution, GroupTrial, run_groups
from searcher.domain.errors import Rejected
from searcher.domain.units import Address

_TAKING: Final = ("eth_sendBundle", "eth_sendPrivateTransaction", "eth_sendPrivateRawTransaction")

_Handler = Callable[[list[Any], Address], Awaitable[Any]]


class RelayFace:
    """Answers `/relay`.

    Args:
        builder: who gets the bundles.
        anvil: where `eth_callBundle` is simulated.
    """

    def __init__(self, builder: Builder, anvil: RpcClient) -> None:
        self._builder = builder
        self._anvil = anvil
        self._methods: dict[str, _Handler] = {
            "eth_sendBundle": self._send_bundle,
            "eth_callBundle": self._call_bundle,
            "eth_cancelBundle": self._cancel_bundle,
            "eth_sendPrivateTransaction": self._send_private,
            "eth_sendPrivateRawTransaction": self._send_private_raw,
            "eth_cancelPrivateTransaction": self._cancel_private,
        }

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one HTTP request, or fail as the switched-on faults say."""
        body = await request.read()
        try:
            decoded = orjson.loads(body)
            method, parameters = decoded["method"], decoded.get("params") or []
        except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError):
            return response(failed(None, jsonrpc.PARSE_ERROR, "parse error"))
        identifier = decoded.get("id")
        try:
            signer = relay_signature.verify(request.headers.get(relay_signature.HEADER), body)
        except Rejected as error:
            return response(failed(identifier, jsonrpc.INVALID_REQUEST, str(error)))
        handler = self._methods.get(method)
        if handler is None:
            return response(
                failed(identifier, jsonrpc.NOT_FOUND, f"the relay has no method {method}")
            )
        if method in _TAKING and (fault := await self._fault(identifier)) is not None:
            return fault
        answer = await self._answer(handler, parameters, signer, identifier)
        if method in _TAKING and (late := self._builder.faults.take(FaultKind.ANSWER_LATE)):
            await asyncio.sleep(late.delay_ms / 1_000)
        return answer

    async def _answer(
        self, handler: _Handler, parameters: list[Any], signer: Address, identifier: Any
    ) -> web.Response:
        try:
            result = await handler(parameters, signer)
        except RpcFault as fault:
            return response(failed(identifier, fault.code, fault.message))
        except Rejected as error:
            return response(failed(identifier, jsonrpc.REFUSED, str(error)))
        except (ValueError, TypeError, IndexError, KeyError) as error:
            return response(
                failed(identifier, jsonrpc.INVALID_PARAMETERS, f"invalid params: {error}")
            )
        return response(succeeded(identifier, result))

    async def _fault(self, identifier: Any) -> web.Response | None:
        faults = self._builder.faults
        if faults.take(FaultKind.REFUSE):
            return response(failed(identifier, jsonrpc.REFUSED, "the bundle is refused"))
        if faults.take(FaultKind.HTTP_5XX):
            return web.Response(status=503, text="service unavailable")
        if faults.take(FaultKind.TIME_OUT):
            await asyncio.Event().wait()  # until the client gives up
        return None

    async def _send_bundle(self, parameters: list[Any], signer: Address) -> Any:
        dropped = self._builder.faults.take(FaultKind.DROP) is not None
        head = self._builder.head_number
        taken = self._builder.book.take_bundle(parameters[0], signer, head, dropped=dropped)
        return {"bundleHash": taken}

    async def _send_private(self, parameters: list[Any], signer: Address) -> Any:
        dropped = self._builder.faults.take(FaultKind.DROP) is not None
        head = self._builder.head_number
        return self._builder.book.take_private(parameters[0], signer, head, dropped=dropped)

    async def _send_private_raw(self, parameters: list[Any], signer: Address) -> Any:
        return await self._send_private([{"tx": parameters[0]}], signer)

    async def _cancel_bundle(self, parameters: list[Any], signer: Address) -> Any:
        return self._builder.book.cancel(parameters[0]["replacementUuid"], signer)

    async def _cancel_private(self, parameters: list[Any], signer: Address) -> Any:
        return self._builder.book.cancel_private(parameters[0]["txHash"].lower(), signer)

    async def _call_bundle(self, parameters: list[Any], _: Address) -> Any:
        request = parameters[0]
        transactions = [decode(bytes.fromhex(raw.removeprefix("0x"))) for raw in request["txs"]]
        if not transactions:
            raise Rejected("bundle missing txs")
        tag = request.get("stateBlockNumber") or "latest"
        parent = await self._anvil.call("eth_getBlockByNumber", [tag, False])
        if parent is None:
            raise Rejected(f"header not found: there is no block {tag}")
        block = self._simulated_block(request, parent)
        trials = await run_groups(self._anvil, [[tx] for tx in transactions], block)
        return _simulation(transactions, trials, block, int(parent["number"], 16))

    def _simulated_block(self, request: dict[str, Any], parent: dict[str, Any]) -> NextBlock:
        block = self._builder.next_block(parent)
        return NextBlock(
            parent_hash=block.parent_hash,
            number=_number(request.get("blockNumber"), block.number),
            timestamp=_number(request.get("timestamp"), block.timestamp),
            base_fee_wei=_number(request.get("baseFee"), block.base_fee_wei),
            gas_limit=_number(request.get("gasLimit"), block.gas_limit),
            coinbase=request.get("coinbase") or block.coinbase,
        )


def _number(value: str | int | None, default: int) -> int:
    if value is None:
        return default
    return int(value, 16) if isinstance(value, str) else value


def _simulation(
    transactions: list[SignedTransaction],
    trials: list[GroupTrial],
    block: NextBlock,
    state_block: int,
) -> dict[str, Any]:
    """Return the result of `eth_callBundle`: wei as decimal strings, counts as numbers."""
    results = []
    total_fees = total_payment = total_gas = 0
    for transaction, trial in zip(transactions, trials, strict=True):
        (execution,) = trial.executions
        fees = execution.gas_used * transaction.effective_tip_wei(block.base_fee_wei)
        total_fees += fees
        total_payment += trial.payment_wei
        total_gas += execution.gas_used
        results.append(
            {
                "txHash": transaction.hash,
                "fromAddress": transaction.sender,
                "toAddress": transaction.to,
                "gasUsed": execution.gas_used,
                "gasFees": str(fees),
                "gasPrice": str(trial.payment_wei // max(execution.gas_used, 1)),
                "coinbaseDiff": str(trial.payment_wei),
                "ethSentToCoinbase": str(trial.payment_wei - fees),
                **_outcome(execution),
            }
        )
    return {
        "bundleHash": bundle_hash(transactions),
        "bundleGasPrice": str(total_payment // max(total_gas, 1)),
        "coinbaseDiff": str(total_payment),
        "ethSentToCoinbase": str(total_payment - total_fees),
        "gasFees": str(total_fees),
        "results": results,
        "stateBlockNumber": state_block,
        "totalGasUsed": total_gas,
    }


def _outcome(execution: Execution) -> dict[str, str]:
    if execution.succeeded:
        return {"value": execution.output}
    return {"error": "execution reverted", "revert": execution.output}

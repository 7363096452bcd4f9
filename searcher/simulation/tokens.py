"""Whether a token moves at face value, proven by moving it.

A token that keeps a fee, rebases, or refuses to be sold back makes every computed amount wrong.
Each token is moved out of a pool that holds it, on to a second account, and back into the pool, in
one simulated block; nothing is sent and nobody's approval is needed, because a simulated caller
may be anyone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from searcher.chains.blocks import parse_header
from searcher.chains.rpc import RpcClient
from searcher.domain.errors import Rejected, Retryable
from searcher.domain.events import BlockContext, BlockRef
from searcher.domain.ports import TokenProof
from searcher.domain.units import ZERO_ADDRESS, Address, keccak256
from searcher.simulation.simulator import Call, CallResult, Simulator, explain_revert

_BALANCE_OF: Final = keccak256(b"balanceOf(address)")[:4]
_TRANSFER: Final = keccak256(b"transfer(address,uint256)")[:4]
_TRUE: Final = (1).to_bytes(32, "big")
_CALL_GAS: Final = 1_000_000
_SHARE: Final = 10
_LEAST_AMOUNT: Final = 10_000
"""Moved where the pool has it: a fee of a basis point shows."""
_TOKENS_PER_RUN: Final = 16
_NO_BALANCE: Final = "balanceOf gives no balance"


def _account(name: str) -> Address:
    return Address("0x" + keccak256(f"searcher token probe {name}".encode())[12:].hex())


_FIRST: Final = _account("first")
_SECOND: Final = _account("second")


class _Case(Struct):
    """One token, the pool that holds it, and how much of it is moved."""

    token: Address
    holder: Address
    amount: int

    @property
    def moves(self) -> tuple[tuple[Address, Address], ...]:
        """Sender and receiver of each transfer: as if bought, passed on, and sold."""
        return ((self.holder, _FIRST), (_FIRST, _SECOND), (_SECOND, self.holder))

    def calls(self) -> list[Call]:
        """Each transfer between readings of both balances."""
        calls: list[Call] = []
        for sender, receiver in self.moves:
            readings = [_balance_of(self.token, who) for who in (sender, receiver)]
            data = _TRANSFER + _word(receiver) + self.amount.to_bytes(32, "big")
            move = Call(sender=sender, to=self.token, data=data, gas=_CALL_GAS)
            calls += [*readings, move, *readings]
        return calls

    def objection(self, results: Sequence[CallResult]) -> str:
        """Return why the token is unsound, given the results of `calls`; empty when it is not."""
        size = len(results) // len(self.moves)
        for at in range(0, len(results), size):
            if reason := self._objection(results[at : at + size]):
                return reason
        return ""

    def _objection(self, results: Sequence[CallResult]) -> str:
        move = results[2]
        if not move.succeeded:
            why = explain_revert(move.revert_data) if move.revert_data else move.error
            return f"transfer fails: {why}"
        if move.return_data not in (b"", _TRUE):
            return f"transfer returns 0x{move.return_data.hex()} instead of true"
        balances = [_balance(reading) for reading in (*results[:2], *results[3:])]
        if None in balances:
            return _NO_BALANCE
        sent_before, received_before, sent_after, received_after = (b or 0 for b in balances)
        if received_after - received_before != self.amount:
            return f"transfer delivers {received_after - received_before} of {self.amount}"
        if sent_before - sent_after != self.amount:
            return f"transfer of {self.amount} debits {sent_before - sent_after}"
        return ""


class SimulatedTokenProver:
    """Implements `domain.ports.TokenProver` on a simulator.

    Args:
        simulator: any backend.
        rpc: requests to the chain's node, for the parent's header.
    """

    def __init__(self, simulator: Simulator, rpc: RpcClient) -> None:
        self._simulator = simulator
        self._rpc = rpc

    async def prove(
        self, tokens: Sequence[tuple[Address, Address]], parent: BlockRef
    ) -> list[TokenProof]:
        """Prove each (token, a pool that holds it) on the state of `parent`, in order.

        Raises:
            Retryable: no answer; nothing is known of any of them.
        """
        context = await self._context(parent)
        proofs: list[TokenProof] = []
        for start in range(0, len(tokens), _TOKENS_PER_RUN):
            proofs += await self._prove(tokens[start : start + _TOKENS_PER_RUN], context)
        return proofs

    async def _prove(
        self, tokens: Sequence[tuple[Address, Address]], context: BlockContext
    ) -> list[TokenProof]:
        """Prove some tokens together, or one by one when one of them spoils the whole block."""
        try:
            return await self._prove_together(tokens, context)
        except Rejected as refusal:
            if len(tokens) == 1:
                return [TokenProof(tokens[0][0], False, f"it cannot be simulated: {refusal}")]
        return [proof for token in tokens for proof in await self._prove([token], context)]

    async def _prove_together(
        self, tokens: Sequence[tuple[Address, Address]], context: BlockContext
    ) -> list[TokenProof]:
        readings = [_balance_of(token, holder) for token, holder in tokens]
        held = [_balance(r) for r in await self._simulator.run(context, readings, validate=False)]
        cases = [
            _Case(token, holder, _amount(balance or 0))
            for (token, holder), balance in zip(tokens, held, strict=True)
        ]
        calls = [call for case in cases if case.amount for call in case.calls()]
        results = await self._simulator.run(context, calls, validate=False) if calls else []
        proofs, at = [], 0
        for case, balance in zip(cases, held, strict=True):
            reason = _NO_BALANCE if balance is None else "the pool holds none of it"
            if case.amount:
                size = len(case.calls())
                reason = case.objection(results[at : at + size])
                at += size
            proofs.append(TokenProof(case.token, not reason, reason))
        return proofs

    async def _context(self, parent: BlockRef) -> BlockContext:
        raw = await self._rpc.call("eth_getBlockByHash", [parent.hash, False])
        if raw is None:
            raise Retryable(f"the node at {self._rpc.name} does not know block {parent.hash}")
        header = parse_header(raw)
        return BlockContext(
            parent=parent,
            number=header.number + 1,
            timestamp=header.timestamp + 1,
            base_fee_wei=0,
            gas_limit=header.gas_limit,
            coinbase=ZERO_ADDRESS,
        )


def _amount(held: int) -> int:
    """Return how much is moved: a share of the holding, or enough for a small fee to show."""
    return min(held, max(held // _SHARE, _LEAST_AMOUNT))


def _balance_of(token: Address, who: Address) -> Call:
    return Call(sender=_FIRST, to=token, data=_BALANCE_OF + _word(who), gas=_CALL_GAS)


def _balance(reading: CallResult) -> int | None:
    if not reading.succeeded or len(reading.return_data) != 32:
        return None
    return int.from_bytes(reading.return_data, "big")


def _word(account: Address) -> bytes:
    return bytes.fromhex(account[2:]).rjust(32, b"\0")

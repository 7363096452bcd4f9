"""Whether a token moves at face value, proven by moving it.

A token that keeps a fee, rebases, or refuses to be sold back makes every computed amount wrong.
Each token is moved out of a pool that holds it to a contract, on to an account without code, and
back into the pool, a little first and then half of what the pool holds, in one simulated block;
nothing is sent and nobody's approval is needed, because a simulated caller may be anyone. What the
pool holds must not move by itself either: neither into the next block nor in a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

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
_TOKENS_PER_RUN: Final = 12
_DAY_SECONDS: Final = 86_400
_NO_BALANCE: Final = "balanceOf gives no balance"
_NOTHING: Final = "the pool holds none of it"
_LITTLE_MOVES: Final = 3
_NOT_SIMULATED: Final = "it cannot be simulated"
_INIT_CODE: Final = bytes.fromhex("60016000f3")
"""Leaves a contract whose code is one STOP."""


def _account(name: str) -> Address:
    return Address("0x" + keccak256(f"searcher token probe {name}".encode())[12:].hex())


_PERSON: Final = _account("person")
_DEPLOYER: Final = Address("0x4e59b44847b379578588920ca78fbf26c0b4956c")
"""Deploys what it is sent, by CREATE2; the same on every chain (Arachnid's
deterministic-deployment-proxy), and Anvil has it too."""


class _Move(NamedTuple):
    """One transfer."""

    sender: Address
    receiver: Address
    amount: int


class _Case(Struct):
    """One token, the pool that holds it, and how much of it is moved: a little, and much."""

    token: Address
    holder: Address
    contract: Address
    little: int
    much: int

    @property
    def moves(self) -> tuple[_Move, ...]:
        """As if bought, passed on, and sold; then much of it, which limits forbid."""
        contract = self.contract
        passed = (self.holder, contract), (contract, _PERSON), (_PERSON, self.holder)
        back = (self.holder, contract), (contract, self.holder)
        return (
            *(_Move(*ends, self.little) for ends in passed),
            *(_Move(*ends, self.much) for ends in back),
        )

    def calls(self) -> list[Call]:
        """Each transfer between readings of both balances."""
        calls: list[Call] = []
        for sender, receiver, amount in self.moves:
            readings = [_balance_of(self.token, who) for who in (sender, receiver)]
            data = _TRANSFER + _word(receiver) + amount.to_bytes(32, "big")
            move = Call(sender=sender, to=self.token, data=data, gas=_CALL_GAS)
            calls += [*readings, move, *readings]
        return calls

    def objection(self, results: Sequence[CallResult]) -> str:
        """Return why the token is unsound, given the results of `calls`; empty when it is not."""
        size = len(results) // len(self.moves)
        for place, move in enumerate(self.moves):
            reason = self._objection(move, results[place * size : (place + 1) * size])
            if reason and place >= _LITTLE_MOVES:
                return f"of {move.amount}, half of what the pool holds, {reason}"
            if reason:
                return reason
        return ""

    def _objection(self, moved: _Move, results: Sequence[CallResult]) -> str:
        move, amount = results[2], moved.amount
        if not move.succeeded:
            why = explain_revert(move.revert_data) if move.revert_data else move.error
            ends = {self.contract: " to a contract", self.holder: " to the pool"}
            return f"transfer{ends.get(moved.receiver, '')} fails: {why}"
        if move.return_data not in (b"", _TRUE):
            return f"transfer returns 0x{move.return_data.hex()} instead of true"
        balances = [_balance(reading) for reading in (*results[:2], *results[3:])]
        if None in balances:
            return _NO_BALANCE
        sent_before, received_before, sent_after, received_after = (b or 0 for b in balances)
        if received_after - received_before != amount:
            return f"transfer delivers {received_after - received_before} of {amount}"
        if sent_before - sent_after != amount:
            return f"transfer of {amount} debits {sent_before - sent_after}"
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
        """Prove some tokens together, or half of them each where one spoils the whole block."""
        try:
            return await self._prove_together(tokens, context)
        except Rejected as refusal:
            if len(tokens) == 1:
                return [TokenProof(tokens[0][0], False, f"{_NOT_SIMULATED}: {refusal}")]
        half = len(tokens) // 2
        first = await self._prove(tokens[:half], context)
        return first + await self._prove(tokens[half:], context)

    async def _prove_together(
        self, tokens: Sequence[tuple[Address, Address]], context: BlockContext
    ) -> list[TokenProof]:
        held, objections = await self._held(tokens, context)
        contract = _deployed_at(_salt(context))
        cases = [
            _Case(
                token,
                holder,
                contract,
                little := _amount(balance or 0),
                max(little, (balance or 0) // 2),
            )
            for (token, holder), balance in zip(tokens, held, strict=True)
        ]
        asked = [case for case, why in zip(cases, objections, strict=True) if not why]
        calls = [call for case in asked for call in case.calls()]
        results = await self._deployed_and_run(context, calls) if calls else []
        size = len(calls) // len(asked) if asked else 0
        found = {
            case.token: case.objection(results[place * size : (place + 1) * size])
            for place, case in enumerate(asked)
        }
        reasons = [why or found[case.token] for case, why in zip(cases, objections, strict=True)]
        return [
            TokenProof(case.token, not reason, reason)
            for case, reason in zip(cases, reasons, strict=True)
        ]

    async def _held(
        self, tokens: Sequence[tuple[Address, Address]], context: BlockContext
    ) -> tuple[list[int | None], list[str]]:
        """Return what the pools hold in the block, and what speaks against a token already.

        A balance is read in the parent block, in the next, and in one a day later: whoever holds a
        token that rebases, or earns interest, has another amount then.
        """
        readings = [_balance_of(token, holder) for token, holder in tokens]
        later = replace(context, timestamp=context.timestamp + _DAY_SECONDS)
        at = {"blockHash": context.parent.hash}
        asked = [
            ("eth_call", [{"to": call.to, "data": "0x" + call.data.hex()}, at]) for call in readings
        ]
        before = [_answered(answer) for answer in await self._rpc.batch_settled(asked)]
        now, after = [
            [_balance(r) for r in await self._simulator.run(each, readings, validate=False)]
            for each in (context, later)
        ]
        objections = []
        for was, held, will in zip(before, now, after, strict=True):
            if held is None:
                objections.append(_NO_BALANCE)
            elif was != held or will != held:
                objections.append(f"a balance moves by itself: {was}, {held}, a day later {will}")
            else:
                objections.append("" if held else _NOTHING)
        return now, objections

    async def _deployed_and_run(
        self, context: BlockContext, calls: Sequence[Call]
    ) -> list[CallResult]:
        """Return the results of calls in a block where the probe's contract is there."""
        salt = _salt(context)
        data = salt + _INIT_CODE
        deploy = Call(sender=_PERSON, to=_DEPLOYER, data=data, gas=_CALL_GAS)
        deployment, *results = await self._simulator.run(context, [deploy, *calls], validate=False)
        if deployment.return_data.hex() != _deployed_at(salt)[2:]:
            raise Rejected(f"the probe's contract cannot be deployed by {_DEPLOYER}")
        return results

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


def _salt(context: BlockContext) -> bytes:
    """Return what nobody can have deployed under before: the parent's hash."""
    return bytes.fromhex(context.parent.hash[2:])


def _deployed_at(salt: bytes) -> Address:
    """Return where the deployer puts the probe's contract (EIP-1014)."""
    body = b"\xff" + bytes.fromhex(_DEPLOYER[2:]) + salt + keccak256(_INIT_CODE)
    return Address("0x" + keccak256(body)[12:].hex())


def is_lasting(proof: TokenProof) -> bool:
    """Return whether a proof says something of the token, and not of this attempt alone."""
    return proof.sound or not proof.reason.startswith((_NOTHING, _NOT_SIMULATED))


def _amount(held: int) -> int:
    """Return how much is moved: a share of the holding, or enough for a small fee to show."""
    return min(held, max(held // _SHARE, _LEAST_AMOUNT))


def _balance_of(token: Address, who: Address) -> Call:
    return Call(sender=_PERSON, to=token, data=_BALANCE_OF + _word(who), gas=_CALL_GAS)


def _answered(answer: Any) -> int | None:
    """Return the balance that a node's answer to `eth_call` holds, None when it holds none."""
    if not isinstance(answer, str) or len(answer) != 66:
        return None
    return int(answer, 16)


def _balance(reading: CallResult) -> int | None:
    if not reading.succeeded or len(reading.return_data) != 32:
        return None
    return int.from_bytes(reading.return_data, "big")


def _word(account: Address) -> bytes:
    return bytes.fromhex(account[2:]).rjust(32, b"\0")

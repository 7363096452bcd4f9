"""What simulation answers: the effects of a pending transaction, and the verdict on a plan.

A backend executes transactions on a parent block's state under the environment of the block that
would come next. What is made of the results is the same for all backends and stands here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from msgspec import Struct

from searcher.chains.rpc import RpcClient
from searcher.domain import rlp
from searcher.domain.clock import Clock
from searcher.domain.errors import Rejected
from searcher.domain.events import BlockContext, Log, PendingEffects, PendingTx
from searcher.domain.plan import Plan, Verdict
from searcher.domain.registry import Registry
from searcher.domain.settings import Settings
from searcher.domain.units import Address, Uint256

_ERROR_STRING: Final = bytes.fromhex("08c379a0")
_PANIC: Final = bytes.fromhex("4e487b71")
_SET_CODE: Final = 4
_ACCESS_LIST_AT: Final = {1: 7, 2: 8}
"""Where the access list stands among the fields of a signed transaction, by its type."""


class Unexecutable(Rejected):
    """The transactions cannot stand in the block: nonce, funds, fee or gas do not allow it."""


class Call(Struct, frozen=True):
    """One transaction to execute.

    `nonce` is None where it does not matter; a given one must be the sender's next. `gas` is None
    for whatever the block has left. Amounts are in wei. `access_list` is EIP-2930's.
    """

    sender: Address
    to: Address | None
    data: bytes
    value: Uint256 = 0
    gas: int | None = None
    nonce: int | None = None
    max_fee_wei: Uint256 = 0
    max_priority_fee_wei: Uint256 = 0
    access_list: tuple[tuple[Address, tuple[str, ...]], ...] = ()

    @classmethod
    def from_pending(cls, tx: PendingTx) -> Call:
        """Return the call that executes what a user signed.

        Raises:
            Unexecutable: it sets code (EIP-7702), which nodes do not simulate alike.
        """
        if tx.tx_type == _SET_CODE:
            raise Unexecutable(f"{tx.hash} sets code: such transactions are not followed")
        return cls(
            sender=tx.sender,
            to=tx.to,
            data=tx.data,
            value=tx.value,
            gas=tx.gas,
            nonce=tx.nonce,
            max_fee_wei=tx.max_fee_wei,
            max_priority_fee_wei=tx.max_priority_fee_wei,
            access_list=_access_list(tx),
        )


class CallResult(Struct, frozen=True):
    """What one transaction did. `revert_data` and `error` are empty when it succeeded."""

    succeeded: bool
    gas_used: int
    return_data: bytes
    logs: tuple[Log, ...]
    error: str = ""
    revert_data: bytes = b""


class SimulatorStatistics(Struct, frozen=True):
    """Runs so far; those that ended without results are in `refused`, by cause."""

    runs: int
    calls: int
    refused: dict[str, int]
    verdicts: int
    succeeded: int
    spent_ns: int


def explain_revert(data: bytes) -> str:
    """Return Solidity's own revert reasons as text, anything else as hex."""
    selector, body = data[:4], data[4:]
    if not data:
        return "reverted without a reason"
    if selector == _ERROR_STRING and len(body) >= 64:
        size = int.from_bytes(body[32:64], "big")
        return f"reverted: {body[64 : 64 + size].decode(errors='replace')}"
    if selector == _PANIC and len(body) == 32:
        return f"panicked with code 0x{int.from_bytes(body, 'big'):x}"
    return f"reverted with 0x{data.hex()}"


class Simulator(ABC):
    """Executes transactions on a state; the base of every backend.

    Args:
        config: the backend's own knobs.
        rpc: requests to the chain's node.
        clock: time of the process.
        explain: turns revert data into a sentence; the executor's, which knows its own errors.
    """

    class Config(Settings):
        """A backend's knobs; none unless it says so."""

    name: ClassVar[str]
    """The backend's registered name, as verdicts carry it."""

    def __init__(
        self,
        config: Settings,
        *,
        rpc: RpcClient,
        clock: Clock,
        explain: Callable[[bytes], str] = explain_revert,
    ) -> None:
        self._config = config
        self._rpc = rpc
        self._clock = clock
        self._explain = explain
        self._counts: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    @abstractmethod
    async def _execute(
        self, context: BlockContext, calls: Sequence[Call], *, validate: bool
    ) -> list[CallResult]:
        """Execute `calls` in order in one block; as `run`, without its bookkeeping."""

    async def run(
        self, context: BlockContext, calls: Sequence[Call], *, validate: bool = True
    ) -> list[CallResult]:
        """Return what each of `calls` does when they fill the block of `context`, in order.

        Args:
            context: the block; the state is that of its parent.
            calls: the transactions, each on the state that the ones before it left.
            validate: apply the rules of a real block: nonces, fees, funds and gas. Without it
                anybody may call, at no cost and under a base fee of 0.

        Raises:
            Unexecutable: the rules forbid it; says which one.
            Rejected: the backend cannot execute this.
            Retryable: no answer, or the parent is not known (yet, or any more).
            InvariantBroken: the backend executed something else than it was asked to.
        """
        started = self._clock.monotonic_ns()
        self._counts["runs"] += 1
        self._counts["calls"] += len(calls)
        try:
            for call in calls if validate else ():
                _check_fees(call, context)
            return await self._execute(context, calls, validate=validate)
        except Exception as error:
            self._refused[type(error).__name__] += 1
            raise
        finally:
            self._counts["spent_ns"] += self._clock.monotonic_ns() - started

    async def effects(self, tx: PendingTx, context: BlockContext) -> PendingEffects:
        """Return what a pending transaction does as the first of the block.

        One that cannot be executed there, such as one behind a nonce gap, did not succeed.

        Raises:
            Retryable: no answer; nothing is known of the transaction.
        """
        try:
            (result,) = await self.run(context, [Call.from_pending(tx)])
        except Rejected as refusal:
            result = CallResult(False, 0, b"", (), error=str(refusal))
        return PendingEffects(
            tx=tx,
            parent=context.parent,
            succeeded=result.succeeded,
            gas_used=result.gas_used,
            logs=result.logs,
            at_ns=self._clock.monotonic_ns(),
        )

    async def prove(
        self,
        plan: Plan,
        *,
        sender: Address,
        context: BlockContext,
        gas_limit: int,
        nonce: int | None = None,
        max_fee_wei: int | None = None,
    ) -> Verdict:
        """Execute the bundle of a plan, with a bid of zero, and judge it.

        It succeeds when every transaction that it follows succeeds, and the executor returns at
        least the plan's least profit.

        Args:
            plan: the plan; its opportunity's parent must be the context's.
            sender: the operator that will sign.
            context: the target block.
            gas_limit: the gas limit of our transaction.
            nonce: the nonce that it will have; None leaves it open.
            max_fee_wei: what it may pay for a unit of gas; an operator who cannot afford
                `gas_limit` at this price is refused. None stands for the block's base fee.

        Raises:
            Retryable: no answer; nothing is known of the plan.
        """
        own = Call(
            sender=sender,
            to=plan.executor,
            data=plan.calldata,
            gas=gas_limit,
            nonce=nonce,
            max_fee_wei=context.base_fee_wei if max_fee_wei is None else max_fee_wei,
        )
        reason, result = self._misplaced(plan, context), None
        if not reason:
            try:
                behind = [Call.from_pending(tx) for tx in plan.opportunity.behind]
                results = await self.run(context, [*behind, own])
                result = results[-1]
                reason = self._objection(plan, results)
            except Rejected as refusal:
                reason = str(refusal)
        self._counts["verdicts"] += 1
        self._counts["succeeded"] += not reason
        return Verdict(
            opportunity_id=plan.opportunity.id,
            backend=self.name,
            context=context,
            succeeded=not reason,
            gas_used=result.gas_used if result else 0,
            realised_wei=_profit(result) if result and not reason else 0,
            reason=reason,
            at_ns=self._clock.monotonic_ns(),
        )

    def statistics(self) -> SimulatorStatistics:
        """Return the counters so far."""
        return SimulatorStatistics(
            runs=self._counts["runs"],
            calls=self._counts["calls"],
            refused=dict(self._refused),
            verdicts=self._counts["verdicts"],
            succeeded=self._counts["succeeded"],
            spent_ns=self._counts["spent_ns"],
        )

    @staticmethod
    def _misplaced(plan: Plan, context: BlockContext) -> str:
        """Return why the plan does not belong into the block at all; empty when it does."""
        if plan.opportunity.parent != context.parent:
            return (
                f"the plan stands on block {plan.opportunity.parent.hash}, "
                f"but the target's parent is {context.parent.hash}"
            )
        if plan.last_block < context.number:
            return f"the plan ends with block {plan.last_block}, before block {context.number}"
        return ""

    def _objection(self, plan: Plan, results: Sequence[CallResult]) -> str:
        """Return why the bundle fails; empty when it does not."""
        *behind, own = results
        for tx, result in zip(plan.opportunity.behind, behind, strict=True):
            if not result.succeeded:
                return f"the followed transaction {tx.hash} fails: {self._why(result)}"
        if not own.succeeded:
            return self._why(own)
        if len(own.return_data) != 32:
            return f"the executor returned {len(own.return_data)} bytes where its profit should be"
        if _profit(own) < plan.least_profit_wei:
            return f"the executor gained {_profit(own)} wei of at least {plan.least_profit_wei}"
        return ""

    def _why(self, result: CallResult) -> str:
        return self._explain(result.revert_data) if result.revert_data else result.error


def backends() -> Registry[Simulator]:
    """Return the registry of `searcher.simulation.backends`."""
    return Registry("searcher.simulation.backends", Simulator)


def _profit(result: CallResult) -> int:
    return int.from_bytes(result.return_data, "big")


def _check_fees(call: Call, context: BlockContext) -> None:
    if call.max_fee_wei < context.base_fee_wei:
        raise Unexecutable(
            f"the transaction of {call.sender} pays at most {call.max_fee_wei} wei for gas, "
            f"under the base fee of {context.base_fee_wei}"
        )


def _access_list(tx: PendingTx) -> tuple[tuple[Address, tuple[str, ...]], ...]:
    """Read the access list out of the signed bytes; it changes what gas the transaction needs."""
    at = _ACCESS_LIST_AT.get(tx.tx_type)
    if at is None:
        return ()
    fields: Any = rlp.decode(tx.raw[1:])
    return tuple(
        (Address("0x" + where.hex()), tuple("0x" + key.hex() for key in keys))
        for where, keys in fields[at]
    )

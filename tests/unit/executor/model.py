"""The contract's meaning of a program, over pools that give what the hops say.

Written from the layout that contracts/src/Executor.sol documents, it holds balances per (token,
holder) and refuses what a pool would refuse: a swap that is not paid by the time it must be.
"""

from __future__ import annotations

from collections import defaultdict

from searcher.domain.plan import CurveKind, Hop, Opportunity
from searcher.domain.units import Address
from searcher.executor.program import (
    Command,
    FlashPair,
    Pay,
    Program,
    Receiver,
    SwapPair,
)

OPERATOR = Address("0x" + "0f" * 20)


class Model:
    """Runs programs for one opportunity."""

    def __init__(self, opportunity: Opportunity, executor: Address, wrapped: Address) -> None:
        self.hops = {h.pool: h for h in (*opportunity.hops, *opportunity.conversion)}
        self.executor = executor
        self.wrapped = wrapped
        self.balances: defaultdict[tuple[Address, Address], int] = defaultdict(int)
        self.transfers = 0

    def run(self, program: Program) -> int:
        """Return the wrapped native gained."""
        self.tokens = (self.wrapped, *program.tokens)
        self._frame(program.commands, OPERATOR)
        return self.balances[self.wrapped, self.executor]

    def _frame(self, commands: tuple[Command, ...], caller: Address) -> None:
        for at, command in enumerate(commands):
            receiver = {
                Receiver.EXECUTOR: lambda: self.executor,
                Receiver.CALLER: lambda: caller,
                Receiver.NEXT: lambda at=at: commands[at + 1].pool,
            }[command.receiver]()
            if isinstance(command, Pay):
                self._move(self.tokens[command.token], self.executor, receiver, command.amount)
            else:
                self._swap(command, self.hops[command.pool], receiver)

    def _swap(self, command: Command, hop: Hop, receiver: Address) -> None:
        assert command.zero_for_one == hop.zero_for_one
        if hop.curve is CurveKind.CONCENTRATED:
            assert command.amount_in == hop.amount_in
        else:
            assert command.amount_out == hop.amount_out
        prepaid = isinstance(command, SwapPair)
        if prepaid:
            self._take(hop)
        self.balances[hop.token_out, receiver] += hop.amount_out
        self.transfers += 1
        if not prepaid:
            assert isinstance(command, FlashPair) == (hop.curve is CurveKind.CONSTANT_PRODUCT)
            self._frame(command.commands, hop.pool)
            self._take(hop)

    def _take(self, hop: Hop) -> None:
        held = self.balances.pop((hop.token_in, hop.pool), 0)
        assert held == hop.amount_in, f"{hop.pool} was given {held}, not {hop.amount_in}"

    def _move(self, token: Address, sender: Address, to: Address, amount: int) -> None:
        assert self.balances[token, sender] >= amount, "pays what it does not have"
        self.balances[token, sender] -= amount
        self.balances[token, to] += amount
        self.transfers += 1

"""From an opportunity to the executor's calldata: the one encoder.

A cycle runs backwards. Its last pool pays the start token to the executor first; in its callback
the first pool is paid out of that, and each pool sends its output straight to the pool that needs
it. So a cycle needs no own capital, an intermediate token never touches the executor, and n hops
cost n + 1 transfers. A conversion runs the same way, and is paid for with the cycle's profit.

A split runs backwards too: every pool that gives the start token pays first, each in the callback
of the one before it; in the innermost all other swaps are made in their order, out of and into the
executor, and then each of those pools is paid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import assert_never

from searcher.domain.plan import CurveKind, Hop, Opportunity, Plan
from searcher.domain.units import Address
from searcher.executor import program
from searcher.executor.program import (
    BID_OFFSET,
    BID_SIZE,
    Command,
    FlashPair,
    Pay,
    Program,
    Receiver,
    SwapPair,
    SwapPool,
)


def encode(
    opportunity: Opportunity,
    *,
    executor: Address,
    wrapped_native: Address,
    last_block: int,
    least_profit_wei: int,
    exact: bool = False,
    at_ns: int,
) -> Plan:
    """Make the plan that carries an opportunity out, with a bid of zero.

    Args:
        opportunity: the cycle, and the conversion of its profit where it needs one.
        executor: the contract that is called.
        wrapped_native: the token that contract counts profit in.
        last_block: the call reverts in any later block.
        least_profit_wei: the call reverts when it gains less wrapped native, before the bid.
        exact: it also reverts when it gains more, so that what lands is what was proved.
        at_ns: when, on the process's monotonic clock.

    Raises:
        ValueError: the hops are not a cycle with its conversion, or a figure does not fit.
    """
    _check_route(opportunity, wrapped_native)
    numbers = _numbers(opportunity, wrapped_native)
    tokens = tuple(token for token in numbers if token != wrapped_native)
    number = numbers[opportunity.start]
    if opportunity.is_split:
        commands = _split(opportunity.hops, numbers)
    else:
        commands = _cycle(opportunity.hops, number)
    if opportunity.conversion:
        commands += _deliver(opportunity.conversion, Receiver.EXECUTOR, number)
    calldata = program.write(Program(last_block, least_profit_wei, 0, exact, tokens, commands))
    return Plan(
        opportunity=opportunity,
        executor=executor,
        calldata=calldata,
        bid_offset=BID_OFFSET,
        bid_size=BID_SIZE,
        last_block=last_block,
        least_profit_wei=least_profit_wei,
        at_ns=at_ns,
    )


def with_bid(plan: Plan, bid_wei: int) -> bytes:
    """Return the plan's calldata with its bid word set.

    Raises:
        ValueError: negative, or beyond 96 bits.
    """
    end = plan.bid_offset + plan.bid_size
    return plan.calldata[: plan.bid_offset] + program.bid_bytes(bid_wei) + plan.calldata[end:]


def decode(calldata: bytes) -> Program:
    """Return what a call of the executor says, for people and tests.

    Raises:
        ValueError: not a call of `execute`, or not a whole program.
    """
    return program.read(calldata)


def _numbers(opportunity: Opportunity, wrapped_native: Address) -> dict[Address, int]:
    """Number the tokens that the executor itself pays: wrapped native is 0."""
    paid = [opportunity.start]
    if opportunity.is_split:
        paid += [hop.token_in for hop in opportunity.hops]
    return {token: n for n, token in enumerate(dict.fromkeys([wrapped_native, *paid]))}


def _split(hops: Sequence[Hop], numbers: Mapping[Address, int]) -> tuple[Command, ...]:
    """Have all that give the start token pay first, and swap the rest in between."""
    start = hops[0].token_in
    commands: tuple[Command, ...] = tuple(
        command for hop in hops if hop.token_out != start for command in _kept(hop, numbers)
    )
    for hop in hops:
        if hop.token_out == start:
            paid = Pay(Receiver.CALLER, numbers[hop.token_in], hop.amount_in)
            commands = (_paying_first(hop, (*commands, paid)),)
    return commands


def _kept(hop: Hop, numbers: Mapping[Address, int]) -> tuple[Command, ...]:
    """Swap what the executor holds into what it keeps."""
    number = numbers[hop.token_in]
    match hop.curve:
        case CurveKind.CONCENTRATED:
            paid = Pay(Receiver.CALLER, number, hop.amount_in)
            return (SwapPool(Receiver.EXECUTOR, *_swap(hop), hop.amount_in, (paid,)),)
        case CurveKind.CONSTANT_PRODUCT:
            paid = Pay(Receiver.NEXT, number, hop.amount_in)
            return (paid, SwapPair(Receiver.EXECUTOR, *_swap(hop), hop.amount_out))
        case CurveKind.OTHER:
            raise ValueError(_no_adapter(hop))
        case _:
            assert_never(hop.curve)


def _paying_first(hop: Hop, commands: tuple[Command, ...]) -> Command:
    """Have a pool pay the executor, and be paid by commands in its callback."""
    match hop.curve:
        case CurveKind.CONCENTRATED:
            return SwapPool(Receiver.EXECUTOR, *_swap(hop), hop.amount_in, commands)
        case CurveKind.CONSTANT_PRODUCT:
            return FlashPair(Receiver.EXECUTOR, *_swap(hop), hop.amount_out, commands)
        case CurveKind.OTHER:
            raise ValueError(_no_adapter(hop))
        case _:
            assert_never(hop.curve)


def _cycle(hops: Sequence[Hop], number: int) -> tuple[Command, ...]:
    """Have the last pool pay first, whatever its kind."""
    *earlier, last = hops
    if last.curve is CurveKind.CONCENTRATED:
        return _deliver(hops, Receiver.EXECUTOR, number)
    return (_paying_first(last, _deliver(earlier, Receiver.CALLER, number)),)


def _deliver(hops: Sequence[Hop], receiver: Receiver, number: int) -> tuple[Command, ...]:
    """Have the output of the last of `hops` arrive at `receiver`, paying for the first of them."""
    *earlier, last = hops
    match last.curve:
        case CurveKind.CONCENTRATED:
            feed = _feed(earlier, last, Receiver.CALLER, number)
            return (SwapPool(receiver, *_swap(last), last.amount_in, feed),)
        case CurveKind.CONSTANT_PRODUCT:
            feed = _feed(earlier, last, Receiver.NEXT, number)
            return (*feed, SwapPair(receiver, *_swap(last), last.amount_out))
        case CurveKind.OTHER:
            raise ValueError(_no_adapter(last))
        case _:
            assert_never(last.curve)


def _no_adapter(hop: Hop) -> str:
    return f"the executor has no adapter for {hop.protocol} pools such as {hop.pool}"


def _feed(earlier: Sequence[Hop], hop: Hop, receiver: Receiver, number: int) -> tuple[Command, ...]:
    """Have what `hop` takes arrive at `receiver`: from the hops before it, or paid."""
    if earlier:
        return _deliver(earlier, receiver, number)
    return (Pay(receiver, number, hop.amount_in),)


def _swap(hop: Hop) -> tuple[Address, bool]:
    return hop.pool, hop.zero_for_one


def _check_route(opportunity: Opportunity, wrapped_native: Address) -> None:
    hops, conversion = opportunity.hops, opportunity.conversion
    if len(hops) < 2:
        raise ValueError(f"{opportunity.id} has {len(hops)} hops: a cycle has at least two")
    start = opportunity.start
    if opportunity.is_split:
        _check_split(opportunity)
    elif hops[-1].token_out != start:
        raise ValueError(f"{opportunity.id} ends with {hops[-1].token_out}, not {start}")
    if len({hop.pool for hop in hops}) != len(hops):
        raise ValueError(f"{opportunity.id} swaps twice on one pool, which a callback locks")
    if bool(conversion) == (start == wrapped_native):
        raise ValueError(
            f"{opportunity.id} starts with {start}: only a cycle of another token than wrapped "
            "native has a conversion, and it must have one"
        )
    if not conversion:
        return
    _check_chain(opportunity, conversion)
    profit = opportunity.amount_out - opportunity.amount_in
    if (conversion[0].token_in, conversion[0].amount_in) != (start, profit):
        raise ValueError(f"{opportunity.id} does not convert its whole profit of {profit} {start}")
    if conversion[-1].token_out != wrapped_native:
        raise ValueError(f"{opportunity.id} converts to {conversion[-1].token_out}, not wrapped")


def _check_split(opportunity: Opportunity) -> None:
    """Check that each hop finds what it takes, the start token being there from the beginning."""
    start = opportunity.start
    held = Counter({start: opportunity.amount_out})
    last = [hop for hop in opportunity.hops if hop.token_out == start]
    for hop in (*(hop for hop in opportunity.hops if hop.token_out != start), *last):
        if held[hop.token_in] < hop.amount_in:
            raise ValueError(
                f"{opportunity.id} has {held[hop.token_in]} {hop.token_in} when {hop.pool} takes"
                f" {hop.amount_in}"
            )
        held[hop.token_in] -= hop.amount_in
        held[hop.token_out] += hop.amount_out if hop.token_out != start else 0


def _check_chain(opportunity: Opportunity, hops: Sequence[Hop]) -> None:
    for before, after in pairwise(hops):
        if before.token_out != after.token_in or before.amount_out != after.amount_in:
            raise ValueError(
                f"{opportunity.id} gives {before.amount_out} {before.token_out} at {before.pool} "
                f"but {after.pool} takes {after.amount_in} {after.token_in}"
            )

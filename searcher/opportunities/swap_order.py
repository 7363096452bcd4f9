"""From the flows of a joint trade to exact swaps, each with its input there at its turn."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

Swap: TypeAlias = Callable[[int, int], tuple[int, int] | None]
"""An exact swap: an edge and its input to its output and its gas; None when it is refused."""

_ALIKE: Final = 1e-3
"""The share by which exact outputs may exceed what floats planned, and still be passed on whole."""
_GAINED: Final = 1e-6
"""The share of what is taken of a token from which on it counts as gained and not as passed on."""


class Flow(NamedTuple):
    """What floats want of an edge, tokens by number.

    `amount` goes in (smallest units), which is worth `taken_wei` at the prices found; what comes
    out is worth `left_wei` more.
    """

    edge: int
    token_in: int
    token_out: int
    amount: float
    taken_wei: float
    left_wei: float


class Leg(NamedTuple):
    """One swap of a split, in smallest units."""

    edge: int
    amount_in: int
    amount_out: int


class Carried(NamedTuple):
    """Swaps in order, what each token has afterwards more than before, and the gas of the swaps."""

    legs: tuple[Leg, ...]
    balances: dict[int, int]
    gas: int


def carry_out(
    flows: Sequence[Flow], kept: Collection[int], basket: Mapping[int, int], swap: Swap
) -> Carried | int:
    """Carry flows out in exact integers.

    A kept token that the flows gain is lent from the beginning, since a flash swap lends it. Of any
    other token what has arrived is passed on whole, in the flows' shares, once all of it has
    arrived, so that nothing is left over where flows match. Where flows run in a circle and each
    waits for the other, the token that most leaves the circle from is lent for what goes round;
    what leaves it is what has come back beyond that.

    Args:
        flows: of different rows.
        kept: the tokens that may be kept.
        basket: what is there from the beginning, smallest units.
        swap: swaps exactly.

    Returns:
        The swaps, or an edge to do without: its pool refuses, or is of a circle that gives nothing.
    """
    lent = _lent(flows, kept)
    leaving: defaultdict[int, list[Flow]] = defaultdict(list)
    waited: Counter[int] = Counter()
    for flow in flows:
        leaving[flow.token_in].append(flow)
        waited[flow.token_out] += flow.token_out not in lent
    balances = defaultdict(int, basket)
    legs: list[Leg] = []
    gas = 0
    ready = [token for token in leaving if token in lent or not waited[token]]
    while leaving:
        if ready:
            token = ready.pop()
            shares = _shares(leaving.pop(token), None if token in lent else balances[token])
        else:
            token, circle = _circle(leaving)
            inside = [f for t in circle for f in leaving[t] if f.token_out in circle]
            leaving[token] = [flow for flow in leaving[token] if flow.token_out not in circle]
            if not leaving[token]:
                return min(inside, key=lambda flow: flow.left_wei).edge
            shares = _shares([flow for flow in inside if flow.token_in == token], None)
        for flow, amount in shares:
            if amount > 0:
                swapped = swap(flow.edge, amount)
                if swapped is None:
                    return flow.edge
                legs.append(Leg(flow.edge, amount, swapped[0]))
                gas += swapped[1]
                balances[token] -= amount
                balances[flow.token_out] += swapped[0]
            waited[flow.token_out] -= 1
            if waited[flow.token_out] == 0 and flow.token_out in leaving:
                ready.append(flow.token_out)
    return Carried(tuple(legs), dict(balances), gas)


def _lent(flows: Sequence[Flow], kept: Collection[int]) -> set[int]:
    """Return the kept tokens that come out of the flows with more than goes in."""
    taken: defaultdict[int, float] = defaultdict(float)
    gained: dict[int, float] = dict.fromkeys(kept, 0.0)
    for flow in flows:
        taken[flow.token_in] += flow.taken_wei
        if flow.token_in in gained:
            gained[flow.token_in] -= flow.taken_wei
        if flow.token_out in gained:
            gained[flow.token_out] += flow.taken_wei + flow.left_wei
    most = max(gained, key=gained.__getitem__)
    return {token for token in gained if gained[token] > _GAINED * taken[token]} | {most}


def _shares(flows: Sequence[Flow], there: int | None) -> Iterator[tuple[Flow, int]]:
    """Share what is there among flows; the greatest takes what rounding leaves."""
    wanted = [int(flow.amount) for flow in flows]
    total = sum(wanted)
    if there is None or there > total * (1 + _ALIKE) + len(flows):
        yield from zip(flows, wanted, strict=True)
        return
    greatest = max(range(len(flows)), key=wanted.__getitem__)
    shares = [amount * there // total if total else 0 for amount in wanted]
    shares[greatest] += there - sum(shares)
    yield from zip(flows, shares, strict=True)


def _circle(leaving: Mapping[int, Sequence[Flow]]) -> tuple[int, set[int]]:
    """Return the tokens of a circle that waits for nothing else, and that to be lent of them."""
    ahead = {token: _reached(token, leaving) for token in leaving}
    circles = [{o for o in ahead[t] if t in ahead[o]} for t in leaving if t in ahead[t]]
    first = next(c for c in circles if not any(c & ahead[t] for t in leaving if t not in c))

    def gives_wei(token: int) -> float:
        return sum(f.taken_wei for f in leaving[token] if f.token_out not in first)

    return max(first, key=gives_wei), first


def _reached(token: int, leaving: Mapping[int, Sequence[Flow]]) -> set[int]:
    """Return the waiting tokens that a token's flows lead to, over any number of others."""
    found: set[int] = set()
    unseen = [token]
    while unseen:
        for flow in leaving[unseen.pop()]:
            if flow.token_out in leaving and flow.token_out not in found:
                found.add(flow.token_out)
                unseen.append(flow.token_out)
    return found

"""Opportunities to encode: routes of any shape, and random ones."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import assume
from hypothesis import strategies as st

from searcher.domain.events import BlockRef
from searcher.domain.plan import CurveKind, Hop, Opportunity
from searcher.domain.units import Address, Hash32, OpportunityId

WRAPPED = Address("0x" + "ee" * 20)
EXECUTOR = Address("0x" + "ec" * 20)
USD = Address("0x" + "0d" * 20)
GEM = Address("0x" + "0e" * 20)
PAIR, POOL = CurveKind.CONSTANT_PRODUCT, CurveKind.CONCENTRATED


def numbered(number: int) -> Address:
    return Address(f"0x{number:040x}")


def hop(pool: int, curve: CurveKind, sold: tuple[Address, int], bought: tuple[Address, int]) -> Hop:
    (token_in, amount_in), (token_out, amount_out) = sold, bought
    return Hop(
        pool=numbered(pool),
        protocol="uniswap_v2" if curve is PAIR else "uniswap_v3",
        curve=curve,
        token_in=token_in,
        token_out=token_out,
        zero_for_one=token_in < token_out,
        fee_pips=3000,
        amount_in=amount_in,
        amount_out=amount_out,
    )


def opportunity(hops: Sequence[Hop], conversion: Sequence[Hop] = ()) -> Opportunity:
    return Opportunity(
        id=OpportunityId("devnet-1-1"),
        chain="devnet",
        strategy="arbitrage",
        parent=BlockRef(1, Hash32("0x" + "00" * 32)),
        target_block=2,
        behind=(),
        hops=tuple(hops),
        conversion=tuple(conversion),
        gross_wei=1,
        gas_estimate=0,
        net_wei=0,
        received_ns=0,
        at_ns=0,
    )


@st.composite
def opportunities(draw: st.DrawFn) -> Opportunity:
    """Return a route of 2 to 5 hops over any curves, with a conversion where it needs one."""
    converts = draw(st.booleans())
    start = USD if converts else WRAPPED
    count = draw(st.integers(2, 5))
    tokens = [start, *(numbered(1000 + i) for i in range(count - 1)), start]
    first = draw(st.integers(1, 2**100))
    profit = draw(st.integers(1, 2**90))
    amounts = [
        first,
        *draw(st.lists(st.integers(1, 2**112), min_size=count - 1, max_size=count - 1)),
        first + profit,
    ]
    curves = draw(st.lists(st.sampled_from([PAIR, POOL]), min_size=count + 2, max_size=count + 2))
    holdings = list(zip(tokens, amounts, strict=True))
    hops = [hop(i + 1, curves[i], holdings[i], holdings[i + 1]) for i in range(count)]
    conversion = []
    if converts:
        through = (GEM, draw(st.integers(1, 2**112)))
        gross = (WRAPPED, draw(st.integers(1, 2**90)))
        conversion = [
            hop(101, curves[-2], (start, profit), through),
            hop(102, curves[-1], through, gross),
        ]
    return opportunity(hops, conversion)


@st.composite
def splits(draw: st.DrawFn) -> Opportunity:
    """Return several ways at once from wrapped native and back, some joining and some parting."""
    pools = iter(range(1, 1000))
    curves = st.sampled_from([PAIR, POOL])
    middle = [numbered(1000 + i) for i in range(draw(st.integers(2, 4)))]
    held: dict[Address, int] = {}
    inner: list[Hop] = []
    final: list[Hop] = []
    for place, token in enumerate(middle):
        for source in [WRAPPED, *middle[:place]]:
            have = held.get(source, 0)
            ways = draw(st.integers(1 if source == WRAPPED else 0, 2))
            for _ in range(ways if source == WRAPPED or have else 0):
                most = 2**80 if source == WRAPPED else held[source]
                if not most:
                    break
                sold, bought = draw(st.integers(1, most)), draw(st.integers(1, 2**90))
                inner.append(hop(next(pools), draw(curves), (source, sold), (token, bought)))
                if source != WRAPPED:
                    held[source] -= sold
                held[token] = held.get(token, 0) + bought
    for token in middle:
        for _ in range(draw(st.integers(1, 2))):
            if held[token]:
                sold, bought = draw(st.integers(1, held[token])), draw(st.integers(2**80, 2**90))
                final.append(hop(next(pools), draw(curves), (token, sold), (WRAPPED, bought)))
                held[token] -= sold
    spent = sum(h.amount_in for h in inner if h.token_in == WRAPPED)
    gained = sum(h.amount_out for h in final)
    assume(final and gained > spent and opportunity([*inner, *final]).is_split)
    return opportunity([*inner, *final])

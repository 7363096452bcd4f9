"""Opportunities to encode: routes of any shape, and random ones."""

from __future__ import annotations

from collections.abc import Sequence

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
    curves = draw(st.lists(st.sampled_from((PAIR, POOL)), min_size=count + 2, max_size=count + 2))
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

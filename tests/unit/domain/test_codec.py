import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from searcher.domain import codec
from searcher.domain.events import BlockRef, PendingTx
from searcher.domain.plan import CurveKind, Hop, Opportunity, Outcome, OutcomeKind

u256 = st.integers(0, 2**256 - 1)
i256 = st.integers(-(2**255), 2**255 - 1)
small = st.integers(0, 2**63 - 1)
words = st.text(st.characters(codec="ascii"), max_size=70)
hops = st.builds(
    Hop,
    pool=words,
    protocol=words,
    curve=st.sampled_from(CurveKind),
    token_in=words,
    token_out=words,
    zero_for_one=st.booleans(),
    fee_pips=small,
    amount_in=u256,
    amount_out=u256,
)
pending = st.builds(
    PendingTx,
    chain=words,
    hash=words,
    raw=st.binary(max_size=200),
    sender=words,
    to=st.none() | words,
    nonce=small,
    value=u256,
    gas=small,
    max_fee_wei=u256,
    max_priority_fee_wei=u256,
    data=st.binary(max_size=200),
    tx_type=st.integers(0, 4),
    received_ns=small,
)
opportunities = st.builds(
    Opportunity,
    id=words,
    chain=words,
    strategy=words,
    parent=st.builds(BlockRef, number=small, hash=words),
    target_block=small,
    behind=st.lists(pending, max_size=2).map(tuple),
    hops=st.lists(hops, max_size=3).map(tuple),
    conversion=st.lists(hops, max_size=1).map(tuple),
    gross_wei=u256,
    gas_estimate=small,
    net_wei=i256,
    received_ns=small,
    at_ns=small,
)


@given(opportunities)
def test_json_and_msgpack_keep_every_bit(opportunity):
    assert codec.from_json(Opportunity, codec.to_json(opportunity)) == opportunity
    assert codec.from_msgpack(Opportunity, codec.to_msgpack(opportunity)) == opportunity


def outcome(profit_wei: int) -> Outcome:
    return Outcome(
        opportunity_id="a",
        kind=OutcomeKind.LANDED,
        reason="",
        block=BlockRef(1, "0x"),
        gas_used=1,
        effective_gas_price_wei=2**200,
        profit_wei=profit_wei,
        final=True,
        at_ns=1,
    )


def test_wei_leaves_as_decimal_text_and_plain_numbers_as_numbers():
    record = json.loads(codec.to_json(outcome(-(2**255))))
    assert record["profit_wei"] == str(-(2**255))
    assert record["effective_gas_price_wei"] == str(2**200)
    assert record["gas_used"] == 1


@pytest.mark.parametrize("profit_wei", [2**255, -(2**255) - 1])
def test_what_does_not_fit_256_bits_is_refused(profit_wei):
    with pytest.raises(ValueError, match="256 bits"):
        codec.to_record(outcome(profit_wei))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda r: r.pop("reason"),
        lambda r: r.update(surprise=1),
        lambda r: r.update(profit_wei="1e18"),
        lambda r: r.update(gas_used="many"),
        lambda r: r.update(kind="vanished"),
        lambda r: r.update(block=7),
    ],
)
def test_a_record_of_another_shape_is_refused(spoil):
    record = codec.to_record(outcome(1))
    spoil(record)
    with pytest.raises(ValueError, match=r"."):
        codec.from_record(Outcome, record)


class Wide(msgspec.Struct, frozen=True):
    plain: int
    pair: tuple[int, str]
    rest: tuple[tuple[int, int], ...] = ()


plain = st.integers(-(2**255), 2**255 - 1)


@given(
    st.builds(Wide, plain, st.tuples(plain, words), st.lists(st.tuples(plain, plain)).map(tuple))
)
def test_plain_integers_beyond_64_bits_and_rows_of_a_fixed_length_come_back(wide):
    assert codec.from_msgpack(Wide, codec.to_msgpack(wide)) == wide
    assert codec.from_json(Wide, codec.to_json(wide)) == wide


@pytest.mark.parametrize("pair", [[1], [1, "a", 2], 7])
def test_a_row_of_another_length_is_refused(pair):
    with pytest.raises(ValueError, match=r"."):
        codec.from_record(Wide, {"plain": 1, "pair": pair, "rest": []})

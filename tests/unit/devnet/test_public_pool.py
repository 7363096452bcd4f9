import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searcher.devnet.accounts import account
from searcher.devnet.public_pool import AccountState, PoolRefused, PublicPool
from searcher.devnet.transactions import decode

GWEI = 10**9
RICH = AccountState(nonce=0, balance_wei=10**24)
GAS_LIMIT = 30_000_000


def transaction(user=0, nonce=0, *, tip=1, max_fee=10, gas=21_000, value=0, chain_id=1):
    raw = account("user", user).sign(
        chain_id=chain_id,
        nonce=nonce,
        to=account("user", 0).address,
        gas=gas,
        max_fee_wei=max_fee * GWEI,
        max_priority_fee_wei=tip * GWEI,
        value=value,
    )
    return decode(raw)


def add(pool, *transactions, state=RICH):
    return [fresh for tx in transactions for fresh in pool.add(tx, state, gas_limit=GAS_LIMIT)]


def select(pool, **fields):
    return pool.select(**{"base_fee_wei": GWEI, "gas": GAS_LIMIT, **fields})


def test_the_higher_effective_tip_goes_first_then_the_earlier():
    pool = PublicPool(1)
    capped = transaction(0, tip=3, max_fee=3)  # pays 2 above a base fee of 1
    first, second = transaction(1, tip=5), transaction(2, tip=5)
    add(pool, capped, first, second)
    assert select(pool) == [first, second, capped]


def test_a_senders_transactions_keep_their_order_whatever_they_pay():
    pool = PublicPool(1)
    cheap, dear = transaction(0, 0, tip=1), transaction(0, 1, tip=9)
    other = transaction(1, tip=3)
    add(pool, dear, cheap, other)
    assert select(pool) == [other, cheap, dear]


def test_one_below_the_base_fee_waits_and_keeps_its_successors_waiting():
    pool = PublicPool(1)
    low, next_one = transaction(0, 0, max_fee=2), transaction(0, 1, max_fee=50)
    add(pool, low, next_one)
    assert select(pool, base_fee_wei=3 * GWEI) == []
    assert select(pool, base_fee_wei=2 * GWEI) == [low, next_one]


def test_a_gap_queues_and_filling_it_announces_both():
    pool = PublicPool(1)
    late, early = transaction(0, 1), transaction(0, 0)
    assert add(pool, late) == []
    assert pool.counts() == (0, 1)
    assert add(pool, early) == [early, late]
    assert pool.counts() == (2, 0)
    assert pool.pending_nonce(early.sender, 0) == 2


def test_a_replacement_raises_both_fees_by_a_tenth():
    pool = PublicPool(1)
    old = transaction(tip=10, max_fee=100)
    add(pool, old)
    for tip, max_fee in ((11, 109), (10, 110), (10, 100)):
        with pytest.raises(PoolRefused, match="underpriced"):
            add(pool, transaction(tip=tip, max_fee=max_fee, value=1))
    new = transaction(tip=11, max_fee=110, value=1)
    assert add(pool, new) == [new]
    assert select(pool) == [new]
    assert old.hash not in pool
    assert pool.statistics().replaced == 1


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (transaction(chain_id=2), "invalid chain id"),
        (transaction(tip=11, max_fee=10), "max priority fee per gas higher"),
        (transaction(gas=20_999), "intrinsic gas too low"),
        (transaction(gas=GAS_LIMIT + 1), "exceeds block gas limit"),
        (transaction(gas=2**24 + 1), "gas limit too high"),
        (transaction(nonce=64), "nonce too far"),
        (transaction(value=10**24), "insufficient funds"),
    ],
)
def test_what_breaks_a_rule_is_refused_and_counted(broken, reason):
    pool = PublicPool(1)
    with pytest.raises(PoolRefused, match=reason):
        add(pool, broken)
    assert sum(pool.statistics().refused.values()) == 1
    assert pool.counts() == (0, 0)


def test_a_used_nonce_and_a_known_transaction_are_refused():
    pool = PublicPool(1)
    with pytest.raises(PoolRefused, match="nonce too low"):
        add(pool, transaction(), state=AccountState(1, 10**24))
    add(pool, transaction(1))
    with pytest.raises(PoolRefused, match="already known"):
        add(pool, transaction(1))


def test_money_must_cover_all_of_a_senders_transactions():
    pool = PublicPool(1)
    poor = AccountState(0, 2 * 21_000 * 10 * GWEI - 1)
    add(pool, transaction(0, 0), state=poor)
    with pytest.raises(PoolRefused, match="insufficient funds"):
        add(pool, transaction(0, 1), state=poor)


def test_a_new_head_drops_what_was_mined_or_cannot_be_paid():
    pool = PublicPool(1)
    mined, poor, kept = transaction(0, 0), transaction(1, 0), transaction(2, 0)
    add(pool, mined, poor, kept)
    pool.settle(
        {
            mined.sender: AccountState(1, 10**24),
            poor.sender: AccountState(0, 1),
            kept.sender: RICH,
        }
    )
    assert select(pool) == [kept]
    assert pool.statistics().evicted == {"insufficient funds": 1}


def test_a_full_pool_lets_the_queued_go_first_then_the_cheapest():
    pool = PublicPool(1, capacity=2)
    queued, cheap = transaction(0, 5, max_fee=90), transaction(1, max_fee=10)
    add(pool, queued, cheap, transaction(2, max_fee=20))
    assert queued.hash not in pool
    add(pool, transaction(3, max_fee=30))
    assert cheap.hash not in pool
    with pytest.raises(PoolRefused, match="txpool is full"):
        add(pool, transaction(4, max_fee=5))


def test_senders_go_on_behind_what_the_block_has_of_them():
    pool = PublicPool(1)
    zero, one = transaction(0, 0), transaction(0, 1)
    add(pool, zero, one)
    assert select(pool, taken=[zero]) == [one]


@given(
    drawn=st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(0, 4), st.integers(1, 20), st.integers(21_000, 90_000)
        ),
        max_size=25,
    ),
    base_fee=st.integers(1, 12),
    room=st.integers(0, 600_000),
)
def test_a_selection_is_affordable_fits_and_keeps_each_senders_order(drawn, base_fee, room):
    pool = PublicPool(1)
    for user, nonce, fee, gas in drawn:
        with contextlib.suppress(PoolRefused):
            add(pool, transaction(user, nonce, tip=min(fee, 3), max_fee=fee, gas=gas))
    refused = pool.statistics().refused
    assert refused.keys() <= {"already known", "replacement transaction underpriced"}
    chosen = select(pool, base_fee_wei=base_fee * GWEI, gas=room)
    assert sum(tx.gas for tx in chosen) <= room
    assert all(tx.max_fee_wei >= base_fee * GWEI for tx in chosen)
    for sender in {tx.sender for tx in chosen}:
        nonces = [tx.nonce for tx in chosen if tx.sender == sender]
        assert nonces == list(range(len(nonces)))

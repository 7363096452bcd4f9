from __future__ import annotations

import pytest

from searcher.domain.errors import Misconfigured
from searcher.market.filters import DENIED, NOT_ALLOWED, TOO_FEW, TokenFilter, Weighed, choose
from searcher.market.settings import DiscoverySettings
from tests.unit.market.listing_node import address

WETH, USDC, DAI, JUNK = map(address, (1, 2, 3, 4))
TOKENS = {"WETH": WETH, "USDC": USDC}
PRICES = {WETH: 1.0, USDC: 0.5e12 / 1e3}


def value_of(token, amount):
    return amount * PRICES[token] if token in PRICES else None


def settings(**fields):
    return DiscoverySettings(**{"only_configured_tokens": False, **fields})


def weighed(pool, weth, other, token=USDC):
    return Weighed(pool, (WETH, token), (weth, other))


def test_any_token_is_followed_unless_it_is_denied():
    tokens = TokenFilter(TOKENS, settings(tokens_denied=("USDC", JUNK)))
    assert tokens.objection((WETH, DAI)) == ""
    assert tokens.objection((WETH, USDC)) == DENIED
    assert tokens.objection((JUNK, DAI)) == DENIED
    assert tokens.objection((WETH, DAI, JUNK)) == ""
    assert tokens.objection((WETH, USDC, JUNK)) == TOO_FEW
    assert tokens.allowed is None


def test_only_configured_and_allowed_tokens_are_followed():
    tokens = TokenFilter(TOKENS, settings(only_configured_tokens=True, tokens_allowed=(DAI,)))
    assert tokens.objection((WETH, DAI)) == ""
    assert tokens.objection((WETH, JUNK)) == NOT_ALLOWED
    assert tokens.objection((WETH, JUNK, DAI)) == ""
    assert tokens.allowed == {WETH, USDC, DAI}
    strict = TokenFilter(TOKENS, settings(only_configured_tokens=True, tokens_denied=("USDC",)))
    assert strict.allowed == {WETH}
    assert strict.objection((WETH, USDC)) == DENIED


def test_without_any_token_nothing_is_followed():
    tokens = TokenFilter({}, settings(only_configured_tokens=True))
    assert tokens.allowed == set()
    assert tokens.objection((WETH, USDC)) == NOT_ALLOWED


def test_an_unknown_name_is_explained():
    with pytest.raises(Misconfigured, match=r"tokens_denied has 'WETX'.*did you mean 'WETH'"):
        TokenFilter(TOKENS, settings(tokens_denied=("WETX",)))


def test_the_deepest_are_chosen_and_never_the_first():
    pools = [
        weighed(0, 10**18, 2 * 10**9),
        weighed(1, 9 * 10**18, 18 * 10**9),
        weighed(2, 5 * 10**18, 10 * 10**9),
        weighed(3, 9 * 10**18, 18 * 10**9),
    ]
    for order in (pools, pools[::-1]):
        choice = choose(order, value_of, settings(most_pools=3))
        assert choice.pools == (1, 3, 2)
        assert choice.left_out == {"beyond most_pools": 1}


def test_a_heap_of_one_token_is_no_depth():
    lopsided = weighed(0, 10**18, 10**30)
    even = weighed(1, 2 * 10**18, 4 * 10**9)
    assert choose([lopsided, even], value_of, settings(most_pools=1)).pools == (1,)


def test_little_liquidity_and_liquidity_without_a_price_are_counted():
    pools = [
        weighed(0, 10**18, 2 * 10**9),
        weighed(1, 10**16, 2 * 10**7),
        Weighed(2, (DAI, JUNK), (10**30, 10**30)),
        weighed(3, 2 * 10**18, 10**30, token=JUNK),
    ]
    choice = choose(pools, value_of, settings(least_liquidity_native=1.0))
    assert choice.pools == (0, 3)
    assert choice.left_out == {
        "less than least_liquidity_native": 1,
        "liquidity of no known price": 1,
    }
    assert set(choose(pools, value_of, settings()).pools) == {0, 1, 2, 3}


def test_pools_of_unproven_tokens_take_nobodys_place():
    pools = [weighed(0, 9 * 10**18, 10**30, token=JUNK), weighed(1, 10**18, 2 * 10**9)]
    choice = choose(pools, value_of, settings(most_pools=1), proven=lambda t: t != JUNK)
    assert choice.pools == (1,)
    assert choice.left_out == {"tokens that are not proven": 1}

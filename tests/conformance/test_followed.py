"""What every registered protocol promises of the pools that the market finds and searches."""

from __future__ import annotations

import itertools

import pytest

from searcher.kernels.memory import CONCENTRATED, PIECEWISE, PRODUCT
from searcher.kernels.refusal import Status, SwapRefused
from searcher.market.protocol import PROTOCOLS, FollowedProtocol, Quote
from searcher.market.settings import DexSettings
from tests.conformance.test_curves import Subject, module_of

STATES = 15
NOT_ITS_TOKENS = {Status.UNKNOWN_TOKEN, Status.SAME_TOKEN}


@pytest.fixture(params=PROTOCOLS.names())
def subject(request):
    plugin = PROTOCOLS.load(request.param)
    return Subject(plugin(plugin.Config()), module_of(request.param))


def refusal(protocol, state, block, pair):
    """Why a pool does not swap, None when it does."""
    try:
        protocol.quote_exact_in(state, block, *pair, 10**6)
    except SwapRefused as refused:
        return refused.status
    return None


def test_it_is_followed(subject):
    protocol = subject.protocol
    assert isinstance(protocol, FollowedProtocol)
    assert protocol.kind in {PRODUCT, CONCENTRATED, PIECEWISE}
    assert protocol.created_topics
    assert all(len(topic) == 66 for topic in protocol.created_topics)
    assert protocol.token_topics.keys() <= protocol.created_topics
    assert protocol.hot.keys() <= protocol.topics
    assert protocol.swap_gas(Quote(0, 0)) > 20_000
    settings = set(DexSettings.model_fields) - {"protocol", "first_block"}
    assert {*protocol.needs, *protocol.takes} <= settings


def test_its_tokens_are_those_it_quotes(subject):
    protocol = subject.protocol
    for state, block, _ in subject.draw(STATES):
        tokens = protocol.tokens_of(state)
        assert set(subject.tokens(state)) <= set(tokens)
        assert len(set(tokens)) == len(tokens) >= 2
        for pair in itertools.permutations(tokens, 2):
            if not protocol.trades(state, *pair):
                continue
            assert refusal(protocol, state, block, pair) not in NOT_ITS_TOKENS, (pair, state)


def test_its_holdings_are_of_its_tokens(subject):
    protocol = subject.protocol
    for state, _, _ in subject.draw(STATES):
        holdings = protocol.holdings(state)
        assert len(holdings) >= 2
        assert {token for token, _ in holdings} <= set(protocol.tokens_of(state))
        assert all(held >= 0 for _, held in holdings)
        assert isinstance(protocol.funded(state), bool)


def test_what_it_watches_are_contracts(subject):
    for state, _, _ in subject.draw(STATES):
        for contract in subject.protocol.watched(state):
            assert contract == contract.lower()
            assert len(contract) == 42

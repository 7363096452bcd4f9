"""What is computed once for a state in a block."""

from __future__ import annotations

import pytest

from searcher.market import memo
from searcher.market.memo import Memo


class Thing:
    """An object with an identity of its own."""


@pytest.fixture
def asked():
    return []


@pytest.fixture
def remember(asked):
    def compute(state, block, *rest):
        asked.append((state, block, *rest))
        if rest == (13,):
            raise ValueError("unlucky")
        return len(asked)

    return Memo(compute)


def test_the_same_objects_are_asked_about_once(remember, asked):
    state, block = Thing(), Thing()
    assert remember(state, block, 1) == remember(state, block, 1) == 1
    assert len(asked) == 1


def test_another_state_block_or_argument_is_another_question(remember):
    state, block = Thing(), Thing()
    answers = {remember(*q) for q in ((state, block), (Thing(), block), (state, Thing()))}
    assert len(answers | {remember(state, block, 2)}) == 4


def test_an_identity_is_never_given_away_while_it_is_kept(remember):
    answers = [remember(Thing(), Thing()) for _ in range(memo.KEPT)]
    assert answers == list(range(1, memo.KEPT + 1))


def test_the_oldest_leaves_first(remember, asked):
    first, block = Thing(), Thing()
    remember(first, block)
    for _ in range(memo.KEPT):
        remember(Thing(), block)
    before = len(asked)
    remember(first, block)
    assert len(asked) == before + 1
    assert len(remember._kept) == memo.KEPT


def test_what_is_raised_is_not_kept(remember, asked):
    state, block = Thing(), Thing()
    for _ in range(2):
        with pytest.raises(ValueError, match="unlucky"):
            remember(state, block, 13)
    assert len(asked) == 2

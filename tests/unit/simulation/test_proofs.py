from __future__ import annotations

import pytest

from searcher.domain.errors import Retryable
from searcher.domain.events import BlockRef
from searcher.domain.ports import TokenProof
from searcher.simulation.proofs import RememberedTokenProver
from searcher.simulation.tokens import is_lasting

A, B = ("0x" + digit * 40 for digit in "ab")
POOL = "0x" + "99" * 20


class Prover:
    """Says what it is told to, and notes what it is asked."""

    def __init__(self):
        self.asked = []
        self.reasons = {}

    async def prove(self, tokens, parent):  # noqa: ARG002  the port has it
        self.asked.append([token for token, _ in tokens])
        return [TokenProof(t, t not in self.reasons, self.reasons.get(t, "")) for t, _ in tokens]


class Node:
    """Tells code and slots of tokens, each slot zero unless it is given."""

    def __init__(self):
        self.code = {A: "0x60", B: "0x61"}
        self.slots = {}

    async def batch_settled(self, calls):
        return [
            self.code[params[0]]
            if method == "eth_getCode"
            else self.slots.get((params[0], params[1]), "0x" + "00" * 32)
            for method, params in calls
        ]


def head(number):
    return BlockRef(number, f"0x{number:064x}")


@pytest.fixture
def prover():
    return Prover()


@pytest.fixture
def node():
    return Node()


@pytest.fixture
def remembered(prover, node, tmp_path):
    def make(chain_id=1, renew_after_blocks=100):
        return RememberedTokenProver(
            prover,
            node,
            chain_id=chain_id,
            path=tmp_path / "cache" / "proofs.json",
            renew_after_blocks=renew_after_blocks,
        )

    return make


async def test_a_token_is_proven_once_whatever_came_of_it(prover, remembered):
    prover.reasons[B] = "transfer delivers 99 of 100"
    both = [(A, POOL), (B, POOL)]
    first = await remembered().prove(both, head(10))
    again = remembered()
    assert await again.prove(both, head(11)) == first
    assert [p.sound for p in first] == [True, False]
    assert prover.asked == [[A, B]]
    assert (again.statistics().remembered, again.statistics().made) == (2, 0)


@pytest.mark.parametrize("behind", ["code", "slot"])
async def test_a_token_whose_code_changes_is_proven_again(prover, node, remembered, behind):
    proven = remembered()
    await proven.prove([(A, POOL), (B, POOL)], head(10))
    if behind == "code":
        node.code[A] = "0x6001"
    else:
        slot = "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc"
        node.slots[A, slot] = "0x" + "12" * 32
    prover.reasons[A] = "it is another one now"
    assert [p.sound for p in await proven.prove([(A, POOL), (B, POOL)], head(11))] == [False, True]
    assert prover.asked == [[A, B], [A]]
    assert proven.statistics().renewed == 1


async def test_an_old_proof_is_made_again(prover, remembered):
    proven = remembered(renew_after_blocks=100)
    for number in (10, 110, 111, 112):
        await proven.prove([(A, POOL)], head(number))
    assert prover.asked == [[A], [A]]


async def test_what_says_nothing_of_the_token_is_not_remembered(prover, remembered):
    proven = remembered()
    for reason in ("the pool holds none of it", "it cannot be simulated: too much gas"):
        prover.reasons[A] = reason
        assert not is_lasting(TokenProof(A, sound=False, reason=reason))
        assert [p.reason for p in await proven.prove([(A, POOL)], head(10))] == [reason]
    del prover.reasons[A]
    assert [p.sound for p in await proven.prove([(A, POOL)], head(10))] == [True]


async def test_a_damaged_file_and_another_chains_are_begun_anew(prover, remembered, tmp_path):
    await remembered().prove([(A, POOL)], head(10))
    await remembered(chain_id=2).prove([(A, POOL)], head(10))
    (tmp_path / "cache" / "proofs.json").write_text("{")
    await remembered().prove([(A, POOL)], head(10))
    assert prover.asked == [[A]] * 3


async def test_a_node_that_does_not_tell_the_code_is_asked_again(node, remembered):
    node.code[A] = ValueError("no")
    with pytest.raises(Retryable, match="does not tell the code"):
        await remembered().prove([(A, POOL)], head(10))

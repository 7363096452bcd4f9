import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from searcher.domain.errors import InvariantBroken
from searcher.domain.units import OpportunityId
from searcher.submission.nonces import NonceLanes
from searcher.submission.signer import LocalSigner

SIGNERS = [LocalSigner(bytes([n]) * 32) for n in (1, 2)]
ADDRESSES = [s.address for s in SIGNERS]
A = ADDRESSES[0]


def opportunity(n):
    return OpportunityId(f"devnet-{n}-0")


@pytest.fixture
def lanes():
    lanes = NonceLanes(SIGNERS)
    lanes.reconcile(dict.fromkeys(ADDRESSES, 5), 100)
    return lanes


def test_nothing_can_be_claimed_before_the_chain_was_asked():
    assert NonceLanes(SIGNERS).claim(target_block=101, opportunity_id=opportunity(1)) is None


def test_each_lane_is_given_once(lanes):
    first = lanes.claim(target_block=101, opportunity_id=opportunity(1))
    second = lanes.claim(target_block=101, opportunity_id=opportunity(2))

    assert (first.address, first.nonce) == (A, 5)
    assert (second.address, second.nonce) == (ADDRESSES[1], 5)
    assert lanes.claim(target_block=102, opportunity_id=opportunity(3)) is None
    assert lanes.statistics().refused == 1


def test_a_void_claims_nonce_is_given_again(lanes):
    lanes.claim(target_block=101, opportunity_id=opportunity(1))
    lanes.void(A, 5, opportunity(1))

    again = lanes.claim(target_block=102, opportunity_id=opportunity(2))

    assert (again.address, again.nonce, again.target_block) == (A, 5, 102)


def test_voiding_an_old_claim_leaves_the_live_one(lanes):
    lanes.claim(target_block=101, opportunity_id=opportunity(1))
    lanes.void(A, 5, opportunity(1))
    lanes.claim(target_block=102, opportunity_id=opportunity(2))

    lanes.void(A, 5, opportunity(1))

    assert lanes.claim(target_block=102, opportunity_id=opportunity(3)).address != A


def test_a_consumed_nonce_moves_the_lane_on(lanes):
    lanes.claim(target_block=101, opportunity_id=opportunity(1))
    lanes.consumed(A, 5, 101)

    assert lanes.claim(target_block=102, opportunity_id=opportunity(2)).nonce == 6


def test_a_lagging_node_does_not_turn_a_nonce_back(lanes):
    lanes.consumed(A, 5, 101)
    lanes.reconcile({A: 5}, 100)

    assert lanes.claim(target_block=102, opportunity_id=opportunity(2)).nonce == 6


def test_a_reorg_turns_a_nonce_back_and_holds_the_lane(lanes):
    lanes.consumed(A, 5, 101)
    lanes.reorganised()
    lanes.reopen(A, nonce=5, target_block=101, opportunity_id=opportunity(1))
    lanes.reconcile(dict.fromkeys(ADDRESSES, 5), 100)

    assert lanes.claim(target_block=102, opportunity_id=opportunity(2)).address != A
    lanes.void(A, 5, opportunity(1))
    assert lanes.claim(target_block=102, opportunity_id=opportunity(3)).nonce == 5


def test_an_earlier_runs_open_bundle_holds_its_lane(lanes):
    lanes.adopt(A, nonce=5, target_block=101, opportunity_id=opportunity(1))
    lanes.adopt(A, nonce=4, target_block=99, opportunity_id=opportunity(9))  # consumed long ago

    assert lanes.claim(target_block=101, opportunity_id=opportunity(2)).address != A
    lanes.adopt(A, nonce=5, target_block=101, opportunity_id=opportunity(5))  # an alternative
    # Void before it, and not written yet when the process died.
    lanes.adopt(A, nonce=5, target_block=100, opportunity_id=opportunity(3))
    for n in (1, 3, 5):
        lanes.void(A, 5, opportunity(n))
    assert lanes.statistics().free == 1
    with pytest.raises(InvariantBroken, match="not configured"):
        lanes.adopt("0x" + "99" * 20, nonce=5, target_block=1, opportunity_id=opportunity(4))


def wants(*names):
    return frozenset(names)


def test_plans_that_want_the_same_are_alternatives_on_one_nonce(lanes):
    first = lanes.claim(target_block=101, opportunity_id=opportunity(1), wants=wants("p", "q"))
    rival = lanes.claim(target_block=101, opportunity_id=opportunity(2), wants=wants("q", "r"))
    other = lanes.claim(target_block=101, opportunity_id=opportunity(3), wants=wants("s"))

    assert (rival.address, rival.nonce) == (first.address, first.nonce)
    assert other.address != first.address
    assert lanes.statistics().alternatives == 1


def test_a_lane_is_free_when_the_last_alternative_is_void(lanes):
    for n in (1, 2):
        lanes.claim(target_block=101, opportunity_id=opportunity(n), wants=wants("p"))
    lanes.void(A, 5, opportunity(1))
    assert lanes.statistics().free == 1

    lanes.void(A, 5, opportunity(2))
    assert lanes.statistics().free == 2


def test_a_plan_between_two_lanes_takes_a_free_one():
    third = LocalSigner(bytes([9]) * 32)
    lanes = NonceLanes([*SIGNERS, third])
    lanes.reconcile(dict.fromkeys(lanes.addresses, 5), 100)
    lanes.claim(target_block=101, opportunity_id=opportunity(1), wants=wants("p"))
    lanes.claim(target_block=101, opportunity_id=opportunity(2), wants=wants("q"))

    torn = lanes.claim(target_block=101, opportunity_id=opportunity(3), wants=wants("p", "q"))

    assert torn.address == third.address
    assert lanes.statistics().alternatives == 0


def test_more_plans_than_keys_become_alternatives(lanes):
    first, second, third = (
        lanes.claim(target_block=101, opportunity_id=opportunity(n), wants=wants(str(n)))
        for n in (1, 2, 3)
    )

    assert first.address != second.address
    assert (third.address, third.nonce) == (first.address, first.nonce)
    assert lanes.statistics().alternatives == 1


def test_a_lane_with_a_plan_for_an_earlier_block_takes_no_other(lanes):
    for n, block in ((1, 101), (2, 101), (3, 102)):
        claim = lanes.claim(target_block=block, opportunity_id=opportunity(n), wants=wants(str(n)))

    assert claim is None
    assert lanes.statistics().refused == 1


def test_what_a_plan_for_another_block_wants_does_not_matter(lanes):
    lanes.claim(target_block=101, opportunity_id=opportunity(1), wants=wants("p"))

    later = lanes.claim(target_block=102, opportunity_id=opportunity(2), wants=wants("p"))

    assert later.address != A


@pytest.mark.parametrize("signers", [[], [SIGNERS[0], SIGNERS[0]]])
def test_lanes_need_distinct_signers(signers):
    with pytest.raises(ValueError, match="each address once"):
        NonceLanes(signers)


class OneLandingPerNonce(RuleBasedStateMachine):
    """The chain as a model: who signed what, what it took, what a reorg gave back."""

    def __init__(self):
        super().__init__()
        self.lanes = NonceLanes(SIGNERS)
        self.chain = dict.fromkeys(ADDRESSES, 0)
        self.block = 0
        self.live = {}  # opportunity -> (address, nonce), neither void nor consumed
        self.target = {}
        self.landed = []  # (block, address, nonce, opportunity)
        self.made = 0
        self.lanes.reconcile(self.chain, 0)

    @rule()
    def claim(self):
        self.made += 1
        name = opportunity(self.made)
        claim = self.lanes.claim(target_block=self.block + 1, opportunity_id=name)
        if claim is None:
            return
        assert claim.nonce == self.chain[claim.address]
        self.live[name] = (claim.address, claim.nonce)
        self.target[name] = claim.target_block

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def void(self, data):
        name = data.draw(st.sampled_from(sorted(self.live)))
        self.lanes.void(*self.live.pop(name), name)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def land(self, data):
        name = data.draw(st.sampled_from(sorted(self.live)))
        address, nonce = self.live[name]
        if nonce != self.chain[address]:
            return
        self.live = {n: place for n, place in self.live.items() if place != (address, nonce)}
        self.block += 1
        self.chain[address] += 1
        self.landed.append((self.block, address, nonce, name))
        self.lanes.consumed(address, nonce, self.block)

    @rule()
    def another_block(self):
        self.block += 1
        self.lanes.reconcile(self.chain, self.block)

    @rule()
    def an_old_answer(self):
        self.lanes.reconcile(dict.fromkeys(ADDRESSES, 0), -2)

    @precondition(lambda self: self.landed)
    @rule()
    def reorg(self):
        _, address, nonce, name = self.landed.pop()
        self.chain[address] = nonce
        self.live[name] = (address, nonce)
        self.target[name] = self.block + 1
        self.lanes.reorganised()
        self.lanes.reopen(address, nonce=nonce, target_block=self.block + 1, opportunity_id=name)
        self.lanes.reconcile(self.chain, self.block)

    @invariant()
    def only_alternatives_for_one_block_share_a_nonce(self):
        targets = {}
        for name, place in self.live.items():
            targets.setdefault(place, set()).add(self.target[name])
        assert all(len(blocks) == 1 for blocks in targets.values())

    @invariant()
    def a_lane_is_free_exactly_when_nothing_of_it_is_live(self):
        taken = {address for address, _ in self.live.values()}
        assert self.lanes.statistics().free == len(ADDRESSES) - len(taken)


TestOneLandingPerNonce = OneLandingPerNonce.TestCase
TestOneLandingPerNonce.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)

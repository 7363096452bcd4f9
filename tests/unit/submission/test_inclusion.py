"""The watcher against a small chain that keeps nonces, receipts and logs per block."""

import msgspec
import pytest

from searcher.domain.errors import InvariantBroken, Retryable
from searcher.domain.events import ChainReorganised, Log
from searcher.domain.plan import OutcomeKind, SubmissionState
from searcher.risk.gate import RiskGate, SystemState
from searcher.risk.settings import RiskSettings
from searcher.submission import inclusion
from searcher.submission.inclusion import InclusionWatcher, OpenBundle
from searcher.submission.nonces import NonceLanes
from searcher.submission.receipts import TRANSFER_TOPIC, WITHDRAWAL_TOPIC

GAS_USED = 150_000
FINAL_AFTER = 3


def topic(address):
    return "0x" + "00" * 12 + address[2:]


async def take(watcher, block):
    await watcher.on_block(block)
    await watcher.settle(block)


class SmallChain:
    """Blocks on one branch; each holds transactions with sender, nonce, status and logs."""

    def __init__(self, words):
        self.words = words
        self.blocks = {}  # hash -> (number, parent hash, txs)
        self.head = words.ref(9)
        self.blocks[self.head.hash] = (9, None, [])
        self.silent = set()  # methods that do not answer
        self.hidden = set()  # transactions without a receipt yet

    def mine(self, *txs, fork="", on=None):
        parent = on or self.head
        self.head = self.words.ref(parent.number + 1, fork)
        self.blocks[self.head.hash] = (self.head.number, parent.hash, list(txs))
        logs = [Log(*log) for tx in txs for log in tx.get("logs", ())]
        return self.words.block(self.head.number, fork=fork, logs=logs)

    def chain_from(self, hash_):
        while hash_ is not None:
            number, parent, txs = self.blocks[hash_]
            yield number, hash_, txs
            hash_ = parent

    async def batch_settled(self, calls):
        return [await self.call(method, params) for method, params in calls]

    async def call(self, method, params=()):
        if method in self.silent:
            raise Retryable(f"{method} timed out")
        return getattr(self, method)(*params)

    def eth_getTransactionCount(self, sender, block):  # noqa: N802 - the method's own name
        if block["blockHash"] not in self.blocks:
            raise Retryable("unknown block")
        branch = self.chain_from(block["blockHash"])
        return hex(7 + sum(tx["from"] == sender for _, _, txs in branch for tx in txs))

    def eth_getTransactionReceipt(self, hash_):  # noqa: N802
        if hash_ in self.hidden:
            return None
        for number, block_hash, txs in self.chain_from(self.head.hash):
            for tx in txs:
                if tx["hash"] == hash_:
                    return {
                        "blockNumber": hex(number),
                        "blockHash": block_hash,
                        "status": hex(tx.get("status", 1)),
                        "gasUsed": hex(GAS_USED),
                        "effectiveGasPrice": hex(self.words.base_fee_wei),
                        "logs": [rpc_log(log, tx) for log in tx.get("logs", ())],
                    }
        return None

    def eth_getLogs(self, query):  # noqa: N802
        _, _, txs = self.blocks[query["blockHash"]]
        found = [rpc_log(log, tx) for tx in txs for log in tx.get("logs", ())]
        return [log for log in found if log["address"] in query["address"]]


def rpc_log(log, tx):
    address, topics, data = log
    return {
        "address": address,
        "topics": list(topics),
        "data": data,
        "logIndex": "0x0",
        "transactionHash": tx["hash"],
    }


class Notes:
    """A journal that keeps what it is given."""

    def __init__(self):
        self.outcomes = []

    async def ended(self, outcome):
        self.outcomes.append(outcome)


class Scene:
    def __init__(self, words, signers, clock):
        self.words = words
        self.chain = SmallChain(words)
        self.lanes = NonceLanes(signers[:1])
        self.operator = signers[0].address
        self.gate = RiskGate(RiskSettings())
        self.notes = Notes()
        self.watcher = InclusionWatcher(
            node=self.chain,
            lanes=self.lanes,
            gate=self.gate,
            journal=self.notes,
            clock=clock,
            wrapped_native=words.weth,
            final_after_blocks=FINAL_AFTER,
        )

    async def sent(self, n=0, state=SubmissionState.ACKNOWLEDGED, reason="", **fields):
        """A bundle that was signed on the lane and answered by one relay."""
        opportunity = self.words.opportunity(n, self.chain.head, **fields)
        claim = self.lanes.claim(
            target_block=opportunity.target_block, opportunity_id=opportunity.id
        )
        bundle = self.words.bundle(opportunity, sender=claim.address, nonce=claim.nonce)
        self.watcher.track(self.words.plan(opportunity), bundle)
        answer = self.words.submission(opportunity, state=state, reason=reason)
        await self.watcher.answered(bundle, [answer])
        return bundle

    def ours(self, bundle, *, gross_wei=10**16, status=1):
        def move(signature, amount, *parties):
            return (self.words.weth, (signature, *map(topic, parties)), f"0x{amount:064x}")

        pool, ours = self.words.pools[0], self.words.executor
        logs = [
            move(TRANSFER_TOPIC, gross_wei, pool, ours),
            move(WITHDRAWAL_TOPIC, bundle.bid_wei, ours),
        ]
        return {
            "hash": bundle.own_hash,
            "from": bundle.sender,
            "status": status,
            "logs": logs if status else [],
        }

    async def next(self, *txs, **branch):
        await take(self.watcher, self.chain.mine(*txs, **branch))

    @property
    def kinds(self):
        return [(o.kind.value, o.final) for o in self.notes.outcomes]

    @property
    def last(self):
        return self.notes.outcomes[-1]

    @property
    def lane_is_free(self):
        return self.lanes.statistics().free == 1


@pytest.fixture
async def scene(words, signers, clock):
    scene = Scene(words, signers, clock)
    await scene.watcher.start(scene.chain.head)
    return scene


async def test_landed_is_provisional_and_then_final(scene):
    bundle = await scene.sent()

    await scene.next(scene.ours(bundle))
    for _ in range(FINAL_AFTER):
        await scene.next()

    assert scene.kinds == [("landed", False), ("landed", True)]
    assert scene.last.profit_wei == 10**16 - bundle.bid_wei - GAS_USED * scene.words.base_fee_wei
    assert scene.last.block == scene.words.ref(10)
    assert scene.lane_is_free
    assert scene.watcher.statistics().watched == 0


async def test_nothing_is_said_before_the_target_block(scene):
    await scene.sent(target_block=12)

    await scene.next()

    assert scene.kinds == []
    assert not scene.lane_is_free


async def test_a_revert_costs_its_gas(scene):
    bundle = await scene.sent()

    await scene.next(scene.ours(bundle, status=0))

    assert scene.last.kind is OutcomeKind.LANDED
    assert scene.last.reason == "reverted"
    assert scene.last.profit_wei == -GAS_USED * scene.words.base_fee_wei


async def test_not_included_frees_the_lane(scene):
    await scene.sent()

    await scene.next()

    assert scene.kinds == [("not_landed", False)]
    assert scene.last.reason == "not included"
    assert scene.last.profit_wei == 0
    assert scene.lane_is_free


async def test_a_rival_is_named(scene):
    await scene.sent()
    rival = {
        "hash": "0x" + "77" * 32,
        "from": "0x" + "78" * 20,
        "logs": [(scene.words.pools[1], (TRANSFER_TOPIC,), "0x")],
    }

    await scene.next(rival)

    assert scene.last.reason == (
        f"outbid: pool {scene.words.pools[1]} was touched by transaction {rival['hash']} "
        "in the block"
    )


async def test_a_followed_transaction_is_no_rival(scene):
    user = scene.words.pending()
    await scene.sent(behind=(user,))
    logs = [(scene.words.pools[0], (TRANSFER_TOPIC,), "0x")]

    await scene.next({"hash": user.hash, "from": user.sender, "logs": logs})

    assert scene.last.reason == "not included"


async def test_a_user_that_did_not_land_is_the_reason(scene):
    user = scene.words.pending()
    await scene.sent(behind=(user,))

    await scene.next()

    assert scene.last.reason == f"user transaction {user.hash} did not land"


async def test_silent_relays_are_the_reason(scene):
    await scene.sent(state=SubmissionState.UNRESOLVED)

    await scene.next()

    assert (scene.last.kind, scene.last.reason) == (OutcomeKind.NOT_LANDED, "no relay answered")


async def test_a_post_mortem_without_answers_is_told_as_such(scene):
    await scene.sent(behind=(scene.words.pending(),))
    scene.chain.silent.add("eth_getTransactionReceipt")

    await scene.next()

    assert scene.last.kind is OutcomeKind.NOT_LANDED
    assert scene.last.reason == "not included; the node did not tell why"


async def test_rejected_by_every_relay_frees_the_lane_at_once(scene):
    await scene.sent(state=SubmissionState.REJECTED, reason="too old")

    assert scene.last.kind is OutcomeKind.REJECTED
    assert scene.last.reason == "every relay refused: relay-a: too old"
    assert scene.lane_is_free


async def test_a_rejected_bundle_that_lands_all_the_same_is_noticed(scene):
    bundle = await scene.sent(state=SubmissionState.REJECTED)

    await scene.next(scene.ours(bundle))

    assert scene.kinds == [("rejected", False), ("landed", False)]


@pytest.mark.parametrize("method", ["eth_getTransactionCount", "eth_getTransactionReceipt"])
async def test_a_silent_node_leaves_it_unresolved_until_it_answers(scene, method):
    bundle = await scene.sent()
    scene.chain.silent.add(method)
    await scene.next(scene.ours(bundle))
    await scene.next()

    assert scene.kinds == [("unresolved", False)]
    assert scene.gate.statistics().open_plans == 1

    scene.chain.silent.clear()
    await scene.next()
    assert scene.kinds == [("unresolved", False), ("landed", False)]
    assert scene.last.block == scene.words.ref(10)


async def test_silence_about_nonces_keeps_the_lane(scene):
    await scene.sent()
    scene.chain.silent.add("eth_getTransactionCount")

    await scene.next()

    assert scene.kinds == [("unresolved", False)]
    assert not scene.lane_is_free


async def test_a_receipt_that_comes_late_is_waited_for(scene):
    bundle = await scene.sent()
    scene.chain.hidden.add(bundle.own_hash)
    await scene.next(scene.ours(bundle))
    assert scene.kinds == [("unresolved", False)]

    scene.chain.hidden.clear()
    await scene.next()
    assert scene.kinds[-1] == ("landed", False)


async def test_a_nonce_that_went_elsewhere_is_not_landed_once_it_is_deep(scene):
    await scene.sent()
    await scene.next({"hash": "0x" + "55" * 32, "from": scene.operator})
    for _ in range(FINAL_AFTER):
        await scene.next()

    assert scene.kinds == [("unresolved", False), ("not_landed", True)]
    assert "not of this ledger" in scene.last.reason
    assert scene.lane_is_free


async def test_alternatives_of_a_nonce_end_together(scene):
    await scene.sent(0)
    await scene.next()
    second = await scene.sent(0)

    await scene.next(scene.ours(second))
    for _ in range(FINAL_AFTER):
        await scene.next()

    assert second.nonce == 7
    assert scene.kinds == [
        ("not_landed", False),
        ("landed", False),
        ("not_landed", True),
        ("landed", True),
    ]


async def test_an_operator_that_never_lands_is_not_watched_without_bound(scene, monkeypatch):
    monkeypatch.setattr(inclusion, "MOST_ALTERNATIVES", 3)
    for _ in range(6):
        await scene.sent()
        await scene.next()

    assert scene.watcher.statistics().watched == 3
    assert scene.kinds.count(("not_landed", False)) == 6
    assert scene.kinds.count(("not_landed", True)) == 3


async def test_a_leaked_bundle_that_lands_late_takes_its_alternative_along(scene):
    leaked = await scene.sent(0)
    await scene.next()
    await scene.sent(0)

    await scene.next(scene.ours(leaked, status=0))

    said = {o.opportunity_id: (o.kind.value, o.reason) for o in scene.notes.outcomes}
    assert said == {
        "devnet-9-0": ("landed", "reverted"),
        "devnet-10-0": ("not_landed", "nonce 7 went to devnet-9-0 instead"),
    }
    assert scene.lane_is_free


async def test_a_reorg_takes_a_landed_bundle_back(scene):
    bundle = await scene.sent()
    await scene.next(scene.ours(bundle))
    abandoned = scene.chain.head
    block = scene.chain.mine(on=scene.words.ref(9), fork="b")

    await scene.watcher.on_reorg(ChainReorganised("devnet", abandoned, block.header, at_ns=1))
    assert scene.kinds == [("landed", False), ("unresolved", False)]
    assert not scene.lane_is_free

    await take(scene.watcher, block)
    assert scene.kinds[-1] == ("not_landed", False)
    assert scene.lane_is_free
    await scene.next(scene.ours(bundle))
    assert scene.kinds[-1] == ("landed", False)


@pytest.mark.parametrize(("silent", "free"), [(set(), True), ({"eth_getTransactionCount"}, False)])
async def test_after_a_reorg_a_nonce_is_given_only_when_it_is_known(scene, silent, free):
    await scene.next()
    abandoned = scene.chain.head
    block = scene.chain.mine(on=scene.words.ref(9), fork="b")
    scene.chain.silent = silent

    await scene.watcher.on_reorg(ChainReorganised("devnet", abandoned, block.header, at_ns=1))

    assert scene.lane_is_free is free


async def test_a_reorg_that_keeps_the_transaction_moves_its_block(scene):
    bundle = await scene.sent()
    await scene.next(scene.ours(bundle))
    abandoned = scene.chain.head
    block = scene.chain.mine(scene.ours(bundle), on=scene.words.ref(9), fork="b")

    await scene.watcher.on_reorg(ChainReorganised("devnet", abandoned, block.header, at_ns=1))
    await take(scene.watcher, block)

    assert scene.kinds == [("landed", False), ("unresolved", False), ("landed", False)]
    assert scene.last.block == scene.words.ref(10, "b")


async def test_a_reorg_without_an_event_is_noticed_by_the_nonce(scene):
    bundle = await scene.sent()
    await scene.next(scene.ours(bundle))

    await scene.next(on=scene.words.ref(9), fork="b")

    assert scene.kinds == [("landed", False), ("unresolved", False), ("not_landed", False)]


async def test_another_gross_than_recorded_stops_the_chain(scene):
    bundle = await scene.sent()
    block = scene.chain.mine(scene.ours(bundle, gross_wei=10**16 - 1))

    with pytest.raises(InvariantBroken, match="realised 9999999999999999 wei"):
        await take(scene.watcher, block)

    assert scene.last.kind is OutcomeKind.LANDED
    assert scene.gate.state is SystemState.PAUSED


async def test_a_start_needs_the_nonces(words, signers, clock):
    scene = Scene(words, signers, clock)
    scene.chain.silent.add("eth_getTransactionCount")

    with pytest.raises(Retryable, match="nonces"):
        await scene.watcher.start(scene.chain.head)
    assert not scene.lane_is_free


async def test_a_restart_takes_over_what_was_open(words, signers, clock):
    scene = Scene(words, signers, clock)
    opportunity = words.opportunity()
    bundle = words.bundle(opportunity, sender=scene.operator)
    earlier = Notes()
    left = OpenBundle(words.plan(opportunity), bundle, (), None, earlier)
    scene.chain.mine(scene.ours(bundle))

    await scene.watcher.start(words.ref(9), [left])
    assert not scene.lane_is_free
    await take(scene.watcher, scene.words.block(10))

    assert [o.kind.value for o in earlier.outcomes] == ["landed"]
    assert scene.notes.outcomes == []
    assert scene.lane_is_free


async def test_a_malformed_receipt_is_no_evidence(scene, monkeypatch):
    bundle = await scene.sent()
    monkeypatch.setattr(scene.chain, "eth_getTransactionReceipt", lambda _: {"status": "0x1"})

    await scene.next(scene.ours(bundle))

    assert scene.kinds == [("unresolved", False)]
    assert scene.watcher.statistics().unanswered == 2


async def test_a_journal_that_fails_leaves_the_outcome_to_be_said_again(scene, monkeypatch):
    bundle = await scene.sent()
    block = scene.chain.mine(scene.ours(bundle))

    async def fail(_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(scene.notes, "ended", fail)
        with pytest.raises(OSError, match="disk full"):
            await take(scene.watcher, block)
    await take(scene.watcher, block)

    assert scene.kinds == [("landed", False)]


def test_open_bundles_are_plain_data(words):
    left = OpenBundle(words.plan(), words.bundle(), (), None, Notes())

    assert msgspec.structs.replace(left, outcome=words.outcome()).outcome.profit_wei > 0

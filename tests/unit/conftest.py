import msgspec
import pytest

from searcher.domain.events import BlockApplied, BlockContext, BlockHeader, BlockRef, PendingTx
from searcher.domain.plan import (
    CurveKind,
    Decision,
    Hop,
    Opportunity,
    Outcome,
    OutcomeKind,
    Plan,
    SignedBundle,
    Submission,
    SubmissionState,
    Verdict,
)
from searcher.domain.units import Address, Hash32, OpportunityId, keccak256


class Words:
    """Builds consistent values of the domain; keyword arguments replace fields."""

    weth = Address("0x" + "ee" * 20)
    token = Address("0x" + "70" * 20)
    pools = (Address("0x" + "a1" * 20), Address("0x" + "a2" * 20))
    executor = Address("0x" + "ec" * 20)
    coinbase = Address("0x" + "c0" * 20)
    operator = Address("0x" + "bb" * 20)
    base_fee_wei = 10**9

    @staticmethod
    def hash(*parts):
        return Hash32("0x" + keccak256(repr(parts).encode()).hex())

    def ref(self, number, fork=""):
        return BlockRef(number, self.hash("block", number, fork))

    def context(self, parent=9):
        ref = parent if isinstance(parent, BlockRef) else self.ref(parent)
        return BlockContext(
            ref, ref.number + 1, 1_700_000_000, self.base_fee_wei, 30_000_000, self.coinbase
        )

    def pending(self, n=1):
        return PendingTx(
            chain="devnet",
            hash=self.hash("user", n),
            raw=b"\x02user" + bytes([n]),
            sender=Address("0x" + "05" * 20),
            to=self.pools[0],
            nonce=n,
            value=2**200,
            gas=200_000,
            max_fee_wei=2 * 10**9,
            max_priority_fee_wei=10**9,
            data=b"\x01",
            tx_type=2,
            received_ns=900,
        )

    def hop(self, pool, token_in, token_out):
        return Hop(
            pool=pool,
            protocol="uniswap_v2",
            curve=CurveKind.CONSTANT_PRODUCT,
            token_in=token_in,
            token_out=token_out,
            zero_for_one=True,
            fee_pips=3_000,
            amount_in=10**18,
            amount_out=10**18,
        )

    def opportunity(self, n=0, parent=9, **fields):
        ref = parent if isinstance(parent, BlockRef) else self.ref(parent)
        made = Opportunity(
            id=OpportunityId(f"devnet-{ref.number}-{n}"),
            chain="devnet",
            strategy="arbitrage",
            parent=ref,
            target_block=ref.number + 1,
            behind=(),
            hops=(
                self.hop(self.pools[0], self.weth, self.token),
                self.hop(self.pools[1], self.token, self.weth),
            ),
            conversion=(),
            gross_wei=10**16,
            gas_estimate=200_000,
            net_wei=10**16 - 2 * 10**14,
            received_ns=1_000,
            at_ns=2_000,
        )
        return msgspec.structs.replace(made, **fields)

    def plan(self, opportunity=None, **fields):
        made = Plan(
            opportunity=opportunity or self.opportunity(),
            executor=self.executor,
            calldata=b"\xaa" + bytes(16) + b"\xbb",
            bid_offset=1,
            bid_size=16,
            last_block=10,
            least_profit_wei=1,
            at_ns=3_000,
        )
        return msgspec.structs.replace(made, **fields)

    def verdict(self, opportunity=None, **fields):
        of = opportunity or self.opportunity()
        made = Verdict(
            opportunity_id=of.id,
            backend="eth_simulate",
            context=self.context(of.parent),
            succeeded=True,
            gas_used=150_000,
            realised_wei=of.gross_wei,
            reason="",
            at_ns=4_000,
        )
        return msgspec.structs.replace(made, **fields)

    def decision(self, opportunity=None, **fields):
        made = Decision((opportunity or self.opportunity()).id, True, "", 5_000)
        return msgspec.structs.replace(made, **fields)

    def bundle(self, opportunity=None, **fields):
        of = opportunity or self.opportunity()
        made = SignedBundle(
            opportunity_id=of.id,
            chain=of.chain,
            target_block=of.target_block,
            txs=(*(tx.raw for tx in of.behind), b"\x02own"),
            own_hash=self.hash("own", of.id),
            sender=self.operator,
            nonce=7,
            gas_limit=230_000,
            max_fee_wei=self.base_fee_wei,
            max_priority_fee_wei=0,
            bid_wei=4 * 10**15,
            replacement_uuid="",
            at_ns=6_000,
        )
        return msgspec.structs.replace(made, **fields)

    def submission(self, opportunity=None, **fields):
        made = Submission(
            opportunity_id=(opportunity or self.opportunity()).id,
            relay="relay-a",
            state=SubmissionState.ACKNOWLEDGED,
            bundle_hash="0xabc",
            reason="",
            latency_ns=500,
            at_ns=7_000,
        )
        return msgspec.structs.replace(made, **fields)

    def outcome(self, opportunity=None, kind=OutcomeKind.LANDED, **fields):
        landed = kind is OutcomeKind.LANDED
        made = Outcome(
            opportunity_id=(opportunity or self.opportunity()).id,
            kind=kind,
            reason="",
            block=self.ref(10) if landed else None,
            gas_used=150_000 if landed else 0,
            effective_gas_price_wei=self.base_fee_wei if landed else 0,
            profit_wei=10**16 - 4 * 10**15 - 150_000 * self.base_fee_wei if landed else 0,
            final=False,
            at_ns=8_000,
        )
        return msgspec.structs.replace(made, **fields)

    def block(self, number, *, fork="", parent_fork="", logs=()):
        header = BlockHeader(
            number=number,
            hash=self.ref(number, fork).hash,
            parent_hash=self.ref(number - 1, parent_fork).hash,
            timestamp=1_700_000_000 + number,
            base_fee_wei=self.base_fee_wei,
            gas_limit=30_000_000,
            gas_used=1,
            coinbase=self.coinbase,
        )
        return BlockApplied("devnet", header, tuple(logs), received_ns=1, at_ns=2)


@pytest.fixture(scope="session")
def words():
    return Words()

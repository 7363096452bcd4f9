"""Which bundles a block takes: what pays the builder most, merged as long as nothing breaks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from msgspec import Struct

from searcher.chains.rpc import RpcClient, RpcFault
from searcher.devnet.block import NextBlock
from searcher.devnet.bundles import Bundle, BundleBook, Fate
from searcher.devnet.public_pool import PublicPool
from searcher.devnet.transactions import SignedTransaction
from searcher.devnet.trial import GroupTrial, run_groups
from searcher.domain.units import Address, Hash32

_SHOWN_OUTPUT: Final = 74
_ERROR_SELECTOR: Final = "0x08c379a0"


class Chosen(Struct, frozen=True):
    """A bundle that is in the block; `payment_wei` as measured at its place."""

    bundle: Bundle
    payment_wei: int


class _Verdict(Struct, frozen=True):
    fate: Fate | None
    """Why not; None when the bundle is good."""
    detail: str = ""
    payment_wei: int = 0


async def choose(
    rpc: RpcClient, book: BundleBook, pool: PublicPool, block: NextBlock
) -> list[Chosen]:
    """Return the bundles of the block in their order, and record the fate of all others.

    Each bundle is run alone on the parent's state; the good ones are taken in the order of what
    they pay, each run again behind those already taken. A bundle that no longer works there was
    outbid. Tips of public transactions do not count for a bundle: the builder gets those anyway.
    """
    candidates = book.for_block(block.number)
    nonces = await _nonces(rpc, candidates, block)

    async def judge(bundle: Bundle) -> _Verdict:
        return _static(bundle, nonces, block) or await _alone(rpc, bundle, pool, block)

    verdicts = await asyncio.gather(*(judge(bundle) for bundle in candidates))
    good: list[tuple[int, Bundle]] = []
    for bundle, verdict in zip(candidates, verdicts, strict=True):
        if verdict.fate is None:
            good.append((verdict.payment_wei, bundle))
        else:
            _lose(book, bundle, block, verdict)
    good.sort(key=lambda entry: (-entry[0], entry[1].number))

    chosen: list[Chosen] = []
    for alone_wei, bundle in good:
        verdict = await _behind(rpc, chosen, bundle, pool=pool, block=block, nonces=nonces)
        if verdict.fate is None:
            chosen.append(Chosen(bundle, verdict.payment_wei))
        else:
            beaten = [entry.bundle.hash for entry in chosen]
            _lose(book, bundle, block, _Verdict(verdict.fate, verdict.detail, alone_wei), beaten)
    return chosen


def transactions_of(chosen: Sequence[Chosen]) -> list[SignedTransaction]:
    """Return the chosen bundles' transactions in order."""
    return [transaction for entry in chosen for transaction in entry.bundle.transactions]


def failure(bundle: Bundle, trial: GroupTrial) -> str | None:
    """Return what broke a bundle: its first transaction that fails and may not; None if none."""
    for transaction, execution in zip(bundle.transactions, trial.executions, strict=True):
        if not execution.succeeded and transaction.hash not in bundle.may_revert:
            return f"{transaction.hash} reverts with {_reason(execution.output)}"
    return None


def _reason(output: str) -> str:
    """Return revert data as text where it is `Error(string)`, otherwise as the start of its hex."""
    if output.startswith(_ERROR_SELECTOR):
        with contextlib.suppress(ValueError, DecodingError):
            (text,) = decode(["string"], bytes.fromhex(output[len(_ERROR_SELECTOR) :]))
            return repr(text)
    return output[:_SHOWN_OUTPUT] or "0x"


def _static(bundle: Bundle, nonces: dict[Address, int], block: NextBlock) -> _Verdict | None:
    """Return why a bundle cannot be in the block whatever its transactions do."""
    if bundle.min_timestamp > block.timestamp or 0 < bundle.max_timestamp < block.timestamp:
        return _Verdict(Fate.OUT_OF_WINDOW, f"the block's timestamp is {block.timestamp}")
    if sum(transaction.gas for transaction in bundle.transactions) > block.gas_limit:
        return _Verdict(Fate.NO_ROOM, f"the block's gas limit is {block.gas_limit}")
    for transaction in bundle.transactions:
        if transaction.effective_tip_wei(block.base_fee_wei) < 0:
            return _Verdict(
                Fate.UNDERPRICED, f"{transaction.hash} is below the base fee {block.base_fee_wei}"
            )
    return _nonce_fault(bundle, dict(nonces))


def _nonce_fault(bundle: Bundle, nonces: dict[Address, int]) -> _Verdict | None:
    """Return the first nonce that does not follow on; `nonces` moves along."""
    for transaction in bundle.transactions:
        expected = nonces.get(transaction.sender, 0)
        if transaction.nonce != expected:
            return _Verdict(
                Fate.BAD_NONCE,
                f"{transaction.hash} has nonce {transaction.nonce}, its sender's is {expected}",
            )
        nonces[transaction.sender] = expected + 1
    return None


async def _alone(rpc: RpcClient, bundle: Bundle, pool: PublicPool, block: NextBlock) -> _Verdict:
    try:
        (trial,) = await run_groups(rpc, [bundle.transactions], block)
    except RpcFault as fault:
        return _Verdict(Fate.NO_FUNDS, fault.message)
    if (broken := failure(bundle, trial)) is not None:
        return _Verdict(Fate.REVERTED, broken)
    payment = _own_payment(bundle, trial, pool, block)
    if payment <= 0:
        return _Verdict(Fate.PAYS_NOTHING)
    return _Verdict(None, payment_wei=payment)


async def _behind(
    rpc: RpcClient,
    chosen: Sequence[Chosen],
    bundle: Bundle,
    *,
    pool: PublicPool,
    block: NextBlock,
    nonces: dict[Address, int],
) -> _Verdict:
    """Judge a bundle behind those that are chosen already."""
    taken = transactions_of(chosen)
    gas = sum(transaction.gas for transaction in (*taken, *bundle.transactions))
    if gas > block.gas_limit:
        return _Verdict(Fate.NO_ROOM, f"the bundles before it leave no room for its {gas} gas")
    ahead = dict(nonces)
    for transaction in taken:
        ahead[transaction.sender] = transaction.nonce + 1
    if (conflict := _nonce_fault(bundle, ahead)) is not None:
        return _Verdict(Fate.OUTBID, conflict.detail)
    groups = [entry.bundle.transactions for entry in chosen]
    try:
        trial = (await run_groups(rpc, [*groups, bundle.transactions], block))[-1]
    except RpcFault as fault:
        return _Verdict(Fate.OUTBID, fault.message)
    if (broken := failure(bundle, trial)) is not None:
        return _Verdict(Fate.OUTBID, broken)
    payment = _own_payment(bundle, trial, pool, block)
    if payment <= 0:
        return _Verdict(Fate.OUTBID, "pays nothing behind the bundles before it")
    return _Verdict(None, payment_wei=payment)


def _own_payment(bundle: Bundle, trial: GroupTrial, pool: PublicPool, block: NextBlock) -> int:
    public = sum(
        execution.gas_used * transaction.effective_tip_wei(block.base_fee_wei)
        for transaction, execution in zip(bundle.transactions, trial.executions, strict=True)
        if transaction.hash in pool
    )
    return trial.payment_wei - public


def _lose(
    book: BundleBook,
    bundle: Bundle,
    block: NextBlock,
    verdict: _Verdict,
    beaten_by: Sequence[Hash32] = (),
) -> None:
    """Record a loss, unless the bundle may still be in a later block."""
    assert verdict.fate is not None
    if block.number < bundle.last_block:
        return
    book.close(
        bundle,
        verdict.fate,
        verdict.detail,
        payment_wei=verdict.payment_wei,
        beaten_by=beaten_by,
    )


async def _nonces(
    rpc: RpcClient, bundles: Sequence[Bundle], block: NextBlock
) -> dict[Address, int]:
    senders = sorted({tx.sender for bundle in bundles for tx in bundle.transactions})
    tag = hex(block.number - 1)
    counts = await rpc.batch([("eth_getTransactionCount", [who, tag]) for who in senders])
    return {who: int(count, 16) for who, count in zip(senders, counts, strict=True)}

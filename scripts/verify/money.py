"""What was earned: balances at both ends, and every landed plan by its own receipt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from verify.node import Node, address_of, topic, view, words
from verify.run import ChainRun, Claim

TRANSFER = topic("Transfer(address,address,uint256)")
WITHDRAWAL = topic("Withdrawal(address,uint256)")
DEPOSIT = topic("Deposit(address,uint256)")


@dataclass(frozen=True)
class Money:
    """A chain's profit told twice, and what does not agree, one sentence each.

    `gas_used` has the receipts' gas of the landed plans.
    """

    profit_onchain_wei: int
    ledger_profit_wei: int
    plans_checked: int
    plans_equal: int
    gas_used: tuple[int, ...]
    discrepancies: tuple[str, ...]


def prove_money(node: Node, run: ChainRun, blocks: Sequence[Mapping[str, Any]]) -> Money:
    """Compare the claims with balances, receipts, and the operators' transactions in `blocks`."""
    onchain, drained = _balance_change(node, run)
    ledger = sum(claim.profit_wei for claim in run.claims)
    found = list(drained)
    if onchain != ledger:
        found.append(
            f"{run.name}: the ledger says {ledger} wei were earned, the balances of executor and "
            f"operators changed by {onchain} wei, {onchain - ledger:+d}."
        )
    checked = equal = 0
    gas_used: list[int] = []
    receipts = _receipts(node, run)
    for claim in run.claims:
        receipt = receipts.get(claim.own_tx or "")
        if claim.outcome == "landed":
            checked += 1
            wrong = _plan_faults(run, claim, receipt)
            equal += not wrong
            if receipt:
                gas_used.append(int(receipt["gasUsed"], 16))
        else:
            wrong = _unlanded_faults(claim, receipt)
        found.extend(f"{run.name}: plan {claim.id} {fault}." for fault in wrong)
    found.extend(_duplicates(run))
    found.extend(_undeclared(run, blocks))
    return Money(onchain, ledger, checked, equal, tuple(gas_used), tuple(found))


def _balance_change(node: Node, run: ChainRun) -> tuple[int, list[str]]:
    """Read native and wrapped native at both ends; says too where the executor lost a token."""
    holders = sorted({run.executor, *run.operators})
    ends = (hex(run.first_block - 1), hex(run.last_block))
    calls: list[tuple[str, list[Any]]] = []
    for at in ends:
        for holder in holders:
            held = view(run.wrapped_native, "balanceOf(address)", int(holder, 16))
            calls += [("eth_getBalance", [holder, at]), ("eth_call", [held, at])]
    answers = [int(answer, 16) for answer in node.batch(calls)]
    half = len(answers) // 2
    others = [t for t in run.tokens.values() if t.address != run.wrapped_native]
    reads = [
        ("eth_call", [view(t.address, "balanceOf(address)", int(run.executor, 16)), at])
        for t in others
        for at in ends
    ]
    held_by_end = [int(answer, 16) for answer in node.batch(reads)]
    drained = [
        f"{run.name}: the executor's {token.name} went from {before} down to {after}, so a plan "
        "was paid for with what it held."
        for token, before, after in zip(others, held_by_end[::2], held_by_end[1::2], strict=True)
        if after < before
    ]
    return sum(answers[half:]) - sum(answers[:half]), drained


def _receipts(node: Node, run: ChainRun) -> dict[str, Mapping[str, Any] | None]:
    hashes = sorted({claim.own_tx for claim in run.claims if claim.own_tx})
    answers = node.batch([("eth_getTransactionReceipt", [h]) for h in hashes])
    return dict(zip(hashes, answers, strict=True))


def _plan_faults(run: ChainRun, claim: Claim, receipt: Mapping[str, Any] | None) -> list[str]:
    """Compare a plan that is said to have landed with its receipt."""
    if receipt is None:
        return [f"is said to have landed as {claim.own_tx}, which no block holds"]
    faults = []
    block = int(receipt["blockNumber"], 16)
    if int(receipt["status"], 16) != 1:
        faults.append("is said to have landed, but its transaction reverted")
    if block != claim.target_block:
        faults.append(f"was for block {claim.target_block}, but stands in block {block}")
    if str(receipt["from"]).lower() not in run.operators:
        faults.append(f"was sent by {receipt['from']}, which is no operator")
    if str(receipt["to"]).lower() != run.executor:
        faults.append(f"called {receipt['to']}, which is not the executor")
    gross, bid = realised(run, receipt["logs"])
    gas_wei = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    told = (
        ("gross", claim.gross_wei, gross),
        ("bid", claim.bid_wei, bid),
        ("profit", claim.profit_wei, gross - bid - gas_wei),
    )
    faults += [
        f"recorded a {word} of {said} wei, but realised {is_} wei, {is_ - said:+d}"
        for word, said, is_ in told
        if said != is_
    ]
    return faults


def realised(run: ChainRun, logs: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Give gross and bid in wei from a transaction's own logs.

    Gross is the wrapped native that came to the executor less what left it by transfer; the bid
    is what the executor unwrapped to pay with (WETH9 logs a Withdrawal, and no Transfer).
    """
    gross = bid = 0
    for log in logs:
        if str(log["address"]).lower() != run.wrapped_native:
            continue
        topics, amount = log["topics"], words(log["data"])[0]
        if topics[0] == TRANSFER:
            gross += amount * (address_of(topics[2]) == run.executor)
            gross -= amount * (address_of(topics[1]) == run.executor)
        elif address_of(topics[1]) == run.executor:
            bid += amount * (topics[0] == WITHDRAWAL)
            bid -= amount * (topics[0] == DEPOSIT)
    return gross, bid


def _unlanded_faults(claim: Claim, receipt: Mapping[str, Any] | None) -> list[str]:
    faults = []
    if receipt is not None:
        block = int(receipt["blockNumber"], 16)
        faults.append(f"is said to be {claim.outcome}, but its transaction stands in block {block}")
    if claim.profit_wei != 0:
        faults.append(f"is said to be {claim.outcome}, but to have earned {claim.profit_wei} wei")
    return faults


def _duplicates(run: ChainRun) -> list[str]:
    """Find transactions that two landed plans claim: the same money counted twice."""
    seen: dict[str, str] = {}
    faults = []
    for claim in run.claims:
        if claim.outcome != "landed" or not claim.own_tx:
            continue
        if claim.own_tx in seen:
            faults.append(
                f"{run.name}: plans {seen[claim.own_tx]} and {claim.id} both claim {claim.own_tx}."
            )
        seen[claim.own_tx] = claim.id
    return faults


def _undeclared(run: ChainRun, blocks: Sequence[Mapping[str, Any]]) -> list[str]:
    declared = {claim.own_tx for claim in run.claims}
    return [
        f"{run.name}: operator {tx['from']} has the undeclared transaction {tx['hash']} in block "
        f"{int(block['number'], 16)}, which no plan names."
        for block in blocks
        for tx in block["transactions"]
        if str(tx["from"]).lower() in run.operators and str(tx["hash"]).lower() not in declared
    ]

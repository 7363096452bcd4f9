"""What there was to earn, how much of it was found, and where the rest went.

An opportunity is a target block `b` with a trigger. The trigger is either nothing, and the state
is the end of block b-1; or one transaction that block b holds, and the state is the end of block
b-1 with that transaction alone executed on top under block b's number, time, base fee and
coinbase. Transactions that count as triggers are those a bundle could have followed: sent by
neither our operators nor another searcher in private, the sender's first of the block, and
changing a pool on that state without reverting. The opportunity's value is the best net value
over every cycle (for a transaction: every cycle that trades with a pool it changed), and it
counts when that is above zero. Each is valued by itself: two of a block that need the same pools
both count, since both could be seen, although only one could be had.

What was found of it is the best claim for the same block behind the same trigger, less the same
gas, and no more than the opportunity's own value, so that a boast earns nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from verify.history import STATE_TOPICS, History, States, fold
from verify.node import Node
from verify.run import ChainRun, Claim
from verify.search import Best, Universe

Trigger = tuple[str, ...]


@dataclass(frozen=True)
class Opportunity:
    """One thing there was to earn: `trigger` is () or the hash of the transaction behind it."""

    block: int
    trigger: Trigger
    best: Best


@dataclass(frozen=True)
class Reach:
    """The score of one chain, all of it in wei.

    `fates` splits what was found by what became of it, `missed` splits what was not; together
    they are `reachable_wei`. `above` counts claims that say more than the brute force found.
    """

    reachable: int
    reachable_wei: int
    found: int
    found_wei: int
    fates: Mapping[str, int]
    fate_counts: Mapping[str, int]
    skipped: Mapping[str, int]
    missed: Mapping[str, int]
    above: int
    above_wei: int
    triggers: int
    cycles: int


def opportunities(
    node: Node,
    run: ChainRun,
    history: History,
    universe: Universe,
    blocks: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[int, Trigger, Best | None]]:
    """Search every state of the run; yields also the states that offer nothing, as None."""
    candidates = [(block, tx) for block in blocks for tx in _followable(run, block)]
    results = node.batch([_alone(block, tx) for block, tx in candidates])
    logs_of: dict[int, list[tuple[str, list[Any]]]] = {}
    for (block, tx), result in zip(candidates, results, strict=True):
        outcome = result[0]["calls"][0]
        if int(outcome["status"], 16) == 1:
            number = int(block["number"], 16)
            logs_of.setdefault(number, []).append((str(tx["hash"]).lower(), outcome["logs"]))
    for block in blocks:
        number, base_fee = int(block["number"], 16), int(block["baseFeePerGas"], 16)
        before: States = history.at_end_of[number - 1]
        yield number, (), universe.best(before, base_fee)
        for tx_hash, logs in logs_of.get(number, ()):
            after, touched = fold(history.pools, before, logs)
            if touched:
                yield number, (tx_hash,), universe.best(after, base_fee, touched=touched)


def _followable(run: ChainRun, block: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    seen: set[str] = set()
    for tx in block["transactions"]:
        sender, call = str(tx["from"]).lower(), str(tx["input"])
        first = sender not in seen
        seen.add(sender)
        private = str(tx["hash"]).lower() in run.private_txs
        # A transaction without calldata moves native currency only, and so changes no pool.
        if first and not private and sender not in run.operators and call != "0x":
            yield tx


def _alone(block: Mapping[str, Any], tx: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Ask for one transaction's effects on the parent's state, in the block's environment."""
    environment = {
        "number": block["number"],
        "time": block["timestamp"],
        "baseFeePerGas": block["baseFeePerGas"],
        "feeRecipient": block["miner"],
        "gasLimit": block["gasLimit"],
    }
    call = {key: tx[key] for key in ("from", "to", "value", "input", "gas") if tx.get(key)}
    payload = {
        "blockStateCalls": [{"blockOverrides": environment, "calls": [call]}],
        "validation": False,
    }
    return "eth_simulateV1", [payload, hex(int(block["number"], 16) - 1)]


class Fates:
    """Tells what became of a claim, from the blocks' transactions and the relay's own account."""

    def __init__(self, run: ChainRun, node: Node, blocks: Sequence[Mapping[str, Any]]) -> None:
        self._run = run
        self._senders = {
            str(tx["hash"]).lower(): str(tx["from"]).lower()
            for block in blocks
            for tx in block["transactions"]
        }
        self._touches = _touches(node, run)
        self._outbid = {
            str(h).lower()
            for stat in run.relay_stats
            if stat.get("reason") == "outbid"
            for h in stat.get("txs", ())
        }

    def of(self, claim: Claim, best: Best) -> str:
        """Name the fate of the claim that went furthest for an opportunity.

        landed; lost_to_rival or lost_to_own when another bundle's transaction traded with the
        same pools in that block first; lost_to_bid when the relay says that it was outbid;
        rejected, unresolved or not_included otherwise; skipped when nothing was sent.
        """
        if claim.outcome == "landed":
            return "landed"
        if not claim.sent:
            return "skipped"
        for tx_hash, pools in self._touches.get(claim.target_block, ()):
            if tx_hash in claim.behind or not pools & best.pools:
                continue
            if self._senders.get(tx_hash) in self._run.operators:
                return "lost_to_own"
            if tx_hash in self._run.private_txs:
                return "lost_to_rival"
        if claim.own_tx in self._outbid:
            return "lost_to_bid"
        return claim.outcome if claim.outcome in {"rejected", "unresolved"} else "not_included"


def _touches(node: Node, run: ChainRun) -> dict[int, list[tuple[str, frozenset[str]]]]:
    """For each block, the transactions that changed pools, in their order, with those pools."""
    query = {
        "topics": [list(STATE_TOPICS)],
        "fromBlock": hex(run.first_block),
        "toBlock": hex(run.last_block),
    }
    changed: dict[tuple[int, int, str], set[str]] = {}
    for log in node.call("eth_getLogs", query):
        place = int(log["blockNumber"], 16), int(log["transactionIndex"], 16)
        key = (*place, str(log["transactionHash"]).lower())
        changed.setdefault(key, set()).add(str(log["address"]).lower())
    by_block: dict[int, list[tuple[str, frozenset[str]]]] = {}
    for (block, _, tx_hash), pools in sorted(changed.items()):
        by_block.setdefault(block, []).append((tx_hash, frozenset(pools)))
    return by_block


def score(
    run: ChainRun,
    searched: Sequence[tuple[int, Trigger, Best | None]],
    fates: Fates,
    *,
    base_fees: Mapping[int, int],
    cycles: int,
) -> Reach:
    """Set what was found against what there was."""
    claims: dict[tuple[int, Trigger], list[Claim]] = {}
    for claim in run.claims:
        claims.setdefault((claim.target_block, claim.behind), []).append(claim)
    by_fate: Counter[str] = Counter()
    fate_counts: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    reachable = reachable_wei = found = above = above_wei = 0
    for block, trigger, best in searched:
        mine = claims.get((block, trigger), [])
        ceiling = best.gross_wei if best else 0
        for excess in (claim.gross_wei - ceiling for claim in mine):
            above += excess > 0 and best is not None
            above_wei += max(excess, 0) if best else 0
        if best is None:
            continue
        reachable += 1
        reachable_wei += best.net_wei
        if not mine:
            missed["not_found"] += best.net_wei
            continue
        gas_wei = best.gas_estimate * base_fees[block]
        value = min(best.net_wei, max(c.gross_wei for c in mine) - gas_wei)
        value = max(value, 0)
        missed["undersized"] += best.net_wei - value
        if value == 0:
            continue
        found += 1
        furthest = max(mine, key=lambda c: (c.outcome == "landed", c.sent, c.gross_wei))
        fate = fates.of(furthest, best)
        by_fate[fate] += value
        fate_counts[fate] += 1
        if fate == "skipped":
            skipped[furthest.reason or "no reason given"] += value
    return Reach(
        reachable=reachable,
        reachable_wei=reachable_wei,
        found=found,
        found_wei=sum(by_fate.values()),
        fates=by_fate,
        fate_counts=fate_counts,
        skipped=skipped,
        missed=missed,
        above=above,
        above_wei=above_wei,
        triggers=sum(bool(trigger) for _, trigger, _ in searched),
        cycles=cycles,
    )

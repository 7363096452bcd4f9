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
from verify.run import ChainRun, Claim, RelayRecord
from verify.search import Best, Universe

Trigger = tuple[str, ...]

# The relay's words for a bundle that another one may have spoilt.
_BEATEN = frozenset({"outbid", "reverted", "bad_nonce"})


@dataclass(frozen=True)
class Miss:
    """What one opportunity was worth beyond the best claim for it; `claimed` if there was one."""

    block: int
    trigger: Trigger
    best: Best
    missed_wei: int
    claimed: bool


@dataclass(frozen=True)
class Reach:
    """The score of one chain, all of it in wei.

    `fates` splits what was found by what became of it, `missed` splits what was not; together
    they are `reachable_wei`. `misses` has the latter one by one, the largest first. `above`
    counts claims that say more than the brute force found.
    """

    reachable: int
    reachable_wei: int
    found: int
    found_wei: int
    fates: Mapping[str, int]
    fate_counts: Mapping[str, int]
    skipped: Mapping[str, int]
    missed: Mapping[str, int]
    misses: Sequence[Miss]
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
    *,
    private: frozenset[str],
) -> Iterator[tuple[int, Trigger, Best | None]]:
    """Search every state of the run; yields also the states that offer nothing, as None."""
    candidates = [(block, tx) for block in blocks for tx in _followable(run, block, private)]
    # A node refuses to run what its sender could not pay for on the parent's state.
    results = node.attempt([_alone(block, tx) for block, tx in candidates])
    logs_of: dict[int, list[tuple[str, list[Any]]]] = {}
    for (block, tx), result in zip(candidates, results, strict=True):
        outcome = result[0]["calls"][0] if result else None
        if outcome and int(outcome["status"], 16) == 1:
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


def _followable(
    run: ChainRun, block: Mapping[str, Any], private: frozenset[str]
) -> Iterator[Mapping[str, Any]]:
    seen: set[str] = set()
    for tx in block["transactions"]:
        sender, call = str(tx["from"]).lower(), str(tx["input"])
        first = sender not in seen
        seen.add(sender)
        hidden = str(tx["hash"]).lower() in private
        # A transaction without calldata moves native currency only, and so changes no pool.
        if first and not hidden and sender not in run.operators and call != "0x":
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


class Activity:
    """Who did what in the run's blocks: what the blocks hold, and what the relay says of it."""

    def __init__(self, run: ChainRun, node: Node, blocks: Sequence[Mapping[str, Any]]) -> None:
        self._operators = run.operators
        self._touches = _touches(node, run)
        self._senders = {
            str(tx["hash"]).lower(): str(tx["from"]).lower()
            for block in blocks
            for tx in block["transactions"]
        }
        self._bundles = {record.bundle_hash: record for record in run.relay_stats}
        self._record_of = {record.transactions[-1]: record for record in run.relay_stats}
        self.private = run.private_txs | {
            tx_hash
            for record in run.relay_stats
            if record.fate == "landed"
            for tx_hash in self._own_part(record)
        }

    def _own_part(self, record: RelayRecord) -> Iterator[str]:
        """Give a landed bundle's transactions by its last sender: the rest are what it followed."""
        who = self._senders.get(record.transactions[-1])
        return (h for h in record.transactions if who and self._senders.get(h) == who)

    def fate(self, claim: Claim, best: Best) -> str:
        """Name what became of a claim.

        `landed`; `skipped` when nothing was sent; `lost_to_own` and `lost_to_rival` when another
        bundle, ours or another searcher's, was chosen before it: by the relay's account, or else
        because that bundle's transaction is the first in the block to trade with the same pools;
        `lost_to_bid` when the relay says outbid and neither is to be seen; `rejected`,
        `unresolved`, and `not_included` with the relay's word for it otherwise.
        """
        if claim.outcome == "landed":
            return "landed"
        if not claim.sent:
            return "skipped"
        record = self._record_of.get(claim.own_tx or "")
        winner = self._winner(claim, record, best)
        if winner is not None:
            return "lost_to_own" if self._is_ours(winner) else "lost_to_rival"
        if record is not None and record.fate == "outbid":
            return "lost_to_bid"
        if claim.outcome in {"rejected", "unresolved"}:
            return claim.outcome
        return f"not_included: {record.fate}" if record else "not_included"

    def _winner(self, claim: Claim, record: RelayRecord | None, best: Best) -> str | None:
        """Find the transaction that took a claim's place."""
        chosen = [self._bundles.get(h) for h in record.beaten_by] if record else []
        ahead = [bundle for bundle in chosen if bundle and bundle.fate == "landed"]
        touches = self._touches.get(claim.target_block, {})
        for bundle in ahead:
            behind = set(bundle.transactions) - set(claim.behind)
            if any(touches.get(tx_hash, frozenset()) & best.pools for tx_hash in behind):
                return bundle.transactions[-1]
        last = [bundle.transactions[-1] for bundle in ahead]
        if last:
            # No pool in common: what stood in the way was most likely a nonce, and so our own.
            return next((h for h in last if self._is_ours(h)), last[0])
        if record is not None and record.fate not in _BEATEN:
            return None
        for tx_hash, pools in touches.items():
            other = tx_hash in self.private or self._is_ours(tx_hash)
            if other and pools & best.pools and tx_hash not in claim.behind:
                return tx_hash
        return None

    def _is_ours(self, tx_hash: str) -> bool:
        return self._senders.get(tx_hash) in self._operators


def _touches(node: Node, run: ChainRun) -> dict[int, dict[str, frozenset[str]]]:
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
    by_block: dict[int, dict[str, frozenset[str]]] = {}
    for (block, _, tx_hash), pools in sorted(changed.items()):
        by_block.setdefault(block, {})[tx_hash] = frozenset(pools)
    return by_block


def score(
    run: ChainRun,
    searched: Sequence[tuple[int, Trigger, Best | None]],
    activity: Activity,
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
    misses: list[Miss] = []
    above: list[int] = []
    for block, trigger, best in searched:
        if best is None:
            continue
        mine = claims.get((block, trigger), [])
        above += [c.gross_wei - best.gross_wei for c in mine if c.gross_wei > best.gross_wei]
        gas_wei = best.gas_estimate * base_fees[block]
        claimed = max((c.gross_wei for c in mine), default=0) - gas_wei
        value = max(min(best.net_wei, claimed), 0)
        if value < best.net_wei:
            misses.append(Miss(block, trigger, best, best.net_wei - value, claimed=bool(mine)))
        if value == 0:
            continue
        furthest = max(mine, key=lambda c: (c.outcome == "landed", c.sent, c.gross_wei))
        fate = activity.fate(furthest, best)
        by_fate[fate] += value
        fate_counts[fate] += 1
        if fate == "skipped":
            skipped[furthest.reason or "no reason given"] += value
    missed: Counter[str] = Counter()
    for miss in misses:
        missed["undersized" if miss.claimed else "not_found"] += miss.missed_wei
    offers = [best for _, _, best in searched if best]
    return Reach(
        reachable=len(offers),
        reachable_wei=sum(best.net_wei for best in offers),
        found=sum(fate_counts.values()),
        found_wei=sum(by_fate.values()),
        fates=by_fate,
        fate_counts=fate_counts,
        skipped=skipped,
        missed=missed,
        misses=sorted(misses, key=lambda miss: -miss.missed_wei),
        above=len(above),
        above_wei=sum(above),
        triggers=sum(bool(trigger) for _, trigger, _ in searched),
        cycles=cycles,
    )

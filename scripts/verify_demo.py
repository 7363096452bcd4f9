#!/usr/bin/env python3
"""Prove from the chains alone what a demo run earned, and score it against a brute force.

    python scripts/verify_demo.py RUN.json --out REPORT.json [--self-check N]

RUN.json says which chains ran, from which block to which, and what the daemon claims of every
opportunity (verify/run.py has the fields). Nothing here imports the daemon: the reading of the
chain, the curves, the search and the sums are its own. Exit status 0 when every claim agrees with
the chain to the wei; 1 with one sentence for each discrepancy; 2 when nothing could be proved.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from verify.history import HistoryBroken, read_history
from verify.money import Money, prove_money
from verify.node import Node, NodeFault
from verify.reach import Activity, Reach, opportunities, score
from verify.run import ChainRun, Unreadable, read_run
from verify.search import Step, Universe
from verify.selfcheck import self_check

PROVED, DISCREPANT, UNPROVED = 0, 1, 2
SHOWN_MISSES = 20


@dataclass(frozen=True)
class Proof:
    """All that is known of one chain."""

    run: ChainRun
    money: Money
    reach: Reach
    pools: int
    swaps_replayed: int
    quotes_checked: int
    discrepancies: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the run, prove it, write the report; returns the exit status."""
    options = _options(arguments)
    started = time.monotonic()
    try:
        seed, runs = read_run(options.run.read_bytes())
        proofs = [prove(run, quotes=options.self_check, seed=seed) for run in runs]
    except (OSError, Unreadable, NodeFault, HistoryBroken) as error:
        sys.stderr.write(f"Nothing is proved: {error}\n")
        return UNPROVED
    report = {
        "seed": seed,
        "verify_s": round(time.monotonic() - started, 3),
        **summed(proofs),
        "chains": {
            proof.run.name: {**summed([proof]), "largest_misses": largest_misses(proof)}
            for proof in proofs
        },
    }
    options.out.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2) + b"\n")
    faults = [fault for proof in proofs for fault in proof.discrepancies]
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return DISCREPANT if faults else PROVED


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Prove from the chains what a demo run earned.")
    parser.add_argument("run", type=Path, metavar="RUN.json", help="what ran, and what it claims")
    parser.add_argument("--out", type=Path, required=True, help="where the report goes")
    parser.add_argument(
        "--self-check",
        type=int,
        default=0,
        metavar="N",
        help="ask the pools' bytecode for N quotes a chain, and compare",
    )
    return parser.parse_args(arguments)


def prove(run: ChainRun, *, quotes: int = 0, seed: int = 0) -> Proof:
    """Prove one chain: its money, then its opportunities."""
    with Node(run.http_url) as node:
        chain_id = int(node.call("eth_chainId"), 16)
        if chain_id != run.chain_id:
            raise NodeFault(f"{run.http_url} is chain {chain_id}, the run says {run.chain_id}.")
        head = int(node.call("eth_blockNumber"), 16)
        if head < run.last_block:
            raise NodeFault(f"{run.http_url} ends at block {head}, the run at {run.last_block}.")
        asked = range(run.first_block, run.last_block + 1)
        blocks = node.batch([("eth_getBlockByNumber", [hex(n), True]) for n in asked])
        money = prove_money(node, run, blocks)
        history = read_history(node, run)
        universe = Universe(
            history.pools.values(),
            start_tokens=run.start_tokens,
            wrapped_native=run.wrapped_native,
            most_hops=run.most_hops,
        )
        activity = Activity(run, node, blocks)
        searched = list(
            opportunities(node, run, history, universe, blocks, private=activity.private)
        )
        reach = score(
            run,
            searched,
            activity,
            base_fees={int(b["number"], 16): int(b["baseFeePerGas"], 16) for b in blocks},
            cycles=universe.count,
        )
        checked, wrong = self_check(node, history, rounds=quotes, seed=seed)
    return Proof(
        run=run,
        money=money,
        reach=reach,
        pools=len(history.pools),
        swaps_replayed=history.swaps_checked,
        quotes_checked=checked,
        discrepancies=(*money.discrepancies, *(f"{run.name}: {fault}" for fault in wrong)),
    )


def summed(proofs: Sequence[Proof]) -> dict[str, Any]:
    """Give the report of some chains taken together; amounts of wei are decimal strings."""

    def total(of: Callable[[Proof], int]) -> int:
        return sum(of(proof) for proof in proofs)

    def wei(of: Callable[[Proof], int]) -> str:
        return str(total(of))

    def wei_by(of: Callable[[Proof], Mapping[str, int]]) -> dict[str, str]:
        return {key: str(value) for key, value in _merged(proofs, of).items()}

    reachable = total(lambda p: p.reach.reachable_wei)
    found = total(lambda p: p.reach.found_wei)
    return {
        "blocks": total(lambda p: p.run.last_block - p.run.first_block + 1),
        "profit_onchain_wei": wei(lambda p: p.money.profit_onchain_wei),
        "ledger_profit_wei": wei(lambda p: p.money.ledger_profit_wei),
        "profits_equal": all(
            p.money.profit_onchain_wei == p.money.ledger_profit_wei for p in proofs
        ),
        "plans_checked": total(lambda p: p.money.plans_checked),
        "plans_equal": total(lambda p: p.money.plans_equal),
        "landed_gas_mean": _landed_gas_mean(proofs),
        "discrepancies": [fault for p in proofs for fault in p.discrepancies],
        "reachable": total(lambda p: p.reach.reachable),
        "reachable_wei": str(reachable),
        "found": total(lambda p: p.reach.found),
        "found_wei": str(found),
        "found_share": round(found / reachable, 6) if reachable else None,
        "fates_wei": wei_by(lambda p: p.reach.fates),
        "fates": _merged(proofs, lambda p: p.reach.fate_counts),
        "skipped_wei": wei_by(lambda p: p.reach.skipped),
        "missed_wei": wei_by(lambda p: p.reach.missed),
        "claims_above_reachable": total(lambda p: p.reach.above),
        "claims_above_reachable_wei": wei(lambda p: p.reach.above_wei),
        "triggers": total(lambda p: p.reach.triggers),
        "pools": total(lambda p: p.pools),
        "cycles": total(lambda p: p.reach.cycles),
        "swaps_replayed": total(lambda p: p.swaps_replayed),
        "quotes_checked": total(lambda p: p.quotes_checked),
    }


def largest_misses(proof: Proof) -> list[dict[str, Any]]:
    """Describe what the daemon missed most of, so that a person can go and look."""
    return [
        {
            "block": miss.block,
            "behind": miss.trigger,
            "missed_wei": str(miss.missed_wei),
            "net_wei": str(miss.best.net_wei),
            "claimed": miss.claimed,
            "amount_in": str(miss.best.amount_in),
            "route": [_spoken(proof.run, step) for step in miss.best.route],
            "conversion": _spoken(proof.run, miss.best.conversion),
        }
        for miss in proof.reach.misses[:SHOWN_MISSES]
    ]


def _spoken(run: ChainRun, step: Step | None) -> str | None:
    if step is None:
        return None
    into, out = run.tokens[step.token_in].name, run.tokens[step.token_out].name
    return f"{into} > {out} on {step.pool.dex} {step.pool.address} at {step.pool.fee_pips} pips"


def _landed_gas_mean(proofs: Sequence[Proof]) -> int | None:
    """Give what a landed plan used on average, to judge the brute force's gas estimates by."""
    used = [gas for proof in proofs for gas in proof.money.gas_used]
    return sum(used) // len(used) if used else None


def _merged(proofs: Sequence[Proof], of: Callable[[Proof], Mapping[str, int]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for proof in proofs:
        counts.update(of(proof))
    return dict(sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(main())

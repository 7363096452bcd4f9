"""Our quotes beside degenbot's: the same pools and amounts, one call from Python a quote.

`write` puts pools, amounts and our answers into a file; `peers_degenbot.py` answers the same under
its own interpreter and is timed there; `report` puts both side by side. Both run one after the
other on one machine; load on it shows in both.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from searcher.kernels.reference.uniswap_v3 import sqrt_at_tick
from searcher.market.protocol import PROTOCOLS, QuoteBlock
from searcher.market.state import state_from
from tests.bench.figures import Machine

BLOCK = QuoteBlock(1, 1_770_000_000)
REPETITIONS = 5
TOKENS = tuple("0x" + f"{n:02x}" * 20 for n in (0xA1, 0xB2, 0xC3))
Pools = list[dict[str, Any]]


def constant_product(rng: random.Random) -> tuple[str, Pools]:
    """Return pairs with ordinary reserves."""
    pools = [
        {
            "token0": TOKENS[0],
            "token1": TOKENS[1],
            "reserve0": rng.randrange(10**20, 10**24),
            "reserve1": rng.randrange(10**20, 10**24),
        }
        for _ in range(100)
    ]
    return "uniswap_v2", pools


def concentrated(rng: random.Random) -> tuple[str, Pools]:
    """Return pools with a position around every tick of the forty nearest."""
    pools = []
    for _ in range(20):
        spacing, tick = 60, rng.randint(-200_000, 200_000)
        here, base = tick // spacing, 10 ** rng.randint(19, 22)
        end = 887_272 // spacing * spacing
        positions = [(-end, end, base)] + [
            ((here - k) * spacing, (here + k) * spacing, rng.randrange(base // 5, 2 * base))
            for k in range(1, 40)
        ]
        net: dict[int, int] = {}
        gross: dict[int, int] = {}
        for low, high, liquidity in positions:
            net[low] = net.get(low, 0) + liquidity
            net[high] = net.get(high, 0) - liquidity
            for bound in (low, high):
                gross[bound] = gross.get(bound, 0) + liquidity
        pools.append(
            {
                "token0": TOKENS[0],
                "token1": TOKENS[1],
                "fee": 3000,
                "tick_spacing": spacing,
                "sqrt_price_x96": rng.randrange(sqrt_at_tick(tick), sqrt_at_tick(tick + 1)),
                "tick": tick,
                "liquidity": sum(size for low, high, size in positions if low <= tick < high),
                "ticks": [
                    {"index": t, "liquidity_net": net[t], "liquidity_gross": gross[t]}
                    for t in sorted(net)
                ],
            }
        )
    return "uniswap_v3", pools


def solidly(rng: random.Random) -> tuple[str, Pools]:
    """Return stable pools of two tokens with 18 and 6 decimals."""
    pools = [
        {
            "token0": TOKENS[0],
            "token1": TOKENS[1],
            "reserve0": rng.randrange(10**22, 10**24),
            "reserve1": rng.randrange(10**10, 10**12),
            "decimals0": 18,
            "decimals1": 6,
            "stable": True,
            "fee": 5,
        }
        for _ in range(50)
    ]
    return "velodrome_v2", pools


def stableswap(rng: random.Random) -> tuple[str, Pools]:
    """Return pools of three stable coins with 18, 6 and 6 decimals."""
    pools = [
        {
            "address": "0x" + "77" * 20,
            "coins": list(TOKENS),
            "balances": [
                rng.randrange(10**24, 10**26),
                rng.randrange(10**12, 10**14),
                rng.randrange(10**12, 10**14),
            ],
            "decimals": [18, 6, 6],
            "future_a": 20_000,
            "fee": 4_000_000,
            "contract": "base",
        }
        for _ in range(50)
    ]
    return "curve_stable", pools


def weighted(rng: random.Random) -> tuple[str, Pools]:
    """Return weighted pools of two tokens."""
    pools = []
    for _ in range(50):
        share = rng.randrange(2, 9)
        pools.append(
            {
                "tokens": list(TOKENS[:2]),
                "balances": [rng.randrange(10**21, 10**24) for _ in range(2)],
                "decimals": [18, 18],
                "normalized_weights": [share * 10**17, (10 - share) * 10**17],
                "swap_fee_percentage": 3 * 10**15,
                "pow_version": "v1",
            }
        )
    return "balancer_v2_weighted", pools


FAMILIES: dict[str, tuple[Callable[[random.Random], tuple[str, Pools]], float, float]] = {
    "constant product": (constant_product, 1e-5, 1e-2),
    "concentrated, small amounts": (concentrated, 1e-5, 1e-4),
    "concentrated, over many ticks": (concentrated, 3e-2, 3e-1),
    "solidly stable": (solidly, 1e-5, 1e-2),
    "stableswap of three coins": (stableswap, 1e-5, 1e-2),
    "weighted": (weighted, 1e-5, 1e-2),
}
"""What builds the pools, and the least and most share of what a pool holds that goes in."""


def cases() -> Iterator[tuple[str, dict[str, Any]]]:
    """Return each family's pools, amounts, our answers, and what one of them took us."""
    for name, (build, least, most) in FAMILIES.items():
        rng = random.Random(name)
        protocol, pools = build(rng)
        quotes = [
            (place, way, int(_held(pool, way) * rng.uniform(least, most)))
            for place, pool in enumerate(pools)
            for way in (0, 1)
            for _ in range(5)
        ]
        seconds, answers = _ours(protocol, pools, quotes)
        yield (
            name,
            {
                "protocol": protocol,
                "pools": _texts(pools),
                "quotes": [(place, way, str(amount)) for place, way, amount in quotes],
                "ours": [str(answer) for answer in answers],
                "our_ns": seconds / len(quotes) * 1e9,
            },
        )


def _ours(
    protocol: str, pools: Pools, quotes: list[tuple[int, int, int]]
) -> tuple[float, list[int]]:
    kind = PROTOCOLS.load(protocol)
    plugin = kind(kind.Config())
    states = [state_from(kind.State, pool) for pool in pools]
    asked = [
        (states[place], BLOCK, TOKENS[way], TOKENS[1 - way], amount)
        for place, way, amount in quotes
    ]
    samples = []
    for _ in range(REPETITIONS + 1):
        begun = time.perf_counter()
        answers = [plugin.quote_exact_in(*each).amount for each in asked]
        samples.append(time.perf_counter() - begun)
    return median(samples[1:]), answers


def _held(pool: dict[str, Any], way: int) -> int:
    """Return about how much of the token given a pool holds."""
    if "reserve0" in pool:
        return int(pool[f"reserve{way}"])
    if "balances" in pool:
        return int(pool["balances"][way])
    liquidity, price = pool["liquidity"], pool["sqrt_price_x96"] / 2**96
    return int(liquidity / price if way == 0 else liquidity * price)


def _texts(value: Any) -> Any:
    """Return integers as text: JSON of others may round them."""
    if isinstance(value, dict):
        return {key: _texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def write(path: Path) -> None:
    """Quote everything ourselves and write it down for the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(cases())))


def report(ours: Path, theirs: Path, path: Path) -> None:
    """Put both side by side, as a file and as a table."""
    mine, other = (json.loads(p.read_text()) for p in (ours, theirs))
    rows = []
    for name, case in mine.items():
        their = other["families"][name]
        different = sum(a != b for a, b in zip(case["ours"], their["answers"], strict=True))
        rows.append(
            {
                "family": name,
                "quotes": len(case["ours"]),
                "our_ns": round(case["our_ns"]),
                "their_ns": round(their["ns"]),
                "ratio": round(their["ns"] / case["our_ns"], 1),
                "different": different,
            }
        )
    peer = {"name": "degenbot", "version": other["version"], "python": other["python"]}
    document = {
        "peer": peer,
        "machine": msgspec.to_builtins(Machine.this()),
        "measured": "medians; one quote is one call from Python, objects and tables made before",
        "families": rows,
    }
    path.write_text(json.dumps(document, indent=2) + "\n")
    table = Table(title=f"searcher beside degenbot {peer['version']}")
    for column in ("family", "ours ns", "theirs ns", "times", "different"):
        table.add_column(column, justify="left" if column == "family" else "right")
    for row in rows:
        table.add_row(
            row["family"],
            f"{row['our_ns']:,}",
            f"{row['their_ns']:,}",
            f"{row['ratio']}",
            str(row["different"]),
        )
    Console().print(table)


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    {"write": write, "report": report}[command](*map(Path, paths))

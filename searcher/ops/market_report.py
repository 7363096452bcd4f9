"""The records of a market as a person reads them."""

from __future__ import annotations

import math
import sys
from typing import Final

from rich.console import Console
from rich.table import Table

from searcher.domain.units import WEI_PER_NATIVE, whole_tokens
from searcher.ops.market_paths import PathRecord, PathsRecord
from searcher.ops.market_source import SnapshotReport
from searcher.ops.market_view import (
    Count,
    Listing,
    PairRecord,
    PoolDetail,
    PoolRecord,
    SnapshotRecord,
    StatusRecord,
    TokenName,
    label,
)

_TOP: Final = 8
"""Causes that are shown; `--json` has all."""
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_SIZES: Final = ("B", "kB", "MB", "GB")
_PIPS_A_PERCENT: Final = 10_000
_WIDE: Final = 160
"""Columns where standard output is a file or a pipe: nothing is folded that a program may read."""


def show_status(status: StatusRecord) -> None:
    """Print a market as a whole."""
    console = _console()
    source = "the node's head" if status.live else "its snapshot"
    head = f"{status.chain} (chain id {status.chain_id}) as of {source}:"
    console.print(f"{head} block {status.block.number:,}, {ago(status.age_s)} ago")
    console.print(
        f"{status.pools:,} pools in {status.rows:,} pairs, {status.searched:,} of them searched"
    )
    console.print(
        f"{status.tokens:,} tokens: {status.tokens_proven:,} proven,"
        f" {status.tokens_set_aside:,} set aside, {status.tokens_unproven:,} not proven yet"
    )
    console.print(f"{size(status.array_bytes)} in arrays")
    console.print(_snapshot_line(status.snapshot))
    dexes = _table("DEX", "protocol", "pools", "searched", right=2)
    for each in status.dexes:
        dexes.add_row(each.dex, each.protocol, f"{each.pools:,}", f"{each.searched:,}")
    console.print(dexes)
    _causes(console, "set aside", status.set_aside)
    _causes(console, "announced and not followed", status.not_followed)
    if status.tripwire is not None:
        found = status.tripwire
        console.print(f"{found.pools:,} pools held against the node")
        _causes(console, "drifts", found.drifts)
        _causes(console, "faults of the node", found.node_faults)
        _causes(console, "not checked", found.unchecked)


def show_pools(listing: Listing) -> None:
    """Print a list of pools."""
    console = _console()
    table = _table("pool", "DEX", "tokens", "fee", "depth", "standing")
    for pool in listing.pools:
        table.add_row(
            pool.id,
            pool.dex,
            tokens(pool),
            fee(pool.fee_pips),
            native(pool.depth_wei),
            pool.set_aside or "searched",
        )
    console.print(table)
    console.print(
        f"{len(listing.pools):,} of {listing.chosen:,} pools, the deepest first; depth in native"
    )


def show_pool(detail: PoolDetail) -> None:
    """Print everything of one pool beside its state."""
    console, pool = _console(), detail.pool
    console.print(f"{pool.id}")
    console.print(f"{pool.protocol} of {pool.dex}: {tokens(pool)}, fee {fee(pool.fee_pips)}")
    for token in pool.tokens:
        decimals = "" if token.decimals is None else f" with {token.decimals} decimals"
        console.print(f"  {label(token)} is {token.address}{decimals}")
    if detail.tick_spacing:
        console.print(f"tick spacing {detail.tick_spacing}")
    console.print(f"prices for block {detail.block:,} at {detail.timestamp} s, fee included:")
    for pair in detail.pairs:
        there, back = label(pair.token0), label(pair.token1)
        console.print(f"  1 {there} gives {_rate(pair, forth=True)} {back}")
        console.print(f"  1 {back} gives {_rate(pair, forth=False)} {there}")
        console.print(f"  {native(pair.depth_wei)} native deep; {pair.set_aside or 'searched'}")


def show_paths(found: PathsRecord) -> None:
    """Print the best paths, or what was looked for in vain."""
    console = _console()
    start, end = found.token_in, found.token_out
    cyclic = start.address == end.address
    console.print(f"{amount(found.amount_in, start)} in block {found.block:,}, before gas:")
    titles = ("gives", "profit") if cyclic else ("gives",)
    table = _table(*titles, "path", right=len(titles), first=True)
    for path in found.paths:
        profit = [] if path.profit is None else [amount(path.profit, end)]
        table.add_row(amount(path.amount_out, end), *profit, _way(path))
    if found.paths:
        console.print(table)
    else:
        console.print(f"no path gives any {label(end)}")
    if found.refused:
        console.print(f"{found.refused} more looked as good, and a pool would refuse the amount")


def show_snapshot(found: SnapshotReport) -> None:
    """Print what a snapshot is of."""
    console = _console()
    console.print(f"{found.path}: {size(found.bytes)}{', written' if found.written else ''}")
    console.print(
        f"{found.chain} (chain id {found.chain_id}) as of block {found.block.number:,}"
        f" {found.block.hash}, {ago(found.age_s)} ago"
    )
    console.print("whole, and of this configuration")


def source_line(chain: str, block: int, age_s: int) -> str:
    """Return what is said beside a result that no node was asked for."""
    return f"{chain} as of block {block:,}, {ago(age_s)} ago, from its snapshot\n"


# ---- values


def ago(seconds: int) -> str:
    """Return a time in its two largest units."""
    parts: list[str] = []
    for name, unit in _UNITS:
        whole, seconds = divmod(seconds, unit)
        if whole or parts:
            parts.append(f"{whole} {name}")
    return " ".join(parts[:2]) or "0 s"


def size(count: int) -> str:
    """Return bytes in the largest unit that leaves at least one."""
    step = min(int(math.log(count, 1000)) if count else 0, len(_SIZES) - 1)
    return f"{count / 1000**step:.{1 if step else 0}f} {_SIZES[step]}"


def fee(pips: int | None) -> str:
    """Return a fee in percent."""
    return "-" if pips is None else f"{pips / _PIPS_A_PERCENT:g} %"


def native(wei: int | None) -> str:
    """Return an amount of wei in whole native coins, roughly."""
    if wei is None:
        return "unknown"
    whole = wei / WEI_PER_NATIVE
    return f"{whole:,.0f}" if round(whole) >= 1_000 else f"{whole:.4g}"


def amount(units: int, token: TokenName) -> str:
    """Return an amount exactly, in whole tokens where it is known what those are."""
    if token.decimals is None:
        return f"{units} units of {label(token)}"
    return f"{whole_tokens(units, token.decimals)} {label(token)}"


def tokens(pool: PoolRecord) -> str:
    """Return a pool's tokens."""
    return "/".join(map(label, pool.tokens))


def _rate(pair: PairRecord, *, forth: bool) -> str:
    sold, bought = (pair.token0, pair.token1) if forth else (pair.token1, pair.token0)
    rate = pair.rate01 if forth else pair.rate10
    if rate is None:
        return "no"
    if sold.decimals is None or bought.decimals is None:
        return f"{rate:.8g} (in smallest units)"
    return f"{rate * 10.0 ** (sold.decimals - bought.decimals):.8g}"


def _way(path: PathRecord) -> str:
    hops = (f"-{hop.dex} {fee(hop.fee_pips)}-> {label(hop.token_out)}" for hop in path.hops)
    return " ".join((label(path.hops[0].token_in), *hops))


def _snapshot_line(file: SnapshotRecord | None) -> str:
    return "no snapshot" if file is None else f"snapshot {file.path}, {size(file.bytes)}"


def _causes(console: Console, title: str, causes: tuple[Count, ...]) -> None:
    if not causes:
        return
    console.print(f"{title}:")
    for cause in causes[:_TOP]:
        console.print(f"  {cause.number:>8,}  {cause.name}")
    if len(causes) > _TOP:
        more = sum(cause.number for cause in causes[_TOP:])
        console.print(f"  {more:>8,}  for {len(causes) - _TOP} other reasons")


def _console() -> Console:
    width = None if sys.stdout.isatty() else _WIDE
    return Console(highlight=False, markup=False, soft_wrap=True, width=width)


def _table(*titles: str, right: int = 0, first: bool = False) -> Table:
    """Return a table; `right` of its columns, the last or the `first`, hold numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    numbers = range(right) if first else range(len(titles) - right, len(titles))
    for place, title in enumerate(titles):
        table.add_column(title, justify="right" if place in numbers else "left", overflow="fold")
    return table

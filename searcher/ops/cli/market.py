"""`searcher market`: look at what a chain's pools hold."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter, validators

if TYPE_CHECKING:
    from msgspec import Struct

    from searcher.ops.config.model import ChainSettings
    from searcher.ops.market_source import OpenMarket, SnapshotReport
    from searcher.ops.market_view import MarketView

app = App(name="market", help="Look at the pools of a chain: from its snapshot, or its node.")

Location = Annotated[
    str | None, Parameter(name="--config", help="Folder of the configuration, or its main file.")
]
Chain = Annotated[
    str,
    Parameter(help="The chain, by its name in config/chains; the only one if left out.",
              show_default=False),
]  # fmt: skip
Live = Annotated[
    bool,
    Parameter(
        help="Bring the market to the node's head; else no node is asked.",
        negative="",
        show_default=False,
    ),
]
AsJson = Annotated[
    bool, Parameter(name="--json", help="One JSON document.", negative="", show_default=False)
]
Limit = Annotated[int, Parameter(help="How many at most.", validator=validators.Number(gte=1))]


@app.command
def status(
    *, chain: Chain = "", live: Live = False, config: Location = None, json: AsJson = False
) -> None:
    """Say how old the market is, what it holds, and what is not searched and why."""
    from searcher.domain.clock import SystemClock
    from searcher.market.tripwire import Tripwire
    from searcher.ops import market_report
    from searcher.ops.market_source import wall_s

    async def look(opened: OpenMarket) -> None:
        market, rpc = opened.market, opened.rpc
        checked = None
        if rpc is not None:
            tripwire = Tripwire(market, rpc, opened.settings.tripwire)
            tripwire.begin()
            await tripwire.check()
            checked = tripwire.statistics()
        found = _view(opened).status(
            chain_id=opened.settings.chain.chain_id,
            now_s=wall_s(SystemClock()),
            live=live,
            snapshot=opened.snapshot or next(iter(opened.snapshots.stored()), None),
            tripwire=checked,
        )
        if json:
            _print_record(found)
        else:
            market_report.show_status(found)

    _with_market(chain, config, look, live=live, itself=True)


@app.command
def pools(
    *,
    token: Annotated[
        tuple[str, ...],
        Parameter(help="Name or address of a token it has; repeat.", negative=""),
    ] = (),
    dex: Annotated[str, Parameter(help="Of this DEX.", show_default=False)] = "",
    protocol: Annotated[str, Parameter(help="Of this protocol.", show_default=False)] = "",
    set_aside: Annotated[
        bool, Parameter(help="Those that are not searched.", negative="", show_default=False)
    ] = False,
    limit: Limit = 20,
    chain: Chain = "",
    live: Live = False,
    config: Location = None,
    json: AsJson = False,
) -> None:
    """List pools, the deepest first."""
    from searcher.ops import market_report
    from searcher.ops.market_view import Choice

    async def look(opened: OpenMarket) -> None:
        listing = _view(opened).listing(Choice(token, dex, protocol, set_aside), limit)
        if json:
            _print_record(listing)
        else:
            market_report.show_pools(listing)

    _with_market(chain, config, look, live=live)


@app.command
def pool(
    pool_id: Annotated[str, Parameter(name="ADDRESS", help="Its address, or address/id.")],
    /,
    *,
    state: Annotated[
        bool,
        Parameter(
            help="Only its state, as `searcher quote --state` reads it.",
            negative="",
            show_default=False,
        ),
    ] = False,
    chain: Chain = "",
    live: Live = False,
    config: Location = None,
    json: AsJson = False,
) -> None:
    """Show everything of one pool."""
    from searcher.domain.codec import to_record
    from searcher.ops import exact_json, market_report

    async def look(opened: OpenMarket) -> None:
        view = _view(opened)
        number = view.number(pool_id)
        if state:
            _print(exact_json.dumps(view.state_file(number), pretty=True))
        elif json:
            held = view.state_file(number) if opened.market.state(number) is not None else None
            _print(exact_json.dumps({**to_record(view.detail(number)), "quote": held}))
        else:
            market_report.show_pool(view.detail(number))

    _with_market(chain, config, look, live=live)


@app.command
def paths(
    token_in: Annotated[str, Parameter(name="A", help="Name or address of the token given.")],
    token_out: Annotated[str, Parameter(name="B", help="Of the token got; A for cycles.")],
    /,
    *,
    amount: Annotated[
        str,
        Parameter(
            help="Smallest units of A; what is worth one native coin if left out.",
            show_default=False,
        ),
    ] = "",
    hops: Annotated[
        int, Parameter(help="The most swaps of a path.", validator=validators.Number(gte=1, lte=4))
    ] = 3,
    limit: Limit = 10,
    chain: Chain = "",
    live: Live = False,
    config: Location = None,
    json: AsJson = False,
) -> None:
    """Find the paths from one token to another that give most, exact to the wei."""
    from searcher.ops import market_report
    from searcher.ops.market_paths import best_paths
    from searcher.ops.market_view import worth_of_native
    from searcher.ops.quoting import amount_of

    async def look(opened: OpenMarket) -> None:
        view = _view(opened)
        start, end = view.token(token_in), view.token(token_out)
        given = amount_of(amount) if amount else worth_of_native(view, start)
        found = best_paths(view, start, end, given, hops=hops, limit=limit)
        if json:
            _print_record(found)
        else:
            market_report.show_paths(found)

    _with_market(chain, config, look, live=live)


@app.command
def snapshot(
    *,
    out: Annotated[
        Path | None, Parameter(help="With --live: write this file, not one of the folder.")
    ] = None,
    chain: Chain = "",
    live: Live = False,
    config: Location = None,
    json: AsJson = False,
) -> None:
    """Verify the newest snapshot; with --live, write one of the node's head."""
    import asyncio

    from searcher.domain.clock import SystemClock
    from searcher.domain.errors import Misconfigured
    from searcher.ops import market_report
    from searcher.ops.chain_parts import market_of, snapshots_of
    from searcher.ops.market_source import opened, verified, written

    if out is not None and not live:
        raise Misconfigured("--out says where a snapshot is written: add --live to write one")
    settings, clock = _settings(chain, config, live=live), SystemClock()

    async def look() -> SnapshotReport:
        if not live:
            return verified(snapshots_of(settings, market_of(settings, clock), clock), clock)
        async with opened(settings, clock, live=True) as market:
            return await written(market.snapshots, out, clock)

    found = asyncio.run(look())
    if json:
        _print_record(found)
    else:
        market_report.show_snapshot(found)


def _with_market(
    chain: str,
    config: str | None,
    look: Callable[[OpenMarket], Awaitable[None]],
    *,
    live: bool,
    itself: bool = False,
) -> None:
    """Open the market and look at it; without `itself` its age is said beside the result."""
    import asyncio

    from searcher.domain.clock import SystemClock
    from searcher.ops.market_report import source_line
    from searcher.ops.market_source import opened, wall_s

    settings, clock = _settings(chain, config, live=live), SystemClock()

    async def run() -> None:
        async with opened(settings, clock, live=live) as market:
            if not (live or itself):
                head = market.market.head
                assert head is not None, "an open market has a head"
                age_s = max(wall_s(clock) - market.timestamp, 0)
                sys.stderr.write(source_line(settings.chain.name, head.number, age_s))
            await look(market)

    asyncio.run(run())


def _settings(chain: str, config: str | None, *, live: bool) -> ChainSettings:
    from searcher.domain.errors import Misconfigured
    from searcher.ops.config.model import load_config
    from searcher.ops.logging import LogSettings, configure

    chains = (chain,) if chain else ()
    loaded = load_config(config, flags=("mode=observe",), chains=chains)
    configure(LogSettings(level="info" if live else "warning"), secrets=loaded.secrets)
    known = loaded.config.chains
    if len(known) > 1:
        raise Misconfigured(f"there are {len(known)} chains: add --chain {' or '.join(known)}")
    (settings,) = known.values()
    return settings


def _view(opened: OpenMarket) -> MarketView:
    from searcher.domain.units import Address
    from searcher.ops.market_view import MarketView

    named = opened.settings.tokens
    return MarketView(opened.market, {name: Address(t.address) for name, t in named.items()})


def _print_record(record: Struct) -> None:
    from searcher.domain.codec import to_json

    _print(to_json(record).decode())


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")

"""`searcher devnet`: local chains with the real protocols, a builder, a relay and order flow."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

from cyclopts import App, Parameter

_JSON = Parameter(negative="", help="Print one JSON document.")

app = App(
    name="devnet",
    help="Local chains that run the protocols' real bytecode, with users, a builder and a relay.",
)


@app.command(help="Start the local chains in the background.")
def up(
    *,
    chain: Annotated[
        list[str] | None,
        Parameter(negative="", help="Name of a chain; give it again for more than one."),
    ] = None,
    seed: Annotated[int, Parameter(help="Decides what the users do.")] = 1,
    block_time_ms: Annotated[
        int, Parameter(help="Milliseconds between blocks; 0 seals on `devnet_mine` only.")
    ] = 1_000,
    port: Annotated[
        list[int] | None,
        Parameter(
            negative="",
            help="Port of a chain's builder, in the order of the chains; default any free.",
        ),
    ] = None,
    flow: Annotated[bool, Parameter(help="Whether users trade.")] = True,
    json: Annotated[bool, _JSON] = False,
) -> None:
    """Start the chains and return when all of them seal blocks."""
    from searcher.devnet import background
    from searcher.ops.logging import LogSettings, configure

    configure(LogSettings(level="warning"))
    names = tuple(chain or background.Request().chains)
    request = background.Request(
        chains=names,
        seed=seed,
        block_time_ms=block_time_ms,
        flow=flow,
        ports=dict(zip(names, port or (), strict=False)),
    )
    if not json:
        sys.stderr.write("starting the laboratory; the first time fetches the protocols\n")
    background.up(request)
    _show(json=json)


@app.command(help="Show the chains, where they listen, and how far they are.")
def status(*, json: Annotated[bool, _JSON] = False) -> None:
    """Show what is up."""
    _show(json=json)


@app.command(help="End the chains that `up` started.")
def down(*, json: Annotated[bool, _JSON] = False) -> None:
    """End the background laboratory; does nothing when none is up."""
    from searcher.devnet import background

    ended = background.down()
    if json:
        sys.stdout.write(f'{{"ended": {str(ended).lower()}}}\n')
    else:
        sys.stdout.write("the laboratory is down\n" if ended else "no laboratory was up\n")


@app.command(help="Fetch and verify the protocols' contracts, so that `up` needs no network.")
def fetch() -> None:
    """Fill the cache from npm, each package against its pinned sha512."""
    from searcher.devnet import packages
    from searcher.ops.logging import LogSettings, configure

    configure(LogSettings(level="warning"))
    asyncio.run(packages.fetch())
    sys.stdout.write(f"{len(packages.pinned())} packages are in {packages.cache_folder()}\n")


def _show(*, json: bool) -> None:
    import msgspec
    from rich.console import Console
    from rich.table import Table

    from searcher.devnet import background

    found = asyncio.run(background.status())
    if json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    if not found.up:
        sys.stdout.write("no laboratory is up: start one with `searcher devnet up`\n")
        return
    table = Table()
    for column in ("chain", "id", "head", "bundles landed", "node"):
        table.add_column(column, no_wrap=True)
    for chain in found.chains:
        table.add_row(
            chain.name,
            str(chain.chain_id),
            "does not answer" if chain.head is None else str(chain.head),
            str(chain.bundles.get("landed", 0)),
            chain.http_url,
        )
    Console().print(table)
    first = found.chains[0]
    sys.stdout.write(
        f"config/chains/devnet.toml takes chain {first.chain_id} from these:\n"
        f"  export SEARCHER_DEVNET_HTTP_URL={first.http_url}\n"
        f"  export SEARCHER_DEVNET_STREAM_URL={first.http_url.replace('http', 'ws', 1)}\n"
        f"  export SEARCHER_DEVNET_RELAY_URL={first.relay_url}\n"
    )

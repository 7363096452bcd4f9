"""`searcher executor`: the owner's commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import App, Parameter

T = TypeVar("T")

if TYPE_CHECKING:
    from searcher.ops.executor_admin import ExecutorAdmin

app = App(name="executor", help="Deploy the executor contract, look at it, withdraw from it.")

Chain = Annotated[str, Parameter(help="The chain, by its name in config/chains.")]
Location = Annotated[
    str | None, Parameter(name="--config", help="Folder of the configuration, or its main file.")
]
Keystore = Annotated[Path | None, Parameter(help="Keystore file of the owner's key.")]
Passphrase = Annotated[str, Parameter(help="Its passphrase: env:NAME or file:PATH.")]
Variable = Annotated[
    str, Parameter(help="Environment variable that holds the owner's key, instead of a keystore.")
]
Operators = Annotated[
    list[str] | None, Parameter(name="--operator", help="Address that may execute plans; repeat.")
]


@app.command(help="Create the executor of a chain and name its operators.")
def deploy(
    chain: Chain,
    *,
    operators: Operators = None,
    owner_keystore: Keystore = None,
    passphrase: Passphrase = "",
    owner_variable: Variable = "",
    config: Location = None,
) -> None:
    """Send the owner's transactions and print what to write into the chain's file."""
    from searcher.ops.executor_admin import OwnerKey, executor_table, parse_operator

    owner = OwnerKey(owner_keystore, passphrase, owner_variable).signer()
    named = tuple(parse_operator(each) for each in operators or ())
    created = _with_admin(chain, config, lambda admin: admin.deploy(owner, named))
    sys.stdout.write(executor_table(created) + "\n")


@app.command(help="Prove the executor's code, and show its operators and what it holds.")
def status(chain: Chain, *, operators: Operators = None, config: Location = None) -> None:
    """Read the chain; nothing is sent."""
    from searcher.domain.units import checksum
    from searcher.ops.executor_admin import amount_text, parse_operator

    named = tuple(parse_operator(each) for each in operators or ())
    found = _with_admin(chain, config, lambda admin: admin.status(named))
    lines = [f"{checksum(found.executor)} holds this version's executor"]
    lines += [
        f"{checksum(who)} {'may' if allowed else 'may NOT'} execute plans"
        for who, allowed in found.operators.items()
    ]
    lines += [f"holds {amount_text(holding)}" for holding in found.holdings]
    sys.stdout.write("\n".join(lines) + "\n")


@app.command(help="Send all that the executor holds of one token to an address.")
def withdraw(
    chain: Chain,
    token: Annotated[str, Parameter(help="The token's name in the chain's file, or native.")],
    *,
    to: Annotated[str, Parameter(help="Who receives it.")],
    owner_keystore: Keystore = None,
    passphrase: Passphrase = "",
    owner_variable: Variable = "",
    config: Location = None,
) -> None:
    """Send the owner's transaction and print its hash."""
    from searcher.ops.executor_admin import OwnerKey, parse_operator

    owner = OwnerKey(owner_keystore, passphrase, owner_variable).signer()
    receiver = parse_operator(to)
    tx_hash, amount = _with_admin(chain, config, lambda a: a.withdraw(owner, token, receiver))
    sys.stdout.write(f"{tx_hash} withdraws {amount} smallest units of {token}\n")


def _with_admin(
    chain: str, config: str | None, work: Callable[[ExecutorAdmin], Coroutine[Any, Any, T]]
) -> T:
    import asyncio

    from searcher.chains.rpc import RpcClient
    from searcher.domain.clock import SystemClock
    from searcher.ops.config.model import load_config
    from searcher.ops.executor_admin import ExecutorAdmin
    from searcher.ops.logging import LogSettings, configure

    configure(LogSettings(level="warning"))
    settings = load_config(config, flags=("mode=observe",), chains=(chain,)).config.chains[chain]

    async def run() -> T:
        async with RpcClient(settings.node.http_url) as rpc:
            return await work(ExecutorAdmin(settings, rpc, SystemClock()))

    return asyncio.run(run())

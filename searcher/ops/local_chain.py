"""A laboratory chain as the daemon's configuration: the same files that a user would write."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from searcher.devnet.manifest import AccountEntry, Manifest
from searcher.domain.units import Address, checksum

FINAL_AFTER_BLOCKS = 2


def chain_toml(manifest: Manifest, executor: Address | None, variables: Sequence[str]) -> str:
    """Return the chain file of a laboratory chain.

    Args:
        manifest: what stands on it.
        executor: our contract, when it is deployed.
        variables: environment variables that hold the operators' keys; the first also signs
            requests to the relay.
    """
    tables = [
        "# A local chain of the laboratory: `searcher devnet up` starts it.",
        _table(
            "chain",
            name=manifest.name,
            chain_id=manifest.chain_id,
            network="ethereum",
            wrapped_native="WETH",
            block_time_ms=manifest.timestamp_step_s * 1000,
            coinbase=checksum(manifest.coinbase),
            final_after_blocks=FINAL_AFTER_BLOCKS,
        ),
        _table("node", http_url=manifest.http_url, stream_url=manifest.ws_url, pending="full"),
        *(
            _table(f"tokens.{name}", address=checksum(token.address), decimals=token.decimals)
            for name, token in manifest.tokens.items()
        ),
        *(
            _table(
                f"dexes.{name}",
                protocol=dex.protocol,
                factory=checksum(dex.factory),
                first_block=dex.first_block,
                **({"fee_pips": dex.fee_pips} if dex.fee_pips else {}),
            )
            for name, dex in manifest.dexes.items()
        ),
    ]
    if executor is not None:
        tables.append(_table("executor", address=checksum(executor)))
    tables += [
        _table("[signers.operators]", plugin="environment", variable=variable)
        for variable in variables
    ]
    if variables:
        tables.append(_table("signers.relay_auth", plugin="environment", variable=variables[0]))
    tables.append(_table("relays.local", plugin="flashbots", url=manifest.relay_url))
    # A laboratory begins anew each time: there is nothing that a snapshot could be taken up on.
    tables.append(_table("snapshots", every_minutes=0, on_stop=False))
    return "\n".join(tables)


def lend_keys(chain: str, accounts: Sequence[AccountEntry]) -> list[str]:
    """Put the laboratory's known keys into this process's environment; returns their names."""
    prefix = "SEARCHER_" + chain.upper().replace("-", "_")
    names = [f"{prefix}_OPERATOR_{number}" for number in range(len(accounts))]
    for name, account in zip(names, accounts, strict=True):
        os.environ[name] = account.key
    return names


def write_main(folder: Path, *, mode: str, chains: Sequence[str], ledger: Path) -> None:
    """Write the main file of a configuration folder."""
    (folder / "searcher.toml").write_text(
        f"mode = {_value(mode)}\n"
        f"chains = {_value(list(chains))}\n"
        'strategies = ["arbitrage", "backrun"]\n'
        'risk = "default"\n\n'
        + _table("ledger", store="sqlite", path=str(ledger))
        + "\n"
        + _table("log", level="warning")
        + "\n"
    )


def _table(name: str, /, **values: object) -> str:
    lines = [f"[{name}]", *(f"{key} = {_value(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    # JSON's strings, numbers and arrays of them are TOML too.
    return json.dumps(value)

"""config/chains/devnet.toml against a laboratory that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from searcher.devnet.laboratory import Laboratory
from searcher.ops.config.model import load_config

CONFIG = Path(__file__).parents[4] / "config"


@pytest.mark.devnet
async def test_the_committed_addresses_are_those_of_the_laboratory(tmp_path: Path):
    async with Laboratory(["devnet"], block_time_ms=0, flow=False, directory=tmp_path) as lab:
        manifest = lab.manifests["devnet"]
    urls = {"HTTP": manifest.http_url, "STREAM": manifest.ws_url, "RELAY": manifest.relay_url}
    environ = {f"SEARCHER_DEVNET_{name}_URL": url for name, url in urls.items()}
    chain = load_config(str(CONFIG), environ=environ, chains=["devnet"]).config.chains["devnet"]
    assert chain.chain.chain_id == manifest.chain_id
    assert chain.chain.coinbase == manifest.coinbase
    assert {name: (token.address, token.decimals) for name, token in chain.tokens.items()} == {
        name: (token.address, token.decimals) for name, token in manifest.tokens.items()
    }
    assert {
        name: (dex.protocol, dex.factory, dex.first_block, dex.fee_pips or 0)
        for name, dex in chain.dexes.items()
    } == {
        name: (dex.protocol, dex.factory, dex.first_block, dex.fee_pips)
        for name, dex in manifest.dexes.items()
    }

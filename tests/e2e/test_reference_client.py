"""Flashbots' own client against the laboratory's relay."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from searcher.chains.rpc import RpcClient
from searcher.devnet.accounts import account
from searcher.devnet.laboratory import Laboratory

HERE = Path(__file__).parent
PACKAGES = HERE.parents[1] / "contracts" / "node_modules"
NODE = Path(sys.executable).parent / "node"


async def drive(manifest):
    assert NODE.exists(), f"{NODE} is missing: run make setup"
    assert PACKAGES.is_dir(), f"{PACKAGES} is missing: run make setup"
    given = {
        "node": manifest.http_url,
        "relay": manifest.relay_url,
        "chainId": manifest.chain_id,
        "keys": [account("owner").key_hex, *(account("spare", n).key_hex for n in range(2))],
    }
    process = await asyncio.create_subprocess_exec(
        NODE,
        HERE / "reference_client.mjs",
        json.dumps(given),
        env={**os.environ, "NODE_PATH": str(PACKAGES)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


@pytest.mark.devnet
async def test_a_bundle_sent_by_flashbots_own_client_lands():
    async with Laboratory(["devnet-a"], block_time_ms=0, flow=False) as laboratory:
        manifest = laboratory.manifests["devnet-a"]
        report = await drive(manifest)
        async with RpcClient(manifest.http_url) as rpc:
            block = await rpc.call("eth_getBlockByNumber", [hex(report["target"]), False])
            (landed,) = await rpc.call("devnet_bundles", [report["bundleHash"]])

    assert report["resolution"] == "BundleIncluded"
    assert block["transactions"] == report["transactions"]
    assert report["blocks"] == [report["target"]] * 2
    assert landed["fate"] == "landed"
    assert landed["signer"] == account("owner").address
    assert report["simulated"]["bundleHash"] == report["bundleHash"]
    assert report["simulated"]["totalGasUsed"] == 42_000
    assert report["simulated"]["coinbaseDiff"] == landed["payment_wei"] == str(5 * 21_000)
    assert report["cancelled"] == [report["toCancel"]]
    assert report["afterCancel"] == "BlockPassedWithoutInclusion"
    assert report["privateBlock"] == report["target"] + 2

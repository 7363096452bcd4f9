"""Our requests against those of Flashbots' own client, byte for byte."""

import asyncio
import json
import os
import sys
from pathlib import Path

import msgspec
import pytest

from searcher.domain.registry import Registry
from searcher.domain.units import Address
from searcher.submission.relay import Relay
from searcher.submission.transactions import DynamicFeeTransaction

HERE = Path(__file__).parent
PACKAGES = HERE.parents[2] / "contracts" / "node_modules"
NODE = Path(sys.executable).parent / "node"
AUTH_KEY = "0x" + "01" * 32  # the key of the first of the fixture's signers
UUID = "6a3bb3d5-8a3a-4b8e-9a5c-2d3b4f5a6b7c"
ANSWER = {
    "bundleHash": "0x" + "cd" * 32,
    "bundleGasPrice": "1",
    "coinbaseDiff": "2",
    "ethSentToCoinbase": "3",
    "gasFees": "4",
    "results": [],
    "stateBlockNumber": 16,
}


@pytest.fixture
async def bundle(signed_bundle, signers):
    txs = []
    for nonce, signer in enumerate(signers[1:]):
        tx = DynamicFeeTransaction(
            31337, nonce, 1, 2_000_000_000, 300_000, Address("0x" + "11" * 20), 5, b"\x01\x02"
        )
        txs.append(tx.signed(await signer.sign_transaction_hash(tx.signing_hash())).raw)
    return msgspec.structs.replace(signed_bundle, txs=tuple(txs))


async def run_reference_client(url, bundle):
    assert NODE.exists(), f"{NODE} is missing: install locks/dev.txt into this environment"
    assert PACKAGES.is_dir(), f"{PACKAGES} is missing: run make setup"
    given = {
        "txs": ["0x" + tx.hex() for tx in bundle.txs],
        "target": bundle.target_block,
        "replacementUuid": UUID,
        "stateBlock": bundle.target_block - 1,
        "timestamp": 1_700_000_000,
    }
    process = await asyncio.create_subprocess_exec(
        NODE,
        HERE / "reference_client.cjs",
        url,
        AUTH_KEY,
        "31337",
        json.dumps(given),
        env={**os.environ, "NODE_PATH": str(PACKAGES)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


async def test_requests_equal_the_reference_clients(fake_relay, signers, clock, bundle):
    fake_relay.body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": ANSWER})
    theirs = await run_reference_client(fake_relay.url, bundle)
    expected = list(fake_relay.requests)
    fake_relay.requests.clear()
    plugin = Registry("searcher.submission.relays", Relay).load("flashbots")
    relay = plugin("a", plugin.Config(url=fake_relay.url), auth=signers[0], clock=clock)

    submission = await relay.send(bundle)
    await relay.send(msgspec.structs.replace(bundle, replacement_uuid=UUID))
    await relay.cancel(UUID)
    await relay.call(
        bundle.txs,
        block_number=bundle.target_block,
        state_block=bundle.target_block - 1,
        timestamp=1_700_000_000,
    )
    await relay.close()

    assert submission.bundle_hash == theirs["bundleHash"]
    assert len(fake_relay.requests) == len(expected) == 4
    for (headers, body), (their_headers, their_body) in zip(
        fake_relay.requests, expected, strict=True
    ):
        assert body == their_body
        for name in ("X-Flashbots-Signature", "Content-Type"):
            assert headers[name] == lowered(their_headers)[name.lower()]


def lowered(headers):
    return {name.lower(): value for name, value in headers.items()}

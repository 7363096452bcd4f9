import asyncio
import json
import socket

import msgspec
import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils import keccak
from pydantic import ValidationError

from searcher.domain.errors import Rejected, Unresolved
from searcher.domain.plan import SubmissionState
from searcher.domain.registry import Registry
from searcher.submission.relay import Relay

RELAYS = Registry("searcher.submission.relays", Relay)


@pytest.fixture
async def make(signers, clock):
    opened = []

    def build(url, **settings):
        plugin = RELAYS.load("flashbots")
        config = plugin.Config(url=url, **settings)
        opened.append(plugin("relay-a", config, auth=signers[0], clock=clock))
        return opened[-1]

    yield build
    for relay in opened:
        await relay.close()


async def test_bundle_is_sent_signed_and_acknowledged(fake_relay, make, signed_bundle, signers):
    relay = make(fake_relay.url, builders=("titan",))

    submission = await relay.send(msgspec.structs.replace(signed_bundle, replacement_uuid="u-1"))

    headers, body = fake_relay.requests[0]
    assert json.loads(body) == {
        "method": "eth_sendBundle",
        "params": [
            {
                "txs": ["0x02c0", "0x02c180"],
                "blockNumber": "0x1234",
                "replacementUuid": "u-1",
                "builders": ["titan"],
            }
        ],
        "id": 1,
        "jsonrpc": "2.0",
    }
    claimed, signature = headers["X-Flashbots-Signature"].split(":")
    text = encode_defunct(text="0x" + keccak(body).hex())
    assert Account.recover_message(text, signature=signature) == claimed
    assert claimed.lower() == signers[0].address
    assert submission.state is SubmissionState.ACKNOWLEDGED
    assert submission.bundle_hash == "0xabc"
    assert submission.relay == "relay-a"
    assert submission.latency_ns > 0
    assert relay.statistics().acknowledged == 1


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        ((200, '{"result":"0xdef"}'), "acknowledged", ""),
        ((200, '{"result":null}'), "acknowledged", ""),
        ((200, '{"result":{"bundleHash":5},"error":null}'), "acknowledged", ""),
        ((200, '{"error":"bundle too old"}'), "rejected", "bundle too old"),
        ((200, '{"error":{"code":-32000,"message":"no funds"}}'), "rejected", "no funds"),
        ((200, '{"error":{"code":-32000}}'), "rejected", "-32000"),
        ((200, '{"error":"a\\nb\\u0000c"}'), "rejected", "a b c"),
        ((200, '{"error":""}'), "rejected", "without a reason"),
        ((403, '{"error":{"message":"unknown signer"}}'), "rejected", "HTTP 403: unknown signer"),
        ((429, "slow down"), "rejected", "HTTP 429"),
        ((307, ""), "rejected", "HTTP 307"),
        ((408, ""), "unresolved", "HTTP 408"),
        ((500, '{"error":"oops"}'), "unresolved", "HTTP 500: oops"),
        ((503, "<html>"), "unresolved", "HTTP 503"),
        ((200, "<html>"), "unresolved", "not a JSON object"),
        ((200, "[1]"), "unresolved", "not a JSON object"),
        ((200, "{}"), "unresolved", "neither result nor error"),
    ],
)
async def test_what_an_answer_means(fake_relay, make, signed_bundle, *, answer, state, reason):
    fake_relay.status, fake_relay.body = answer
    relay = make(fake_relay.url)

    submission = await relay.send(signed_bundle)

    assert submission.state == state
    assert reason in submission.reason
    assert len(fake_relay.requests) == 1
    counts = relay.statistics()
    assert getattr(counts, state) == counts.acknowledged + counts.rejected + counts.unresolved == 1


async def test_silence_is_unresolved(fake_relay, make, signed_bundle):
    fake_relay.hold = asyncio.Event()

    submission = await make(fake_relay.url, timeout_ms=50).send(signed_bundle)

    assert submission.state is SubmissionState.UNRESOLVED
    assert "0.05 s" in submission.reason


async def test_connection_lost_after_sending_is_unresolved(fake_relay, make, signed_bundle):
    fake_relay.cut = True

    submission = await make(fake_relay.url).send(signed_bundle)

    assert submission.state is SubmissionState.UNRESOLVED
    assert len(fake_relay.requests) == 1


async def test_an_endless_answer_is_unresolved(fake_relay, make, signed_bundle):
    fake_relay.body = "x" * (1 << 21)

    submission = await make(fake_relay.url).send(signed_bundle)

    assert submission.state is SubmissionState.UNRESOLVED


async def test_refused_connection_means_nothing_was_sent(make, signed_bundle):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        port = taken.getsockname()[1]

        submission = await make(f"http://user:hunter2@127.0.0.1:{port}/k3y").send(signed_bundle)

    assert submission.state is SubmissionState.REJECTED
    assert submission.reason.startswith("not sent: ")
    assert "hunter2" not in submission.reason
    assert "k3y" not in submission.reason


async def test_call_and_cancel(fake_relay, make):
    relay = make(fake_relay.url)

    result = await relay.call([b"\x02"], block_number=17, state_block=16, timestamp=1_700_000_000)
    await relay.cancel("u-1")

    called, cancelled = (json.loads(body) for _, body in fake_relay.requests)
    assert result == {"bundleHash": "0xabc"}
    assert called["method"] == "eth_callBundle"
    assert called["params"] == [
        {
            "txs": ["0x02"],
            "blockNumber": "0x11",
            "stateBlockNumber": "0x10",
            "timestamp": 1_700_000_000,
        }
    ]
    assert (cancelled["method"], cancelled["params"], cancelled["id"]) == (
        "eth_cancelBundle",
        [{"replacementUuid": "u-1"}],
        2,
    )


async def test_call_and_cancel_raise_by_remedy(fake_relay, make):
    relay = make(fake_relay.url)
    fake_relay.body = '{"error":"no"}'
    with pytest.raises(Rejected, match="relay-a refused eth_callBundle: no"):
        await relay.call([b"\x02"], block_number=17)
    fake_relay.status = 502
    with pytest.raises(Unresolved, match="relay-a left eth_cancelBundle unanswered"):
        await relay.cancel("u-1")


def test_a_url_that_is_not_http_is_refused_without_showing_it():
    plugin = RELAYS.load("flashbots")
    with pytest.raises(ValidationError, match="write http://") as caught:
        plugin.Config(url="ftp://user:hunter2@host")
    assert "hunter2" not in str(caught.value)

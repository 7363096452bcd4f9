import pytest
from aiohttp import web

from searcher.domain.clock import SystemClock
from searcher.domain.plan import SignedBundle
from searcher.domain.units import Address, Hash32, OpportunityId
from searcher.submission.signer import LocalSigner

KEYS = [bytes([n]) * 32 for n in (1, 2, 3)]


class FakeRelay:
    """A relay's HTTP side: records what arrives and answers what the test says."""

    def __init__(self):
        self.requests = []
        self.status = 200
        self.body = '{"jsonrpc":"2.0","id":1,"result":{"bundleHash":"0xabc"}}'
        self.hold = None  # an event that an answer waits for
        self.cut = False  # close the connection instead of answering
        self.url = ""

    async def handle(self, request):
        self.requests.append((dict(request.headers), await request.read()))
        if self.hold is not None:
            await self.hold.wait()
        if self.cut:
            request.transport.close()
        return web.Response(status=self.status, text=self.body, headers={"Location": "/elsewhere"})


@pytest.fixture
async def fake_relay():
    relay = FakeRelay()
    app = web.Application()
    app.router.add_post("/{tail:.*}", relay.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    relay.url = f"http://127.0.0.1:{port}/"
    yield relay
    if relay.hold is not None:
        relay.hold.set()
    await runner.cleanup()


@pytest.fixture
def clock():
    return SystemClock()


@pytest.fixture
def signers():
    return [LocalSigner(key) for key in KEYS]


@pytest.fixture
def signed_bundle():
    return SignedBundle(
        opportunity_id=OpportunityId("devnet-9-0"),
        chain="devnet",
        target_block=0x1234,
        txs=(b"\x02\xc0", b"\x02\xc1\x80"),
        own_hash=Hash32("0x" + "aa" * 32),
        sender=Address("0x" + "bb" * 20),
        nonce=7,
        gas_limit=300_000,
        max_fee_wei=2_000_000_000,
        max_priority_fee_wei=1,
        bid_wei=5,
        replacement_uuid="",
        at_ns=1,
    )

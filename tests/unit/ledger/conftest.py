import pytest

from searcher.domain.clock import SystemClock
from searcher.domain.plan import Mode
from searcher.domain.registry import Registry
from searcher.ledger.ledger import Ledger
from searcher.ledger.store import Store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def store_at():
    def make(where):
        plugin = Registry("searcher.ledger.stores", Store).load("sqlite")
        return plugin(plugin.Config(path=where))

    return make


@pytest.fixture
def open_ledger(path, store_at):
    def begin(mode=Mode.LIVE, where=path):
        return Ledger.open(
            store_at(where), mode=mode, config_hash="c0ffee", version="0.1.0", clock=SystemClock()
        )

    return begin


@pytest.fixture
async def ledger(open_ledger):
    async with await open_ledger() as opened:
        yield opened

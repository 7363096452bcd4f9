"""The parts of a dry-run that need no fork."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from searcher.chains.network import networks
from searcher.domain.errors import Misconfigured
from searcher.domain.events import BlockHeader
from searcher.domain.plan import Mode
from searcher.domain.units import Address, Hash32, OpportunityId
from searcher.ops.config.problems import ConfigInvalid
from searcher.ops.dry_run_config import choose_chain, load_for_fork, with_executor
from searcher.ops.dry_run_report import PlanRow, compatible, route_of
from searcher.ops.fork_source import KnownNext, next_of_each
from tests.unit.executor.routes import GEM, PAIR, USD, WRAPPED, hop, opportunity

ROOT = Path(__file__).parents[3]
URL = "http://127.0.0.1:1/secret-key"


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path / "config"


def loaded(folder, tmp_path, chain="ethereum", strategies=(), flags=()):
    return load_for_fork(
        str(folder),
        chain=chain,
        fork_url=URL,
        strategies=strategies,
        flags=flags,
        ledger=tmp_path / "own.sqlite",
    )


def test_the_chain_file_is_chosen_by_the_chain_id(folder):
    assert choose_chain(str(folder), 1, None) == "ethereum"
    assert choose_chain(str(folder), 56, None) == "bsc"
    assert choose_chain(str(folder), 1, "devnet") == "devnet"  # refused later, by its id
    with pytest.raises(Misconfigured, match=r"bsc \(56\), devnet \(31337\), ethereum \(1\)"):
        choose_chain(str(folder), 5, None)
    with pytest.raises(Misconfigured, match="did you mean 'bsc'"):
        choose_chain(str(folder), 56, "bcs")
    shutil.copy(folder / "chains" / "bsc.toml", folder / "chains" / "bsc_too.toml")
    with pytest.raises(Misconfigured, match="bsc and bsc_too: choose one with --chain"):
        choose_chain(str(folder), 56, None)
    (folder / "chains" / "bad.toml").write_text("[chain\n")
    with pytest.raises(ConfigInvalid, match=r"bad\.toml:1"):
        choose_chain(str(folder), 56, None)


@pytest.mark.parametrize("chain", ["ethereum", "bsc", "devnet"])
def test_no_key_no_relay_and_no_variable_is_needed(folder, tmp_path, chain, monkeypatch):
    for name in ("HTTP_URL", "STREAM_URL", "RELAY_URL"):
        monkeypatch.delenv(f"SEARCHER_{chain.upper()}_{name}", raising=False)
    with (folder / "chains" / f"{chain}.toml").open("a") as file:
        file.write('[[signers.operators]]\nplugin = "environment"\nvariable = "NOT_SET"\n')
    result = loaded(folder, tmp_path, chain, flags=('mode="live"', "ledger.path=live.db"))
    config = result.config
    assert config.main.mode is Mode.SIMULATE
    assert str(config.main.ledger.settings.path) == str(tmp_path / "own.sqlite")
    assert list(config.chains) == [chain]
    assert config.chains[chain].node.http_url == URL
    assert not config.chains[chain].signers.operators
    assert not config.chains[chain].relays
    executor = Address("0x" + "ab" * 20)
    assert with_executor(result, chain, executor).config.chains[chain].executor.address == executor


def test_a_strategy_is_a_file_or_a_configured_name(folder, tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text('plugin = "backrun"\nhops_most = 2\n')
    config = loaded(folder, tmp_path, strategies=(str(mine), "arbitrage")).config
    assert list(config.strategies) == ["mine", "arbitrage"]
    assert config.strategies["mine"].name == "backrun"
    flags = ("strategies.mine.hops_most=4",)
    config = loaded(folder, tmp_path, strategies=(str(mine),), flags=flags).config
    assert config.strategies["mine"].settings.hops_most == 4
    with pytest.raises(Misconfigured, match="did you mean 'backrun'"):
        loaded(folder, tmp_path, strategies=("backrunn",))
    with pytest.raises(Misconfigured, match="there is no strategy file"):
        loaded(folder, tmp_path, strategies=("gone.toml",))
    mine.write_text('plugin = "backrun"\nhops = 2\n')
    with pytest.raises(ConfigInvalid, match=r"mine\.toml:2:1: unknown key 'hops'"):
        loaded(folder, tmp_path, strategies=(str(mine),))


def header(number, **fields):
    made = BlockHeader(
        number=number,
        hash=Hash32(f"0x{number:064x}"),
        parent_hash=Hash32(f"0x{number - 1:064x}"),
        timestamp=1_000 + number * 12,
        base_fee_wei=10**9,
        gas_limit=30_000_000,
        gas_used=10_000_000,
        coinbase=Address("0x" + "c0" * 20),
    )
    return replace(made, **fields)


def test_the_next_block_is_the_real_one_where_it_is_known():
    rules = networks().load("ethereum")()
    network = KnownNext(rules)
    coinbase = Address("0x" + "dd" * 20)

    def context():
        return network.next_context(header(7), coinbase=coinbase, block_time_ms=12_000)

    by_the_rules = rules.next_context(header(7), coinbase=coinbase, block_time_ms=12_000)
    assert context() == by_the_rules
    child = header(8, timestamp=1_108, base_fee_wei=123, gas_limit=29_999_000)
    network.know(child)
    found = context()
    assert found.parent == header(7).ref
    assert (found.number, found.timestamp, found.base_fee_wei) == (8, 1_108, 123)
    assert (found.gas_limit, found.coinbase) == (29_999_000, child.coinbase)
    network.know(replace(child, parent_hash=Hash32("0x" + "ee" * 32)))
    assert context() == by_the_rules
    assert network.next_base_fee(header(7)) == rules.next_base_fee(header(7))


def test_of_each_sender_the_next_transaction_is_taken():
    pool = {
        "pending": {
            "0xa": {"10": {"hash": "a10"}, "9": {"hash": "a9"}},
            "0xb": {"0": {"hash": "b0"}},
            "0xc": {},
        },
        "queued": {"0xd": {"5": {"hash": "d5"}}},
    }
    assert [body["hash"] for body in next_of_each(pool)] == ["a9", "b0"]
    for nonsense in (
        None,
        [],
        {},
        {"pending": []},
        {"pending": {"0xa": 1}},
        {"pending": {"a": {"x": {}}}},
    ):
        assert next_of_each(nonsense) == []


def plan(block, earned_wei, *pools):
    return PlanRow(
        id=OpportunityId(f"devnet-{block}-{earned_wei}"),
        block=block,
        strategy="arbitrage",
        behind=(),
        route=("WETH", "USDC", "WETH"),
        pools=tuple(map(Address, pools)),
        gross_wei=earned_wei,
        bid_wei=0,
        gas_wei=0,
        earned_wei=earned_wei,
        landed=True,
        reason="",
    )


def test_plans_in_each_others_way_count_once():
    best, other, apart = plan(5, 9, "a", "b"), plan(5, 4, "b", "c"), plan(5, 3, "d", "e")
    assert list(compatible([other, apart, best])) == [best, apart]
    still_there, changed = plan(6, 8, "b", "a"), plan(6, 2, "a", "d")
    assert list(compatible([best, still_there, changed])) == [best, changed]
    # Seen, gone for a block, and there again: that is another opportunity.
    assert list(compatible([best, plan(7, 8, "a", "b")])) == [best, plan(7, 8, "a", "b")]
    # Still there for a third block, though the second did not count.
    assert list(compatible([best, still_there, plan(7, 8, "a", "b")])) == [best]
    assert list(compatible([])) == []


def test_a_route_names_the_tokens_that_a_split_holds_in_between_together():
    names = {WRAPPED: "WETH", USD: "USDC", GEM: "GEM"}
    there = hop(1, PAIR, (WRAPPED, 10), (USD, 20))
    back = hop(2, PAIR, (USD, 20), (WRAPPED, 11))
    assert route_of(opportunity([there, back]), names) == ("WETH", "USDC", "WETH")
    parts = [
        there,
        hop(3, PAIR, (WRAPPED, 5), (GEM, 6)),
        hop(4, PAIR, (USD, 20), (WRAPPED, 11)),
        hop(5, PAIR, (GEM, 6), (WRAPPED, 7)),
    ]
    assert route_of(opportunity(parts), names) == ("WETH", "USDC+GEM", "WETH")

"""`searcher market` over a small chain in memory, whose snapshot lies in a real folder."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest

from searcher.domain.clock import SystemClock
from searcher.domain.errors import ExitStatus
from searcher.kernels.reference import uniswap_v2
from searcher.ops.chain_parts import market_of, snapshots_of
from searcher.ops.cli import build, run
from searcher.ops.config.model import load_config
from tests.unit.market.chain import Chain
from tests.unit.market.world import DAI, DEXES, TOKENS, UNNAMED, USDC, WBTC, WETH, prove_all

CONFIG = Path(__file__).parents[4] / "config"
CHAIN_ID = 7
POSITIONS = [(-887220, 887220, 10**21), (-1200, 1200, 10**22), (-600, 60, 3 * 10**21)]
NATIVE = 10**18


def chain_file(folder):
    tables = [
        f'[chain]\nname = "testchain"\nchain_id = {CHAIN_ID}\nnetwork = "ethereum"',
        'wrapped_native = "WETH"\nblock_time_ms = 12_000',
        '[node]\nhttp_url = "http://127.0.0.1:1"\nstream_url = "ws://127.0.0.1:1"',
        f'[snapshots]\nfolder = "{folder}"',
        "[discovery]\nonly_configured_tokens = false",
    ]
    for name, token in TOKENS.items():
        tables.append(f'[tokens.{name}]\naddress = "{token.address}"\ndecimals = {token.decimals}')
    for name, dex in DEXES.items():
        fee = f"\nfee_pips = {dex.fee_pips}" if dex.fee_pips else ""
        tables.append(
            f'[dexes.{name}]\nprotocol = "{dex.protocol}"\nfactory = "{dex.factory}"{fee}'
        )
    return "\n".join(tables) + "\n"


class Place:
    """A configuration, and a chain whose market lies in its folder of snapshots."""

    def __init__(self, folder):
        self.config = folder / "config"
        self.stored = folder / "stored" / "testchain"
        (self.config / "chains").mkdir(parents=True)
        for part in ("strategies", "risk"):
            shutil.copytree(CONFIG / part, self.config / part)
        (self.config / "searcher.toml").write_text(
            'mode = "observe"\nchains = ["testchain"]\nstrategies = ["arbitrage"]\n'
            f'[ledger]\nstore = "sqlite"\npath = "{folder}/ledger.db"\n'
        )
        (self.config / "chains" / "testchain.toml").write_text(chain_file(self.stored.parent))
        self.chain = chain = Chain()
        self.pair = chain.create_v2("v2", WETH, DAI, 10 * NATIVE, 20_000 * NATIVE)
        self.fork = chain.create_v2("fork", WETH, DAI, 10**21, 21 * 10**23)
        chain.create_v2("v2", WETH, USDC, 10**21, 2 * 10**12)
        chain.create_v2("v2", DAI, USDC, 10**24, 10**12)
        self.tainted = chain.create_v2("v2", WETH, UNNAMED, 10**21, 10**21)
        self.v3 = chain.create_v3(WETH, WBTC, 3000, 0, POSITIONS)
        chain.seal()
        self.settings = load_config(str(self.config)).config.chains["testchain"]
        self.market = market_of(self.settings, SystemClock())
        asyncio.run(self._begin())

    async def _begin(self):
        head = self.chain.headers[-1]
        await self.market.bootstrap(self.chain, head.ref, timestamp=head.timestamp)
        prove_all(self.market)
        self.market.set_aside(UNNAMED, "it keeps a fee")
        self.path = await snapshots_of(self.settings, self.market, SystemClock()).write()

    def say(self, *arguments):
        return run(build(), ["market", *arguments, "--config", str(self.config)])


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("market"))


@pytest.fixture(autouse=True)
def _own_state_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def said(settled, capsys):
    """Run a command that succeeds, and return what it printed."""

    def say(*arguments):
        status = settled.say(*arguments)
        captured = capsys.readouterr()
        assert status == ExitStatus.OK
        beside = "" if arguments[0] in {"status", "snapshot"} else "testchain as of block 1, "
        assert captured.err.startswith(beside)
        assert captured.err.count("\n") == (1 if beside else 0)
        return captured.out

    return say


@pytest.fixture
def told(said):
    return lambda *arguments: json.loads(said(*arguments, "--json"))


@pytest.fixture
def refused(settled, capsys):
    """Run a command that fails, and return its status and its sentence."""

    def say(*arguments):
        status = settled.say(*arguments)
        captured = capsys.readouterr()
        assert captured.out == ""
        *beside, line = captured.err.strip().splitlines()
        assert all(text.endswith("from its snapshot") for text in beside)
        return status, line

    return say


# ---- status


def test_status_counts_what_the_market_holds(settled, told):
    status = told("status")
    head = settled.chain.headers[-1]
    assert status["block"] == {"number": head.number, "hash": head.hash}
    assert (status["timestamp"], status["live"]) == (head.timestamp, False)
    assert status["age_s"] > 10**6  # the chain in memory lives in the past
    assert (status["pools"], status["searched"]) == (6, 5)
    assert status["set_aside"] == [{"name": "it keeps a fee", "number": 1}]
    counts = {each["dex"]: (each["pools"], each["searched"]) for each in status["dexes"]}
    assert counts == {"v2": (4, 3), "fork": (1, 1), "v3": (1, 1)}
    tokens = [status[f"tokens{part}"] for part in ("", "_proven", "_set_aside", "_unproven")]
    assert tokens == [5, 4, 1, 0]
    assert status["snapshot"] == {
        "path": str(settled.path),
        "bytes": settled.path.stat().st_size,
    }
    parts = settled.market.memory.parts().values()
    assert status["array_bytes"] == sum(part.nbytes for part in parts)
    assert status["tripwire"] is None


def test_status_reads_as_sentences(said):
    text = said("status")
    assert "testchain (chain id 7) as of its snapshot: block 1, " in text
    assert "6 pools in 6 pairs, 5 of them searched" in text
    assert "5 tokens: 4 proven, 1 set aside, 0 not proven yet" in text
    assert "1  it keeps a fee" in text


# ---- pools


def test_pools_are_listed_by_what_they_hold(settled, told):
    listing = told("pools")
    assert listing["chosen"] == 6
    depths = [int(pool["depth_wei"] or 0) for pool in listing["pools"]]
    assert depths == sorted(depths, reverse=True)
    by_id = {pool["id"]: pool for pool in listing["pools"]}
    assert int(by_id[settled.fork]["depth_wei"]) == pytest.approx(10**21, rel=0.02)
    assert int(by_id[settled.pair]["depth_wei"]) == pytest.approx(10 * NATIVE, rel=0.1)
    assert by_id[settled.fork]["fee_pips"] == 2500
    assert by_id[settled.v3]["fee_pips"] == 3000


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (("--dex", "fork"), ["fork"]),
        (("--protocol", "uniswap_v3"), ["v3"]),
        (("--token", "DAI", "--token", WETH), ["fork", "pair"]),
        (("--set-aside",), ["tainted"]),
        (("--limit", "1", "--token", "DAI", "--token", "WETH"), ["fork"]),
    ],
)
def test_pools_are_chosen(settled, told, choice, names):
    found = [pool["id"] for pool in told("pools", *choice)["pools"]]
    assert found == [getattr(settled, name) for name in names]


def test_pools_read_as_a_table(settled, said):
    lines = said("pools", "--token", "WETH").splitlines()
    (row,) = [line for line in lines if settled.tainted in line]
    assert row.endswith("it keeps a fee")
    assert "WETH/0x0000…00a4" in row
    assert lines[-1] == "5 of 5 pools, the deepest first; depth in native"


# ---- pool


def test_a_pool_tells_everything(settled, told):
    whole = told("pool", settled.v3)
    assert whole["pool"]["tokens"][0] == {"address": WETH, "name": "WETH", "decimals": 18}
    (pair,) = whole["pairs"]
    assert pair["rate01"] * pair["rate10"] == pytest.approx(0.997**2)
    assert whole["tick_spacing"] == 60
    assert (whole["block"], whole["quote"]["block"]["number"]) == (2, 2)
    assert len(whole["quote"]["state"]["ticks"]) == 6


def test_prices_are_of_whole_tokens(settled, said):
    usdc = settled.market.pools[2]
    text = said("pool", usdc.id)
    assert "1 WETH gives 1994 USDC" in text
    assert "1 USDC gives 0.0004985 WETH" in text


def test_a_pool_that_is_set_aside_says_why(settled, said):
    assert "it keeps a fee" in said("pool", settled.tainted)


@pytest.mark.parametrize("name", ["pair", "v3"])
def test_a_pools_state_is_what_a_quote_takes(settled, said, capsys, tmp_path, name):
    number = settled.market.number(getattr(settled, name))
    pool = settled.market.pools[number]
    file = tmp_path / "pool.json"
    file.write_text(said("pool", pool.id, "--state"))
    arguments = ["quote", "--protocol", pool.protocol, "--state", str(file), "--json"]
    arguments += ["--in", pool.token0, "--out", pool.token1, "--amount", str(10**17)]
    assert run(build(), arguments) == ExitStatus.OK
    block = settled.market.next_block(number)
    row = settled.market.row(pool.id)
    exact = settled.market.quote(row, block, 10**17, zero_for_one=True)
    assert json.loads(capsys.readouterr().out)["quote"] == str(exact.amount)


# ---- paths


def v2_out(settled, pool, amount, *, zero_for_one):
    fake = settled.chain.pools[pool]
    reserves = fake.reserves if zero_for_one else fake.reserves[::-1]
    return uniswap_v2.amount_out(amount, *reserves, fake.fee_pips)


def test_the_best_path_gives_exactly_what_the_contracts_would(settled, told):
    amount = 3 * NATIVE
    found = told("paths", "WETH", "DAI", "--amount", str(amount))
    assert found["amount_in"] == str(amount)
    outs = [int(path["amount_out"]) for path in found["paths"]]
    assert outs == sorted(outs, reverse=True)
    by_dex = {tuple(hop["dex"] for hop in path["hops"]): path for path in found["paths"]}
    assert set(by_dex) == {("fork",), ("v2", "v2"), ("v2",)}
    for dex, pool in (("fork", settled.fork), ("v2", settled.pair)):
        exact = v2_out(settled, pool, amount, zero_for_one=WETH < DAI)
        assert by_dex[dex,]["amount_out"] == str(exact)
    first, second = by_dex["v2", "v2"]["hops"]
    assert first["amount_out"] == second["amount_in"]
    assert found["paths"][0]["hops"][0]["dex"] == "fork"


def test_the_best_cycles_say_what_they_earn(settled, told):
    found = told("paths", "WETH", "WETH", "--limit", "2", "--hops", "2")
    assert len(found["paths"]) == 2
    best = found["paths"][0]
    assert [hop["dex"] for hop in best["hops"]] == ["fork", "v2"]
    amount = int(found["amount_in"])
    assert amount == NATIVE
    middle = v2_out(settled, settled.fork, amount, zero_for_one=True)
    out = v2_out(settled, settled.pair, middle, zero_for_one=False)
    assert (best["amount_out"], best["profit"]) == (str(out), str(out - amount))
    profits = [int(path["profit"]) for path in found["paths"]]
    assert profits == sorted(profits, reverse=True)
    assert all(len({hop["pool"] for hop in path["hops"]}) == len(path["hops"])
               for path in found["paths"])  # fmt: skip


def test_no_path_leads_over_what_is_set_aside(said):
    assert "no path gives any 0x0000…00a4" in said("paths", "WETH", UNNAMED)


def test_an_amount_left_out_is_worth_a_native_coin(told):
    amount = int(told("paths", "USDC", "DAI", "--hops", "1")["amount_in"])
    assert amount == pytest.approx(2 * 10**9, rel=0.1)


def test_more_hops_find_more(told):
    one, two = (
        told("paths", "WETH", "DAI", "--amount", "1_000_000_000", "--hops", str(hops))["paths"]
        for hops in (1, 2)
    )
    assert {len(path["hops"]) for path in one} == {1}
    assert {len(path["hops"]) for path in two} == {1, 2}


def test_paths_read_as_a_table(said):
    lines = said("paths", "WETH", "WETH", "--amount", str(NATIVE), "--hops", "2").splitlines()
    assert lines[0] == "1 WETH in block 2, before gas:"
    assert "WETH -fork 0.25 %-> DAI -v2 0.3 %-> WETH" in lines[2]


# ---- snapshot


def test_the_newest_snapshot_is_verified(settled, told, said):
    found = told("snapshot")
    assert (found["path"], found["chain_id"], found["written"]) == (
        str(settled.path),
        CHAIN_ID,
        False,
    )
    assert found["block"]["hash"] == settled.chain.headers[-1].hash
    assert "whole, and of this configuration" in said("snapshot")


def copied(settled, tmp_path):
    """A place of its own with the same files, whose snapshots a test may spoil."""
    place = object.__new__(Place)
    place.config, place.stored = tmp_path / "config", tmp_path / "stored" / "testchain"
    shutil.copytree(settled.config, place.config)
    shutil.copytree(settled.stored, place.stored)
    (place.config / "chains" / "testchain.toml").write_text(chain_file(place.stored.parent))
    return place


def test_a_damaged_snapshot_is_told_and_the_one_before_is_taken(settled, capsys, tmp_path):
    place = copied(settled, tmp_path)
    (good,) = place.stored.iterdir()
    bad = place.stored / f"9{good.name}"
    content = bytearray(good.read_bytes())
    content[len(content) // 2] ^= 1
    bad.write_bytes(content)
    os.utime(good, (1, 1))
    assert place.say("snapshot") == ExitStatus.PREFLIGHT
    line = capsys.readouterr().err
    assert "is corrupted: section" in line
    assert "searcher market snapshot --live" in line
    assert place.say("status", "--json") == ExitStatus.OK
    assert json.loads(capsys.readouterr().out)["snapshot"]["path"] == str(good)
    good.unlink()
    assert place.say("status") == ExitStatus.PREFLIGHT
    assert "is corrupted: section" in capsys.readouterr().err


def test_a_snapshot_of_another_configuration_is_not_taken(settled, capsys, tmp_path):
    place = copied(settled, tmp_path)
    file = place.config / "chains" / "testchain.toml"
    file.write_text(file.read_text().replace("fee_pips = 2500", "fee_pips = 2600"))
    assert place.say("pools") == ExitStatus.PREFLIGHT
    assert "the DEXes, tokens or filters of the configuration were others" in (
        capsys.readouterr().err
    )


def test_without_a_snapshot_it_says_how_to_get_one(settled, capsys, tmp_path):
    place = copied(settled, tmp_path)
    shutil.rmtree(place.stored)
    for command in ("status", "pools", "snapshot"):
        assert place.say(command) == ExitStatus.PREFLIGHT
        line = capsys.readouterr().err
        assert f"there is no snapshot in {place.stored}" in line
        assert "`searcher market snapshot --live`" in line


# ---- what a person gets wrong


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("pools", "--token", "WEHT"), "no token called 'WEHT': did you mean 'WETH'?"),
        (("pools", "--token", "0x12"), "'0x12' is not an address"),
        (("pools", "--token", "0x" + "77" * 20), "no pool of testchain has 0x7777…7777"),
        (("pools", "--dex", "frok"), "no pool has the DEX 'frok': did you mean 'fork'?"),
        (("pools", "--protocol", "uniswap_v4"), "did you mean 'uniswap_v3'?"),
        (("pool", "0x00000000000000000000000000000000000010ff"), "did you mean 0x00000000"),
        (("pool", "0x" + "77" * 20), "`searcher market pools` shows those that there are"),
        (("paths", "WETH", "DAY"), "did you mean 'DAI'?"),
        (("paths", "WETH", "DAI", "--amount", "1.5"), "write a whole number of smallest units"),
        (("paths", UNNAMED, "DAI"), "nothing tells what 0x0000…00a4 is worth"),
        (("snapshot", "--out", "there.snapshot"), "add --live to write one"),
    ],
)
def test_what_is_unknown_is_told_with_the_nearest(refused, arguments, sentence):
    status, line = refused(*arguments)
    assert status == ExitStatus.CONFIG
    assert sentence in line


@pytest.mark.parametrize("arguments", [("--hops", "5"), ("--hops", "0"), ("--limit", "0")])
def test_numbers_have_bounds(settled, capsys, arguments):
    assert settled.say("paths", "WETH", "DAI", *arguments) == ExitStatus.USAGE
    assert arguments[0] in capsys.readouterr().err


def test_a_node_that_is_away_is_told(settled, capsys):
    assert settled.say("status", "--live") == ExitStatus.NODE_UNREACHABLE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "127.0.0.1:1" in captured.err.splitlines()[-1]


def test_one_of_many_chains_is_to_be_named(settled, capsys, tmp_path):
    place = copied(settled, tmp_path)
    other = (place.config / "chains" / "testchain.toml").read_text()
    other = other.replace('"testchain"', '"other"').replace("chain_id = 7", "chain_id = 8")
    (place.config / "chains" / "other.toml").write_text(other)
    main = place.config / "searcher.toml"
    main.write_text(main.read_text().replace('["testchain"]', '["testchain", "other"]'))
    assert place.say("status") == ExitStatus.CONFIG
    assert "add --chain testchain or other" in capsys.readouterr().err
    assert place.say("status", "--chain", "testchain") == ExitStatus.OK

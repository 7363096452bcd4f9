from __future__ import annotations

import json
from pathlib import Path

import pytest

from searcher.domain.errors import ExitStatus
from searcher.ops.cli import build, run

CONFIG = Path(__file__).parents[4] / "config"
HTTP = "https://me:pw@node.example/k3y"


@pytest.fixture(autouse=True)
def node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCHER_ETHEREUM_HTTP_URL", HTTP)
    monkeypatch.setenv("SEARCHER_ETHEREUM_STREAM_URL", "ws://node.example/k3y")


def result(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    status = run(build(), ["config", *arguments])
    captured = capsys.readouterr()
    assert (status, captured.err) == (ExitStatus.OK, "")
    assert "k3y" not in captured.out
    return captured.out


def at(command: str, *rest: str) -> tuple[str, ...]:
    return (command, "--config", str(CONFIG), *rest)


def test_check_says_what_would_run(capsys: pytest.CaptureFixture[str]):
    text = result(capsys, *at("check", "ethereum"))
    assert "is valid: mode observe, chains ethereum, strategies arbitrage, backrun" in text


def test_check_tells_all_faults_on_standard_error(capsys: pytest.CaptureFixture[str]):
    arguments = at("check", "ethereum", "--set", "mode=lief", "--set", "log.levl=info")
    assert run(build(), ["config", *arguments]) == ExitStatus.CONFIG
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("    help: ") == 2
    assert "the configuration has 2 faults" in captured.err


def test_check_as_json_is_one_document(capsys: pytest.CaptureFixture[str]):
    document = json.loads(result(capsys, *at("check", "ethereum", "--json")))
    assert document["valid"] is True
    assert document["mode"] == "observe"
    assert len(document["fingerprint"]) == 12


def test_show_tells_values_and_origins(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SEARCHER__LOG__FORM", "json")
    text = result(capsys, *at("show", "ethereum", "--origin", "--set", "log.level=debug"))
    rows = dict(line.split(" = ", 1) for line in text.splitlines())
    assert rows["log.level"].split("  ", 1) == ['"debug"', rows["log.level"].split("  ", 1)[1]]
    assert rows["log.level"].endswith("# flag --set log.level; hot")
    assert rows["log.form"].endswith("# environment SEARCHER__LOG__FORM; restart")
    assert rows["chains.ethereum.node.max_inflight"].endswith("# default; restart")
    assert "ethereum.toml:6; restart" in rows["chains.ethereum.chain.chain_id"]
    assert rows["chains.ethereum.node.http_url"].startswith('"env:SEARCHER_ETHEREUM_HTTP_URL"')


def test_show_as_json_keeps_every_digit(capsys: pytest.CaptureFixture[str]):
    flag = f"risk.default.most_gross_wei={2**200 + 1}"
    rows = json.loads(result(capsys, *at("show", "ethereum", "--json", "--set", flag)))
    (row,) = [row for row in rows if row["key"] == "risk.default.most_gross_wei"]
    assert row == {
        "key": "risk.default.most_gross_wei",
        "value": str(2**200 + 1),
        "source": "flag",
        "where": "--set risk.default.most_gross_wei",
    }


def test_an_address_written_out_is_shown_up_to_its_host(capsys: pytest.CaptureFixture[str]):
    flag = f"chains.ethereum.node.http_url={HTTP}"
    text = result(capsys, *at("show", "ethereum", "--set", flag))
    assert 'chains.ethereum.node.http_url = "https://node.example/***"' in text


@pytest.mark.parametrize(
    "key",
    ["chains.ethereum.node.max_inflight", "chains.<name>.node.max_inflight", "max_inflight"],
)
def test_explain_takes_a_whole_key_or_its_end(capsys: pytest.CaptureFixture[str], key: str):
    assert result(capsys, "explain", key).splitlines() == [
        "chains.<name>.node.max_inflight: requests on their way at once; more wait",
        "  value    whole number (requests)",
        "  range    at least 1, at most 4096",
        "  default  64",
        "  reload   restart",
    ]


def test_explain_follows_names_that_the_operator_chose(capsys: pytest.CaptureFixture[str]):
    text = result(capsys, "explain", "tokens.WETH.decimals")
    assert text.startswith("chains.<name>.tokens.<name>.decimals: ")


def test_explain_knows_the_nearest_key(capsys: pytest.CaptureFixture[str]):
    assert run(build(), ["config", "explain", "max_inflght"]) == ExitStatus.CONFIG
    assert "did you mean 'max_inflight'?" in capsys.readouterr().err


def test_an_unknown_template_names_the_nearest(capsys: pytest.CaptureFixture[str]):
    assert run(build(), ["config", "template", "strategies.arbitrge"]) == ExitStatus.CONFIG
    assert "did you mean 'arbitrage'?" in capsys.readouterr().err
    assert run(build(), ["config", "template", "rsk"]) == ExitStatus.CONFIG
    assert "did you mean 'risk'?" in capsys.readouterr().err

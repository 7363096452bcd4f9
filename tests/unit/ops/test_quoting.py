"""`searcher quote` as a person uses it: the process is the command line, the file is on disk."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest

from searcher.domain.errors import ExitStatus
from searcher.ops.cli import build
from searcher.ops.cli import run as run_command

TOKEN0, TOKEN1 = "0x" + "aa" * 20, "0x" + "bb" * 20
STATE = {"token0": TOKEN0, "token1": TOKEN1, "reserve0": 5 * 10**18, "reserve1": 10**19}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "pool.json"

    def write(content):
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write


@pytest.fixture
def run(capsys):
    def call(*arguments):
        status = run_command(build(), ["quote", "--protocol", "uniswap_v2", *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def ask(path, amount, *more, token_in=TOKEN0, token_out=TOKEN1):
    return ("--state", path, "--in", token_in, "--out", token_out, "--amount", amount, *more)


def test_an_exact_input(run, file):
    status, out, err = run(*ask(file(STATE), str(10**18), "--timestamp", "7", "--json"))
    assert (status, err) == (ExitStatus.OK, "")
    assert json.loads(out) == {
        "protocol": "uniswap_v2",
        "in": TOKEN0,
        "out": TOKEN1,
        "kind": "exact_in",
        "amount": str(10**18),
        "block": {"number": 0, "timestamp": 7},
        "quote": "1662497915624478906",
        "realised": "1662497915624478906",
        "crossings": 0,
    }


def test_garbage_is_collected_again_after_a_quote(run, file):
    assert run(*ask(file(STATE), "1000"))[0] == ExitStatus.OK
    assert gc.isenabled()
    gc.disable()
    try:
        assert run(*ask(file("{"), "1000"))[0] == ExitStatus.CONFIG
        assert not gc.isenabled(), "as it was before"
    finally:
        gc.enable()


def test_an_exact_output(run, file):
    status, out, _ = run(*ask(file(STATE), "1662497915624478906", "--exact-out", "--json"))
    assert status == ExitStatus.OK
    assert int(json.loads(out)["quote"]) <= 10**18


def test_words_for_people(run, file):
    status, out, _ = run(*ask(file(STATE), "1_000_000_000_000_000_000", "--block", "12"))
    assert status == ExitStatus.OK
    assert "1000000000000000000 of 0xaA" in out
    assert "gives 1662497915624478906 of 0xbB" in out
    assert "block 12" in out


def test_a_file_may_name_its_block(run, file):
    content = {"state": STATE, "block": {"number": 5, "timestamp": "0x10"}}
    _, out, _ = run(*ask(file(content), "1000", "--json"))
    assert json.loads(out)["block"] == {"number": 5, "timestamp": 16}


def test_a_refusal_has_its_own_status(run, file):
    status, out, err = run(*ask(file(STATE), str(2**112), "--json"))
    assert status == ExitStatus.REFUSED
    assert json.loads(out)["refused"] == "OVERFLOW"
    assert "arithmetic would revert" in err
    status, out, err = run(*ask(file(STATE), str(2**112)))
    assert (status, out) == (ExitStatus.REFUSED, "")
    assert "OVERFLOW" in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ([], "file: expected an object"),
        ({**STATE, "reserve1": 1.5}, "state.reserve1: expected an unsigned integer"),
        ({**STATE, "reserve_1": 1}, "state.reserve_1: there is no such field"),
        ({"state": STATE, "blok": {}}, "file.blok: there is no such field: did you mean 'block'"),
        ({"state": STATE, "block": {"time": 1}}, "block.time: there is no such field"),
        ({"state": STATE, "block": {"timestamp": "x"}}, "timestamp: expected an integer"),
        (
            {"state": STATE, "block": {"volatile": {"reserve0": 1}}},
            "block.volatile.reserve0: there is no such field",
        ),
        ({"state": []}, "state: expected an object"),
    ],
)
def test_a_malformed_file_says_which_field(run, file, content, message):
    status, out, err = run(*ask(file(content), "1"))
    assert (status, out) == (ExitStatus.CONFIG, "")
    assert message in err


@pytest.mark.parametrize(
    ("amount", "tokens", "message"),
    [
        ("-1", {}, "write a whole number"),
        ("1.5", {}, "write a whole number"),
        ("1e18", {}, "write a whole number"),
        (str(2**256), {}, "no contract takes more"),
        ("1", {"token_in": "0x12"}, "is not an address"),
    ],
)
def test_what_was_typed_wrongly_is_named(run, file, amount, tokens, message):
    path = file(STATE)
    question = {"token_in": TOKEN0, "token_out": TOKEN1, **tokens}
    status, _, err = run(
        "--state",
        path,
        f"--in={question['token_in']}",
        f"--out={question['token_out']}",
        f"--amount={amount}",
    )
    assert status == ExitStatus.CONFIG
    assert message in err


def test_a_missing_file_and_no_file(run, tmp_path):
    status, _, err = run(*ask(str(tmp_path / "none.json"), "1"))
    assert (status, "cannot be read" in err) == (ExitStatus.CONFIG, True)
    status, _, err = run("--in", TOKEN0, "--out", TOKEN1, "--amount", "1")
    assert (status, "--describe" in err) == (ExitStatus.CONFIG, True)
    status, _, err = run()
    assert (status, "--in and --out and --amount missing" in err) == (ExitStatus.CONFIG, True)


def test_a_protocol_describes_its_state(run):
    status, out, _ = run("--describe")
    assert status == ExitStatus.OK
    for line in ("token0: address", "reserve0: uint256", "fee_pips: int, optional"):
        assert line in out


def test_the_page_of_all_protocols_is_the_committed_one(capsys):
    assert run_command(build(), ["quote", "--describe"]) == ExitStatus.OK
    page = (Path(__file__).parents[3] / "docs" / "curves.md").read_text()
    assert capsys.readouterr().out == page, "run: searcher quote --describe > docs/curves.md"


def test_an_unknown_protocol_gets_the_nearest_name(capsys):
    status = run_command(build(), ["quote", "--protocol", "uniswap_v22", "--describe"])
    assert status == ExitStatus.CONFIG
    assert "did you mean 'uniswap_v2'" in capsys.readouterr().err

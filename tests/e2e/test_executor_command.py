"""The owner's commands, against a laboratory chain."""

from __future__ import annotations

import pytest

from searcher.domain.units import checksum
from tests.e2e.command import say
from tests.e2e.station import Household, Station

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(240)]

OWNER = "SEARCHER_TEST_OWNER"


async def test_the_owner_deploys_looks_and_withdraws(station: Station, household: Household):
    manifest = station.manifest
    config = ("--config", str(household.folder))
    chain, operator = manifest.name, manifest.accounts.operators[0].address
    key = {OWNER: manifest.accounts.owner.key}

    made = await say(
        "executor", "deploy", chain, "--owner-variable", OWNER, "--operator", operator, *config,
        **key,
    )  # fmt: skip
    assert made.status == 0, made.err
    table, address = made.out.strip().splitlines()
    assert table == "[executor]"
    executor = address.split('"')[1].lower()
    file = household.folder / "chains" / f"{chain}.toml"
    file.write_text(file.read_text().replace(checksum(station.executor), checksum(executor)))

    stranger = "0x" + "11" * 20
    shown = await say(
        "executor", "status", chain, "--operator", operator, "--operator", stranger, *config
    )
    assert shown.status == 0, shown.err
    assert f"{checksum(executor)} holds this version's executor" in shown.out
    assert f"{checksum(operator)} may execute plans" in shown.out
    assert f"{checksum(stranger)} may NOT execute plans" in shown.out

    receiver = manifest.accounts.spare[0].address
    nothing = await say(
        "executor", "withdraw", chain, "WETH", "--to", receiver, "--owner-variable", OWNER,
        *config, **key,
    )  # fmt: skip
    assert (nothing.status, "nothing to withdraw" in nothing.sentence) == (4, True)


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        ((), 3, "the owner's key is needed"),
        (("--owner-variable", "SEARCHER_TEST_UNSET"), 3, "SEARCHER_TEST_UNSET is not set"),
        (("--owner-variable", "0x" + "ab" * 32), 3, "the owner's key cannot be read"),
        (("--owner-keystore", "/nowhere", "--passphrase", "secret"), 3, "cannot be read"),
        (("--owner-variable", OWNER, "--operator", "0x12"), 3, "40 hex digits"),
    ],
)
async def test_a_missing_or_wrong_key_is_one_sentence(
    station: Station, household: Household, arguments, status, sentence
):
    said = await say(
        "executor", "deploy", station.manifest.name, *arguments, "--config",
        str(household.folder), **{OWNER: station.manifest.accounts.owner.key},
    )  # fmt: skip
    assert said.status == status
    assert sentence in said.sentence
    assert "ab" * 32 not in said.err

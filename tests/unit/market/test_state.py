"""What a state file may say, and what the answer to anything else is."""

from __future__ import annotations

from enum import StrEnum

import pytest
from msgspec import Struct

from searcher.domain.units import Address, Hash32, Int256, Uint256
from searcher.market.state import MalformedState, state_from

TOKEN = "0x" + "ab" * 20
CHECKSUMMED = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"


class Kind(StrEnum):
    OLD = "old"
    NEW = "new"


class Tick(Struct, frozen=True):
    index: int
    net: Int256


class State(Struct, frozen=True):
    token: Address
    reserve: Uint256
    ticks: tuple[Tick, ...] = ()
    pair: tuple[Uint256, Uint256] = (1, 2)
    kind: Kind = Kind.NEW
    paused: bool = False
    label: str = ""
    since: int | None = None
    id: Hash32 | None = None

    def __post_init__(self):
        if self.reserve == 13:
            raise ValueError("reserve: expected any other number")


def state(**fields):
    return state_from(State, {"token": TOKEN, "reserve": 1, **fields})


def test_integers_may_be_numbers_digits_or_hex():
    for written in (2**200, str(2**200), hex(2**200)):
        assert state(reserve=written).reserve == 2**200
    assert state(ticks=[{"index": -5, "net": "-7"}]).ticks == (Tick(-5, -7),)
    assert state(ticks=[{"index": "-0x10", "net": 0}]).ticks[0].index == -16


def test_everything_optional_has_its_default():
    assert state() == State(Address(TOKEN), 1)
    assert state(since=None).since is None


def test_addresses_are_normalised():
    assert state(token=CHECKSUMMED).token == CHECKSUMMED.lower()


def test_every_kind_of_field_is_read():
    full = state(pair=["3", 4], kind="old", paused=True, label="x", since=9, id="0x" + "0a" * 32)
    assert (full.pair, full.kind, full.paused, full.label, full.since) == (
        (3, 4),
        Kind.OLD,
        True,
        "x",
        9,
    )
    assert full.id == "0x" + "0a" * 32


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"reserve": -1}, r"state\.reserve: expected an unsigned integer below 2\^256, found -1"),
        ({"reserve": 2**256}, r"state\.reserve: expected an unsigned"),
        ({"reserve": 1.0}, r"state\.reserve: expected .* found 1\.0"),
        ({"reserve": True}, r"state\.reserve: .* found True"),
        ({"reserve": None}, r"state\.reserve: .* found None"),
        ({"reserve": "1e18"}, r"state\.reserve: .* found '1e18'"),
        ({"reserve": "1_000"}, r"state\.reserve"),
        ({"reserve": " 1"}, r"state\.reserve"),
        ({"reserve": "٣"}, r"state\.reserve"),
        ({"reserve": 13}, r"state\.reserve: expected any other number"),
        ({"token": "0x12"}, r"state\.token: expected an address: .*0x12"),
        ({"token": 5}, r"state\.token: expected an address: .*found 5"),
        ({"token": CHECKSUMMED.replace("C02a", "c02a")}, r"state\.token: .*wrong checksum"),
        ({"id": "0x12"}, r"state\.id: expected a hash"),
        ({"ticks": {}}, r"state\.ticks: expected a list, found \{\}"),
        ({"ticks": [{"index": 1}]}, r"state\.ticks\[0\]\.net: missing"),
        ({"ticks": [{"index": 1, "net": 2**255}]}, r"state\.ticks\[0\]\.net: expected an integer"),
        ({"ticks": [7]}, r"state\.ticks\[0\]: expected an object, found 7"),
        ({"ticks": [{"index": 1, "nett": 1}]}, r"ticks\[0\]\.nett: there is no such field.*'net'"),
        ({"pair": [1]}, r"state\.pair: expected 2 entries, found 1"),
        ({"kind": "olt"}, r"state\.kind: 'olt' is unknown: did you mean 'old'"),
        ({"paused": 1}, r"state\.paused: expected true or false, found 1"),
        ({"label": 1}, r"state\.label: expected a text"),
        ({"reserv": 1}, r"state\.reserv: there is no such field: did you mean 'reserve'"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(fields, message):
    with pytest.raises(MalformedState, match=message):
        state(**fields)


def test_a_missing_field_is_named():
    with pytest.raises(MalformedState, match=r"state\.reserve: missing"):
        state_from(State, {"token": TOKEN})
    with pytest.raises(MalformedState, match="state: expected an object"):
        state_from(State, [])

from __future__ import annotations

import pytest

from searcher.domain.units import keccak256
from searcher.executor.artifact import artifact, explain_revert
from searcher.executor.program import SELECTOR


def word(value: int) -> bytes:
    return value.to_bytes(32, "big", signed=value < 0)


def selector(signature: str) -> bytes:
    return keccak256(signature.encode())[:4]


def test_the_artifact_has_the_entry_point_that_the_encoder_calls():
    functions = {e["name"]: e for e in artifact().abi if e["type"] == "function"}
    assert functions["execute"]["inputs"] == []
    assert selector("execute()") == SELECTOR


def test_an_immutable_place_holds_zeros():
    code = bytes.fromhex(artifact().runtime[2:])
    for place in artifact().immutables:
        assert code[place.start : place.start + place.length] == bytes(32)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "reverted without a reason"),
        (
            selector("ProfitTooLow(int256,uint256)") + word(-5) + word(7),
            "ProfitTooLow: gained -5, wanted 7",
        ),
        (
            selector("PlanExpired(uint256,uint256)") + word(9) + word(8),
            "PlanExpired: blockNumber 9, lastBlock 8",
        ),
        (selector("IsPaused()"), "IsPaused"),
        (
            selector("CallbackMissing(address)") + word(0xAB),
            f"CallbackMissing: pool 0x{0xAB:040x}",
        ),
        (selector("Panic(uint256)") + word(0x11), "panicked with code 0x11"),
        (
            selector("Error(string)") + word(32) + word(2) + b"K!".ljust(32, b"\0"),
            "reverted: K!",
        ),
        (
            selector("Error(string)") + word(32) + word(2) + b"\xff!".ljust(32, b"\0"),
            "reverted: \\xff!",
        ),
        (b"\xde\xad\xbe\xef", "reverted with data 0xdeadbeef"),
        (b"\x01", "reverted with data 0x01"),
        (
            selector("PlanExpired(uint256,uint256)") + word(9),
            f"reverted with data 0x{(selector('PlanExpired(uint256,uint256)') + word(9)).hex()}",
        ),
    ],
)
def test_a_revert_is_said_in_words(data, sentence):
    assert explain_revert(data) == sentence

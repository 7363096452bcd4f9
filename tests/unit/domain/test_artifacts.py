from __future__ import annotations

import pytest

from searcher.domain import artifacts
from searcher.domain.artifacts import artifact
from searcher.domain.errors import NotReady

CARRIED = ["Executor", "PoolReader", "CallReader"]


@pytest.mark.parametrize("contract", CARRIED)
def test_an_artifact_is_the_contract_of_its_name(contract):
    assert artifact(contract).contract == contract


@pytest.mark.parametrize("content", [None, b"{", b"{}"])
def test_a_missing_or_damaged_artifact_says_what_to_do(content, tmp_path, monkeypatch):
    place = tmp_path / "Executor.json"
    if content is not None:
        place.write_bytes(content)
    monkeypatch.setattr(artifacts, "_source", lambda _: place)
    with pytest.raises(NotReady, match="make contracts"):
        artifact.__wrapped__("Executor")


@pytest.mark.parametrize("contract", CARRIED)
def test_code_that_does_not_match_its_hash_is_refused(contract, tmp_path, monkeypatch):
    place = tmp_path / "Damaged.json"
    text = artifacts._source(contract).read_bytes()
    place.write_bytes(text.replace(artifact(contract).runtime[:20].encode(), b"0x00"))
    monkeypatch.setattr(artifacts, "_source", lambda _: place)
    with pytest.raises(NotReady, match="another hash"):
        artifact.__wrapped__(contract)

"""One laboratory chain with users on it, shared by the scenarios of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from searcher.devnet.laboratory import Laboratory
from tests.e2e.station import Household, Station, make_station


@pytest.fixture(scope="session")
def _own_variables() -> Iterator[None]:
    """The operators' keys are lent to this process for as long as the scenarios run."""
    with pytest.MonkeyPatch.context() as patch:
        for number in range(8):
            for chain in ("DEVNET_A", "REORG"):
                patch.setenv(f"SEARCHER_{chain}_OPERATOR_{number}", "")
        yield


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def station(_own_variables: None) -> AsyncIterator[Station]:
    async with Laboratory(["devnet-a"], seed=11) as laboratory:
        yield await make_station(laboratory.manifests["devnet-a"])


@pytest.fixture
def household(station: Station, tmp_path: Path) -> Household:
    return station.household(tmp_path)

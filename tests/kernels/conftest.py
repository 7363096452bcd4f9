"""Recorded vectors that lie outside the project."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def vectors():
    """A reader of the maths vectors; skips only where the whole folder is absent."""
    folder = Path(os.environ.get("SEARCHER_TEST_DATA") or ROOT / ".." / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no recorded data in {folder}: set SEARCHER_TEST_DATA")

    def read(name):
        data = (folder / "math-vectors" / name).read_bytes()
        return json.loads(gzip.decompress(data) if name.endswith(".gz") else data)

    return read

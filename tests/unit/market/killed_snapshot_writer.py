"""Writes one snapshot after another over the same file, and says each number before it begins."""

import itertools
import os
import sys
from pathlib import Path

from searcher.domain.events import BlockRef
from searcher.market.snapshot_file import Heading, write


def main(path: Path) -> None:
    for number in itertools.count(1):
        os.write(1, f"{number}\n".encode())
        block = BlockRef(number, "0x" + "00" * 32)
        heading = Heading("killed", 1, "", block, "", "")
        write(path, heading, [("same", [number.to_bytes(8, "big") * 100_000])])


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""A process of `searcher quote` from its start to its end, with all kernels in the cache."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tests.bench.figures import Figure

ROOT: Final = Path(__file__).parents[2]
STARTS: Final = 21
COMMAND: Final = "import sys; from searcher.ops.cli import main; sys.exit(main())"
TOKEN0, TOKEN1 = "0x" + "aa" * 20, "0x" + "bb" * 20
TICKS: Final = [
    {"index": index, "liquidity_net": net}
    for index, net in ((-600, 10**21), (-60, 10**22), (60, -(10**22)), (600, -(10**21)))
]
STATES: Final[dict[str, dict[str, Any]]] = {
    "uniswap_v2": {"reserve0": 5 * 10**18, "reserve1": 10**19},
    "uniswap_v3": {
        "fee": 3000,
        "tick_spacing": 60,
        "sqrt_price_x96": 2**96,
        "tick": 0,
        "liquidity": 11 * 10**21,
        "ticks": TICKS,
    },
}


def starts() -> list[Figure]:
    """Time processes; the first of each, which fills every cache, is not counted."""
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for protocol, state in STATES.items():
            file = Path(folder) / f"{protocol}.json"
            file.write_text(json.dumps({"token0": TOKEN0, "token1": TOKEN1, **state}))
            samples = [_started(protocol, file) for _ in range(1 + STARTS)][1:]
            name = f"{protocol}, start to first quote"
            includes = "a process of `searcher quote` from start to end, kernels and files cached"
            figures.append(Figure.of(name, samples, "ms", includes))
    return figures


def _started(protocol: str, file: Path) -> float:
    """Return the milliseconds of one process."""
    ends = ["--in", TOKEN0, "--out", TOKEN1, "--amount", str(10**18)]
    command = [sys.executable, "-c", COMMAND, "quote", "--protocol", protocol]
    begun = time.perf_counter_ns()
    subprocess.run(
        [*command, "--state", str(file), *ends],
        check=True,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    return (time.perf_counter_ns() - begun) / 1e6

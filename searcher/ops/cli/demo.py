"""`searcher demo`: the daemon on two local chains, with an independent proof at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def demo(
    *,
    seed: Annotated[int, Parameter(help="Decides what the users and the prices do.")] = 1,
    blocks: Annotated[int, Parameter(help="How many blocks the daemon trades in.")] = 36,
    block_time_ms: Annotated[int, Parameter(help="Milliseconds between blocks.")] = 1_000,
    folder: Annotated[Path, Parameter(help="Where results and logs go.")] = Path("var/demo"),
) -> None:
    """Start two local chains, let the daemon earn on them, and prove the profit from the chains."""
    import msgspec
    import uvloop
    from rich.console import Console

    from searcher.ops.demo import Demonstration, DemoRequest, prepare
    from searcher.ops.demo_report import show
    from searcher.ops.logging import LogSettings, configure

    prepare(folder)
    request = DemoRequest(seed=seed, blocks=blocks, block_time_ms=block_time_ms, folder=folder)
    with (folder / "daemon.log").open("w") as log:
        configure(LogSettings(form="json"), stream=log)
        summary = uvloop.run(Demonstration(request, Console(stderr=True)).run())
    path = folder / "summary.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
    show(summary, path)

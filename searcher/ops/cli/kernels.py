"""`searcher kernels`: machine code ahead of its use."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import App, Parameter

app = App(name="kernels", help="Compile the kernels ahead of their use.")


@app.command
def warm(
    *,
    workers: Annotated[
        int | None, Parameter(help="Processes at once; all cores if not given.", negative="")
    ] = None,
) -> None:
    """Compile every kernel that the cache lacks, and say how long each file took."""
    import time

    from searcher.kernels._jit import cache_folder
    from searcher.ops import kernels

    start = time.perf_counter()
    for done in kernels.warm(workers):
        sys.stderr.write(f"{done.module:<28} {done.seconds:6.2f} s\n")
    seconds = time.perf_counter() - start
    sys.stdout.write(f"all kernels are ready after {seconds:.1f} s in {cache_folder()}\n")


@app.command
def clean() -> None:
    """Remove machine code of earlier sources."""
    from searcher.ops import kernels

    for folder in kernels.clean():
        sys.stdout.write(f"removed {folder}\n")
